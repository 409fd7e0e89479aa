"""Runs on what is no image: a tree of arrays, under every way of measuring, and vectors with a panel."""

import textwrap

import numpy as np
import pytest
from PIL import Image

from mtljax import data
from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config import checks
from mtljax.train.config import default as run_config
from mtljax.train.config.experiment import build
from mtljax.train.run import inputs_file, loop

RNG = np.random.default_rng(0)
WORDS = RNG.integers(0, 7, (24, 5))
ARRAYS = {
    "words": WORDS,
    "sound": RNG.normal(size=(24, 6, 2)).astype(np.float32),
    "kind": WORDS[:, 0] % 2,
    "age": WORDS.mean(axis=1),
}
ENCODER = """
    import flax.linen as nn
    import jax.numpy as jnp
    from flax import nnx


    class Net(nnx.Module):
        def __init__(self, inputs, width, *, rngs):
            self.layers = nnx.List([nnx.Linear(inputs, width, rngs=rngs), nnx.BatchNorm(width, rngs=rngs)])
            self.dropped = nnx.Dropout(0.3, rngs=rngs)

        def __call__(self, x):
            return self.dropped(self.layers[1](self.layers[0](x)))


    def net(inputs=5, width=8):
        return nnx.bridge.to_linen(Net, inputs, width)


    class Words(nn.Module):
        @nn.compact
        def __call__(self, inputs, train=False):
            words = nn.Embed(7, 4)(inputs["words"]).mean(axis=1)
            sound = nn.Dense(4)(inputs["sound"]).mean(axis=1)
            return nn.Dense(8)(nn.Dropout(0.1)(jnp.concatenate([words, sound], axis=-1), deterministic=not train))
"""


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    name = f"words_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(ENCODER))
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:Words()"


def config(monkeypatch, model, inputs=("words", "sound"), **changes):
    monkeypatch.setitem(data.SOURCES, "made", lambda: data.from_arrays(ARRAYS, inputs=inputs))
    made = default_config()
    made.data, made.model = "made()", model
    made.tasks = {"kind": "classify(num_classes=2, label='kind')", "age": "regress(label='age', mean=3.0)"}
    made.optimizers = dict.fromkeys(("shared", "kind", "age"), "adam(1e-2)")
    made.batch_size, made.steps, made.log_every, made.parallel = 8, 2, 1, "mesh(data=1)"
    made.update(changes)
    return run_config.checked(made)


@pytest.mark.parametrize(
    "measure", ["features", *(pytest.param(name, marks=pytest.mark.slow) for name in ("shared", "last_layer"))]
)
def test_a_tree_of_inputs_is_trained_on(encoder, tmp_path, monkeypatch, measure):
    balance = "gradnorm()" if measure == "last_layer" else "imtl_g()"
    model = f"MultiTask(encoder={encoder})"
    given = config(monkeypatch, model, measure=measure, balance=balance, accumulate=1 + (measure == "shared"))
    looked_at_after = measure == "shared"
    given.panel_images = 2 * looked_at_after
    figures = loop.train(given, tmp_path / "run")
    assert all(np.isfinite(figures[f"{name}/loss"]) for name in ("kind", "age"))
    assert (tmp_path / "run" / "panel.png").exists() == looked_at_after  # of what tasks draw alone
    if looked_at_after:
        assert loop.evaluate(given, tmp_path / "run")["age/MAE"] == figures["age/MAE"]


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["mesh(data=2)", "mesh(data=1, fsdp=2)"])
def test_a_module_of_nnx_is_trained_saved_and_gone_on_from(encoder, tmp_path, monkeypatch, parallel):
    model = f"MultiTask(encoder={encoder.replace('Words', 'net')})"
    given = config(monkeypatch, model, inputs="words", parallel=parallel, panel_images=0, steps=3)
    figures = loop.train(given, tmp_path / "run")
    assert loop.evaluate(given, tmp_path / "run")["age/MAE"] == figures["age/MAE"]
    given.steps = 4
    assert np.isfinite(loop.train(given, tmp_path / "run", allow_config_change=True)["kind/loss"])


@pytest.mark.parametrize("model", ["MultiTask(MLP([4]))", "CrossStitch(MLP([4]))", "PLE(MLP([4]), shared=1, own=1)"])
def test_arrays_of_floats_are_taken_side_by_side(monkeypatch, model):
    parts = build(config(monkeypatch, model, inputs=["sound"]))
    fitted = checks.fit(parts)
    kernels = {leaf.shape[0] for leaf in _leaves(fitted.shapes["params"]) if leaf.ndim > 1}
    assert 6 * 2 in kernels
    assert checks.notes(parts, fitted) == []


def _leaves(tree):
    return [leaf for value in tree.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]


@pytest.mark.slow  # a tree of inputs has a panel too
def test_a_panel_of_vectors_shows_what_tasks_draw(tmp_path, monkeypatch):
    given = config(monkeypatch, "MultiTask(encoder=MLP([4]))", inputs="words", steps=1, panel_images=2)
    loop.train(given, tmp_path / "run")
    with Image.open(tmp_path / "run" / "panel.png") as panel:
        assert panel.width > 100


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("MultiTask(MLP([4]))", {}, r"inputs \['sound'\] \(8, 6, 2\), .*words.* holds int32: expected an encoder of"),
        ("MultiTask(ResNet(depth=10))", {"inputs": ["sound"]}, r"^model 'MultiTask\(ResNet.*' on inputs \['sound'\]"),
        ("MultiTask(MLP([4]))", {"inputs": ["sound"], "augment": "flip()"}, r"augment='flip\(\)': .*has `inputs`, no"),
    ],
)
def test_what_does_not_take_a_tree_says_so(monkeypatch, model, changes, message):
    with pytest.raises(UserError, match=message):
        checks.fit(build(config(monkeypatch, model, **changes)))


def test_inputs_that_are_no_numbers_are_told(monkeypatch):
    def nan(name):
        return [example | {"inputs": {"a": np.full(3, np.nan)}} for example in ARRAYS_OF("sound").split(name)]

    def ARRAYS_OF(key):
        return data.from_arrays(ARRAYS, inputs=[key])

    made = config(monkeypatch, "MultiTask(MLP([4]))")
    monkeypatch.setitem(data.SOURCES, "made", lambda: type("Made", (), {"name": "made", "split": staticmethod(nan)})())
    parts = build(made)
    with pytest.raises(UserError, match=r"19 of 19 training examples looked at have inputs that are not finite"):
        checks.notes(parts, checks.fit(parts))


@pytest.mark.parametrize("inputs", [["words"], "words"])
def test_a_mix_is_of_images(inputs):
    one = data.from_arrays(ARRAYS, inputs=inputs)
    with pytest.raises(UserError, match=r"is of images \(s, H, W, C\); one of its sets gives vectors or `inputs`"):
        data.mix({"a": one, "b": one}).split("train")


def test_what_is_true_or_false_has_a_range_too():
    ignored = np.array([[[True], [False]]])
    found = inputs_file._tree({"ignored": ignored[0]}, {"ignored": ignored}, np.ones((1, 2, 1), bool))
    assert found["ignored"] == {"shape": [2, 1], "dtype": "bool", "low": 0.0, "high": 1.0}
