"""Functions of the user's own in call-strings: `module:function`, in every one of them, and what is said of mistakes."""

import textwrap

import jax
import ml_collections
import numpy as np
import optax
import pytest

from mtljax.balance import Balancer
from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config.callstring import resolve
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import augmentation_of, balancer_of, build, optimizer_of
from mtljax.train.config.group_table import group_table
from mtljax.train.run import loop

MODULE = """
    import flax.linen as nn
    import numpy as np
    import optax

    import mtljax as mtl
    from mtljax.data import augment

    SIZE = 3
    calls = []


    class Numbers:
        def __init__(self, path, size):
            self.name, self.path, self.size = "numbers", path, size

        def split(self, name):
            rng = np.random.default_rng(len(name))
            valid = np.array(True)
            return [
                {"image": rng.integers(0, 256, (1, 4, 4, 3)).astype(np.uint8), "kind": np.int32(i % 3), "kind_valid": valid}
                for i in range(self.size)
            ]


    def numbers(path="here", size=12):
        return Numbers(path, size)


    def kind(name, label="kind", head=None):
        calls.append(("kind", name))
        return mtl.tasks.classify(num_classes=3, label=label, name=name, head=head or mtl.heads.Linear(3))


    class Head(nn.Module):
        factor: float = 1.0

        @nn.compact
        def __call__(self, features, frames=None):
            return self.factor * mtl.heads.Linear(3)(features, frames)


    class Encoder(mtl.encoders.MLP):
        pass


    class Sharing(mtl.MultiTask):
        pass


    def halves(num_tasks, share=0.5):
        calls.append(("halves", num_tasks))
        return mtl.constant(num_tasks, [share] * num_tasks)


    def decaying(learning_rate, weight_decay=0.1, mask=None):
        calls.append(("decaying", mask))
        return optax.adamw(learning_rate, weight_decay=weight_decay, mask=mask)


    def unmasked(learning_rate, weight_decay=0.1):
        return optax.adamw(learning_rate, weight_decay=weight_decay)


    def falling(first, steps):
        return optax.linear_schedule(first, 0.0, steps)


    def dark(factor=0.5):
        def change(example, rng):
            return example | {"image": (example["image"] * factor).astype(np.uint8)}

        return augment.Augmentation(f"dark({factor})", change)


    def nothing():
        return None
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The name of a module of the user's own, on the path; the module itself is not imported yet."""
    name = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{name}.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    return name


def config(mine, **changes):
    made = default_config()
    made.data = f"{mine}:numbers(path='a:b', size=16)"
    made.model = f"MultiTask(encoder={mine}:Encoder([4]))"
    made.tasks = {"kind": f"{mine}:kind(head={mine}:Head(factor=2.0))"}
    made.balance = f"{mine}:halves(share=0.25)"
    made.optimizers = {"shared": f"{mine}:decaying({mine}:falling(0.1, steps))", "kind": "sgd(0.1)"}
    made.augment = f"compose({mine}:dark(factor=0.5), flip())"
    made.batch_size, made.steps, made.panel_images, made.log_every = 8, 2, 0, 1
    for key, value in changes.items():
        made[key] = ml_collections.ConfigDict(value) if isinstance(value, dict) else value
    return checked(made)


def module(name):
    return __import__(name)


def test_everything_may_be_of_ones_own_and_is_trained(mine, tmp_path):
    given = config(mine)
    figures = loop.train(given, tmp_path / "run")
    assert np.isfinite(figures["kind/loss"])
    parts, own = build(given), module(mine)
    assert (parts.data.path, parts.data.size) == ("a:b", 16)
    assert isinstance(parts.tasks["kind"].head, own.Head)
    assert isinstance(parts.model.encoder, own.Encoder)
    assert ("kind", "kind") in own.calls
    assert ("halves", 1) in own.calls
    example = parts.training[0]
    assert parts.augmented(example, 0)["image"].sum() < 0.6 * example["image"].sum()


def test_a_way_to_share_of_ones_own(mine):
    parts = build(config(mine, model=f"{mine}:Sharing({mine}:Encoder([4]))"))
    assert type(parts.model) is module(mine).Sharing
    assert list(parts.model.heads) == ["kind"]


def test_own_names_stand_among_ours(mine):
    found = build(config(mine, data=f"mix({{'a': {mine}:numbers(), 'b':{mine}:numbers(size=4)}})")).data
    assert [part.size for part in found.sets.values()] == [12, 4]
    assert isinstance(balancer_of(f"compose({mine}:halves(), pcgrad())", 2, 0), Balancer)
    assert augmentation_of(f"{mine}:dark") is not None
    tx = optimizer_of(f"chain(clip(1.0), {mine}:decaying({mine}:falling(1e-3, steps)))", 5)
    assert isinstance(tx, optax.GradientTransformation)


def test_a_bare_name_is_a_call_outside_and_a_function_inside():
    assert resolve("math:sqrt(16)", {}, kind="thing") == 4
    assert resolve("builtins:dict", {}, kind="thing") == {}
    assert resolve("keep(math:sqrt)", {"keep": lambda x: x}, kind="thing")(9) == 3
    assert resolve("keep({'a': os.path:join, 'b':math:sqrt})", {"keep": list}, kind="thing") == ["a", "b"]


