"""A folder of what a user has, some of it right, most of it wrong: see `misuses`."""

import textwrap

import numpy as np
from PIL import Image

THINGS = '''
    """What a user has beside the config: some of it right, most of it wrong."""

    import dataclasses

    import flax.linen as nn
    import jax
    import jax.numpy as jnp
    import mtljax as mtl
    import numpy as np
    import optax

    RNG = np.random.default_rng(0)
    SIZE = 16
    GOOD = {"image": RNG.integers(0, 256, (SIZE, 4, 6, 3), np.uint8), "kind": np.arange(SIZE) % 3, "age": RNG.uniform(1, 9, SIZE)}


    def arrays(**changes):
        return mtl.data.from_arrays(GOOD | changes, validation=0.5)


    def with_image(of):
        return arrays(image=np.stack([of(image) for image in GOOD["image"]]))


    def vectors():
        return with_image(lambda x: x[0, :, 0] / 255)


    def channels_first():
        return with_image(lambda x: np.moveaxis(np.tile(x, (2, 2, 1)), -1, 0))


    def of_8_bits_as_floats():
        return with_image(lambda x: x.astype(np.float32))


    def black():
        return with_image(lambda x: x * 0)


    def with_nan():
        return with_image(lambda x: x / np.where(x > 128, 0.0, 255.0))


    def without_ages():
        return arrays(age=np.where(np.arange(SIZE) < SIZE - 2, np.nan, 1.0))


    def no_ages_at_all():
        return arrays(age=np.full(SIZE, np.nan))


    def kinds_from_one():
        return arrays(kind=np.arange(SIZE) % 3 + 1)


    def kinds_below_zero():
        return arrays(kind=np.arange(SIZE) % 3 - 1)


    def kinds_one_hot():
        return arrays(kind=np.eye(3, dtype=np.int64)[np.arange(SIZE) % 3])


    def kinds_as_floats():
        return arrays(kind=(np.arange(SIZE) % 3) + 0.5)


    def of_two_lengths():
        return arrays(age=np.ones(SIZE - 1))


    def nothing():
        pass


    def a_stream():
        return mtl.data.from_iterable({key: value[i] for key, value in GOOD.items()} for i in range(SIZE))


    def pairs():
        return [(GOOD["image"][i], GOOD["kind"][i]) for i in range(SIZE)]


    class Bare:
        """A data set by hand, without masks."""

        name = "bare"

        def split(self, name):
            return [{"image": GOOD["image"][i][None], "kind": np.int32(i % 3)} for i in range(SIZE)]


    class Column(Bare):
        """One whose classes are columns."""

        def split(self, name):
            return [row | {"kind": row["kind"][None], "kind_valid": np.array([True])} for row in super().split(name)]


    def task(**changes):
        return lambda name: dataclasses.replace(mtl.tasks.classify(3, label="kind", name=name), **changes)


    def squared(prediction, batch):
        return jnp.sum(prediction**2), jnp.float32(prediction.size)


    loss_alone = task(loss=lambda p, b: jnp.mean(p**2))
    loss_a_row = task(loss=lambda p, b: (jnp.sum(p**2, -1), 1.0))
    loss_of_no_label = task(loss=lambda p, b: squared(p - b["king"], b))
    loss_too_wide = task(loss=lambda p, b: squared(p - jnp.ones(5), b))
    loss_to_numpy = task(loss=lambda p, b: (float(np.sum(p)), 1.0))
    loss_nan = task(loss=lambda p, b: (jnp.sum(jnp.log(p - 1e9)), jnp.float32(len(p))))
    count_nan = task(loss=lambda p, b: (jnp.sum(p**2), jnp.sum(p) * jnp.nan))
    count_below_zero = task(loss=lambda p, b: (jnp.sum(p**2), -jnp.float32(len(p))))
    loss_without_gradient = task(loss=lambda p, b: (jnp.sum(jnp.argmax(p, -1) != b["kind"]).astype(jnp.float32), jnp.float32(len(p))))
    sums_nan = task(sums=lambda p, b: {"a": jnp.sum(p) * jnp.nan}, metrics=(mtl.Metric("m", True, lambda s: s["a"]),), told=())
    sums_of_none = task(sums=lambda p, b: {"a": b["none"]})
    metric_of_none = task(metrics=(mtl.Metric("m", True, lambda s: s["none"]),))
    no_metrics = task(metrics=())
    host_sums_fail = task(host_sums=lambda p, b: {"a": p + np.ones(5)})
    constant_too_wide = task(constant=lambda b: np.zeros(5))
    picture_of_one_channel = task(draw=lambda p, b: (np.zeros((len(p), 1, 4, 4, 1), np.uint8),) * 2)


    def callback_loss(prediction, batch):
        def fails(p):
            raise RuntimeError("the callback is tired")

        return jax.pure_callback(fails, jax.ShapeDtypeStruct((), np.float32), prediction), jnp.float32(len(prediction))


    loss_calls_back = task(loss=callback_loss)


    class Encoder(nn.Module):
        what: str = "right"

        @nn.compact
        def __call__(self, x):
            flat = nn.Dense(4)(x.reshape(len(x), -1))
            return {
                "right": flat,
                "nothing": None,
                "one": flat.sum(),
                "text": "features",
                "halved": flat[: len(x) // 2],
            }[self.what]


    class Falls(nn.Module):
        def __call__(self, x):
            raise RuntimeError("no such luck")


    class NotLinen:
        def __call__(self, x):
            return x


    def three():
        return 3


    def of_weights(weights):
        """A balancer whose rule says this, whatever it sees."""
        return lambda num_tasks: mtl.balance.from_rule(lambda seen, state: (weights(seen), state), num_tasks, sees="losses")


    one_weight = of_weights(lambda seen: jnp.ones(1))
    weight_of_none = of_weights(lambda seen: seen.gramian.norms)
    no_weights = of_weights(lambda seen: None)


    def adam():
        return optax.adam(1e-3)
'''
CONFIG = """
    from mtljax.train import default_config


    def get_config(word=""):
        config = default_config()
        config.data = "things:arrays()"
        config.model = "MultiTask(things:Encoder())"
        config.tasks = {"age": "regress(label='age')", "kind": "classify(num_classes=3, label='kind')"}
        config.optimizers = dict.fromkeys(("shared", "age", "kind"), "adam(1e-2)")
        config.balance = "uncertainty()"
        config.parallel = "mesh(data=1)"
        config.batch_size, config.steps, config.panel_images = 4, 2, 0
        return config
"""


def lay_out(folder):
    """Writes what the commands and calls are about into a folder."""
    (folder / "things.py").write_text(textwrap.dedent(THINGS))
    (folder / "experiment.py").write_text(textwrap.dedent(CONFIG))
    (folder / "no_function.py").write_text("config = 3\n")
    (folder / "gives_none.py").write_text("def get_config():\n    pass\n")
    (folder / "garbled.py").write_text("def get_config(:\n")
    (folder / "birds").mkdir()
    lines = ["file,age,kind"]
    for i in range(12):
        Image.fromarray(np.full((4, 6, 3), 20 * i, np.uint8)).save(folder / "birds" / f"{i}.png")
        lines.append(f"{i}.png,{i},{('owl', 'finch', 'wren')[i % 3]}")
    (folder / "labels.csv").write_text("\n".join(lines))
    (folder / "lost.csv").write_text("\n".join(lines).replace("7.png", "seven.png"))
    (folder / "a_file").write_text("")
