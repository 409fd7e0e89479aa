"""What Python is given in the place of call-strings: named where it can be, marked where it cannot."""

import functools

import flax.linen as nn
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.config import objects
from mtljax.train.config.experiment import build
from mtljax.train.config.naming import named
from tests.train.conftest import changed

KNOWN = {"MLP": mtl.encoders.MLP, "MultiTask": mtl.MultiTask, "Linear": mtl.heads.Linear, "adam": optax.adam}


class Small(nn.Module):
    """An encoder of the user's own."""

    width: int = 4
    normalise: bool = False
    seen: object = None

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x.reshape(len(x), -1))


def halves(num_tasks, seed=0):
    del seed
    return mtl.constant(num_tasks, [0.5] * num_tasks)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (mtl.encoders.MLP((4,)), "MLP(widths=(4,))"),
        (mtl.MultiTask(mtl.encoders.MLP((4, 2)), heads={}), "MultiTask(encoder=MLP(widths=(4, 2)))"),
        (
            mtl.MultiTask(Small(3), heads={"a": mtl.heads.Linear(2)}, gradient_scale={"a": 0.5}),
            f"MultiTask(encoder={__name__}:Small(width=3), heads={{'a': Linear(channels=2)}}, gradient_scale={{'a': 0.5}})",
        ),
        (halves, f"{__name__}:halves()"),
        (functools.partial(halves, seed=3), f"{__name__}:halves(seed=3)"),
        (functools.partial(optax.adam, functools.partial(halves)), None),
        (functools.partial(optax.adam, halves), f"adam({__name__}:halves)"),
        (nn.Dense(3), "flax.linen.linear:Dense(features=3)"),
        (Small(seen=object()), None),
        (functools.partial(halves, seed=float("nan")), None),
        (functools.partial(halves, seed=np.float32(1)), None),
        (lambda: 3, None),
        (functools.wraps(halves)(lambda num_tasks: mtl.equal(num_tasks)), None),
        (optax.adam(1e-3), None),
    ],
)
def test_an_object_is_named_where_text_makes_it_again(value, text):
    assert named(value, KNOWN) == text


@pytest.fixture
def labels(digits):
    """The config of a run of digits without what the tests give as objects."""
    return digits


def built(digits, **choices):
    """The parts of a run, and the config, where objects were given."""
    values, given = objects.split(choices)
    config = changed(digits, **values)
    return build(mtl.train.config.default.checked(config), given), config


def test_objects_and_factories_become_the_parts(labels):
    balancer, adam = mtl.uncertainty(2), optax.adam(1e-3)
    task = mtl.tasks.classify(10, label="left", name="any")
    parts, config = built(labels, model=Small(3, seen=(nn,)), balancer=balancer, optimizers=adam, tasks={"left": task, "right": lambda name: mtl.tasks.classify(10, label=name, name=name)})  # fmt: skip
    assert parts.balancer is balancer
    assert set(parts.transforms.values()) == {adam}
    assert [task.name for task in parts.tasks.values()] == ["left", "right"]
    assert parts.model.encoder == Small(3, seen=(nn,))
    assert set(parts.model.heads) == {"left", "right"}
    assert config.balance == "given('Balancer')"
    assert config.model == "given('Small')"
    assert config.optimizers.to_dict() == dict.fromkeys(("shared", "left", "right"), f"given({type(adam).__name__!r})")


def test_what_has_a_name_needs_no_object(labels):
    parts, config = built(labels, model=Small(3), balancer=halves, parallel=mtl.train.mesh(data=4))
    assert (config.model, config.balance) == (f"MultiTask(encoder={__name__}:Small(width=3))", f"{__name__}:halves()")
    assert config.parallel == "mesh(data=4)"
    again = build(mtl.train.config.default.checked(config))
    assert again.model == parts.model


def test_a_run_tells_a_model_what_it_tells_those_of_call_strings(labels):
    encoder = mtl.encoders.ResNet(depth=10, width=2, dtype=np.dtype(np.float16))
    model = mtl.MultiTask(encoder=encoder, heads={"left": mtl.heads.Linear(10), "right": mtl.heads.Linear(10)})
    made, _ = built(labels, model=model, parallel="pmap", dtype="bfloat16", remat=True)
    assert made.config.model == "given('MultiTask')"
    assert made.model.remat
    assert made.model.encoder.axis_name == made.spread.axis
    assert made.model.encoder.dtype == np.float16, "what was set stays"
    with pytest.raises(UserError, match="has heads for left; the tasks are left, right"):
        built(labels, model=mtl.MultiTask(encoder=encoder, heads={"left": mtl.heads.Linear(10)}))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"data": 3}, "data: something of type int; expected DataSet, a call-string, or what makes one"),
        ({"balancer": optax.adam(1)}, "balancer: something of type .*; expected Balancer"),
        ({"balancer": mtl.pcgrad(3)}, r"balance=.* is for 3 tasks; there are 2"),
        ({"model": 3}, r"model: MultiTask\(encoder=...\) is 3; expected a Flax Linen module"),
        ({"optimizers": optax.sgd(-0.1)}, r"climbs"),
        ({"optimizers": 3}, "expected an optax transformation, not int"),
        ({"optimizers": optax.adam(1e-3), "no_decay": "bias"}, "no_decay='bias' reaches no optimiser that is an object"),
        ({"tasks": [mtl.tasks.depth(), mtl.tasks.depth()]}, "'depth' is there twice"),
        ({"tasks": ["depth()"]}, "something of type str; expected mtl.Task, or a dict by name"),
        ({"balancer": lambda: 1 / 0}, r"ZeroDivisionError"),
    ],
)  # fmt: skip
def test_objects_that_do_not_fit_are_told(labels, choices, message):
    with pytest.raises(UserError, match=message):
        built(labels, **choices)


def test_what_was_given_is_given_again(labels):
    values, _ = objects.split({"balancer": mtl.pcgrad(2), "model": Small(seen=(nn,)), "optimizers": optax.sgd(0.1)})
    config = mtl.train.config.default.checked(changed(labels, **values))
    with pytest.raises(UserError, match=r"balance=given\('Balancer'\).*mtl.load\(workdir, model=..., balancer=..., op"):
        build(config)
    again = objects.again(config, {"model": Small(5, seen=(nn,)), "balancer": "equal()", "optimizers": optax.sgd(0.2)})
    assert build(config, again).model.encoder.width == 5
    with pytest.raises(UserError, match="unknown part of a run 'modle'; did you mean 'model'"):
        objects.again(config, {"modle": 3})


def test_arrays_are_a_data_set():
    values, given = objects.split({"data": {"image": np.zeros((10, 4, 4, 3), np.uint8), "kind": [0, 1] * 5}})
    assert values == {"data": "given('Rows')"}
    assert len(given["data"].split("train")) == 8