def test_weight_decay_of_ones_own_is_masked_or_refused(mine):
    params = {"a": {"kernel": np.ones((2, 2)), "bias": np.ones(2)}}
    group = {"shared": f"{mine}:decaying(0.1)", "kind": "sgd(0.1)"}
    parts = build(config(mine, no_decay="norms and biases", optimizers=group))
    assert module(mine).calls[-1][1](params) == {"a": {"kernel": True, "bias": False}}
    parts.optimizer(parts.shapes(jax.numpy.zeros((1, 1, 4, 4, 3)))["params"])  # one that masks is enough
    with pytest.raises(UserError, match=r"unmasked\(\) decays weights without a mask"):
        build(config(mine, no_decay="norms and biases", optimizers=group | {"kind": f"{mine}:unmasked(0.1)"}))


def test_the_table_shows_them_as_they_are_written():
    optimizers = {"shared": "my.rules:lion(my.rules:slow_schedule(1e-3, steps))"}
    table = group_table({"a": "shared"}, {"a": np.zeros(3)}, optimizers)
    assert table.splitlines()[1].split(maxsplit=2)[2].split("  ") == [
        "my.rules:lion(schedule)",
        "my.rules:slow_schedule(0.001, steps)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{mine}:numbrs()",
            r"^data '\S+:numbrs\(\)': unknown function of module '\S+': 'numbrs'; did you mean 'numbers'\?",
        ),
        ("{mine}:SIZE()", r"^data '\S+': \S+:SIZE is no function, but a value of type int\.$"),
        ("{mine}:SIZE", r":SIZE is no function, but a value of type int\.$"),
        ("mix(scenes(), {mine}:SIZE)", r":SIZE is no function, but a value of type int\.$"),
        ("{mine}:numbers(sise=3)", r"argument of \S+:numbers\(\) in data .*: 'sise'; did you mean 'size'"),
        ("{mine}:numbers(size=3, size=4)", r": \S+:numbers\(\) is given 'size' twice\.$"),
        ("{mine}:nothing()", r"^data '\S+': gives something of type NoneType; expected DataSet\.$"),
        ("{mine}_:numbers()", r"there is no module '\S+_' on Python's path; did you mean '\S+[^_]'\? PYTHONPATH adds"),
        ("nowhere_at_all.inner:f()", r"there is no module 'nowhere_at_all' on Python's path.* PYTHONPATH"),
        ("xml.domm:f()", r"there is no module 'xml.domm' on Python's path; did you mean 'xml.dom'\?"),
        ("xml.dom:f()", r"unknown function of module 'xml.dom': 'f'"),
        (
            "broken:f()",
            r"^data 'broken:f\(\)': module 'broken' cannot be imported: ZeroDivisionError: division by zero "
            r"\(\S+broken.py, line 1, in <module>\)\.$",
        ),
        ("leaving:f()", r"module 'leaving' cannot be imported: SystemExit: 3 \(\S+, line 1, in <module>\)\.$"),
        ("lacking:f()", r"module 'lacking' cannot be imported: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("garbled:f()", r"module 'garbled' cannot be imported: SyntaxError: "),
        ("os.path.join('a')", r"may hold calls of known names, .* and nothing else\.$"),
        ("mix({{'a': math:pi.real}})", r"may hold calls of known names, .* and nothing else: 'math:pi.real'\.$"),
        ("{mine} :numbers()", r"is not a call-string"),
    ],
)
def test_mistakes_get_one_clear_message(mine, tmp_path, text, message):
    faults = {"broken": "1 / 0", "leaving": "raise SystemExit(3)", "lacking": "import nowhere_at_all", "garbled": "f("}
    for name, code in faults.items():
        (tmp_path / "modules" / f"{name}.py").write_text(code)
    with pytest.raises(UserError, match=message) as told:
        build(config(mine, data=text.format(mine=mine)))
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model", r"model '\S+:nothing\(\)' gives something of type NoneType without init, apply, groups"),
        ("balance", r"balancer '\S+:nothing\(\)': gives something of type NoneType; expected Balancer"),
        ("augment", r"augmentation '\S+:nothing\(\)': gives something of type NoneType; expected Augmentation"),
        ("parallel", r"parallel '\S+:nothing\(\)': gives something of type NoneType; expected Spread"),
        ("tasks", r"tasks.kind: task '\S+:nothing\(\)': gives something of type NoneType; expected Task"),
        ("optimizers", r"optimizers.kind='\S+:nothing\(\)': expected an optax transformation, not NoneType"),
    ],
)
def test_what_a_function_gives_must_be_what_is_wanted(mine, key, message):
    text = f"{mine}:nothing()"
    with pytest.raises(UserError, match=message):
        build(config(mine, **{key: {"kind": text} if key in ("tasks", "optimizers") else text}))


def test_nothing_is_imported_that_is_not_named(mine, tmp_path):
    (tmp_path / "modules" / "told.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    for text in ("keep('told:f')", "keep({'told':1})", "keep('a', {told:f})", "told.f()"):
        try:
            resolve(text, {"keep": lambda *args: None}, kind="thing", nested={"told": 1, "f": 2})
        except UserError:
            assert text == "told.f()"
    assert not (tmp_path / "imported").exists()
