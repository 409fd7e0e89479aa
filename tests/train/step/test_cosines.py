"""Cosines between tasks' gradients, for methods that see only losses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.errors import UserError
from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.run import loop
from mtljax.train.step.step import make_cosine_step
from tests.runs import lines, state
from tests.train import toys
from tests.train.conftest import changed


def cosines(spread=None, absent=(), **options):
    params = toys.setup()[0].params
    step = make_cosine_step(toys.model(axis_name=spread and spread.axis), toys.TASKS, spread, **options)
    step, place = (jax.jit(step), lambda x: x) if spread is None else (spread.evaluate(step), spread.place_batch)
    variables = (params, {}, jnp.int32(0), np.int32(3))
    return np.asarray(step(variables, place(toys.batch(absent=absent)))[0]["cosines"])


@functools.cache
def by_hand(absent=()):
    batch, params = toys.batch(absent=absent), toys.setup()[0].params

    def losses(params):
        predictions = toys.model().apply({"params": params}, batch["image"])
        found = [task.loss(predictions[name], batch) for name, task in toys.TASKS.items()]
        return jnp.stack([total / jnp.maximum(count, 1) for total, count in found])

    rows = jax.tree.leaves(jax.jit(jax.jacrev(losses))(params)["encoder"])
    rows = np.concatenate([leaf.reshape(3, -1) for leaf in rows], axis=1)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return unit @ unit.T


@pytest.mark.parametrize(
    ("spread", "options"),
    [
        (None, {}),
        pytest.param(None, {"accumulate": 2}, marks=pytest.mark.slow),  # those of a mesh are in parts too
        pytest.param(train.pmap, {}, marks=pytest.mark.slow),
        (lambda: train.mesh(data=4), {"accumulate": 2}),
        (lambda: train.mesh(data=2, fsdp=2, smallest=8), {}),
    ],
    ids=["one", "parts", "pmap", "mesh", "fsdp"],
)
def test_they_are_those_of_the_jacobian(spread, options):
    np.testing.assert_allclose(cosines(spread and spread(), **options), by_hand(), rtol=1e-4, atol=1e-5)


def test_a_task_that_is_absent_has_none():
    found = cosines(absent=("b",))
    np.testing.assert_allclose(found, by_hand(absent=("b",)), rtol=1e-4, atol=1e-5)
    assert (found[1] == 0).all()


@pytest.fixture(scope="module")
def looked(digits, tmp_path_factory):
    """A run of 6 steps that looks at every second, and writes every third; and one that does not look."""
    config = changed(digits, steps=6, log_every=3, parallel="mesh(data=1)")
    folders = [tmp_path_factory.mktemp("cosines") / name for name in ("looking", "not")]
    loop.train(changed(config, cosines_every=2), folders[0])
    loop.train(config, folders[1])
    return folders


@pytest.mark.slow  # affinities, which go the same way, have the same test
def test_every_so_many_steps_they_are_written_and_nothing_else_changes(looked):
    told = [{line["step"]: line for line in lines(folder, "train")} for folder in looked]
    name = "balance/cosine/left/right"
    assert [step for step, line in told[0].items() if name in line] == [2, 4, 6]
    assert set(told[0][2]) == {"step", "split", "time", name}
    assert all(name not in line for line in told[1].values())
    for step in (3, 6):
        for key, value in told[1][step].items():
            assert key in ("time", "input/wait_share") or told[0][step][key] == value
    found, expected = (state(folder, 6) for folder in looked)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)


@pytest.mark.slow
def test_they_are_those_that_a_gradient_method_sees_in_the_same_step(digits, tmp_path):
    """At the first step both have the same parameters."""
    config = changed(digits, steps=1, log_every=1, cosines_every=1, parallel="mesh(data=1)")
    for balance in ("equal()", "imtl_g()"):
        loop.train(changed(config, balance=balance), tmp_path / balance)
    found = [lines(tmp_path / balance, "train")[0]["balance/cosine/left/right"] for balance in ("equal()", "imtl_g()")]
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert -1 < found[0] < 1


@pytest.mark.slow
def test_pairs_without_a_cosine_are_left_out_for_gradient_methods_too(digits, tmp_path):
    loop.train(changed(digits, balance="pcgrad()", missing=0.999, log_every=1, parallel="mesh(data=1)"), tmp_path / "r")
    assert not [key for line in lines(tmp_path / "r", "train") for key in line if key.startswith("balance/cosine")]


def test_what_has_none_is_told_at_the_start(digits):
    def said(**changes):
        parts = experiment.build(checked(changed(digits, cosines_every=1, parallel="mesh(data=1)", **changes)))
        return [note for note in checks.notes(parts, checks.fit(parts)) if "cosines_every=1" in note]

    assert not said()
    assert (
        "share nothing"
        in said(model="SingleTask(MLP((4,)))", optimizers=dict.fromkeys(("left", "right"), "sgd(0.1)"))[0]
    )
    alone = {"tasks": {"left": digits.tasks.left}, "optimizers": dict.fromkeys(("shared", "left"), "sgd(0.1)")}
    assert "one task alone" in said(**alone)[0]


def test_a_number_below_zero_is_refused(digits):
    with pytest.raises(UserError, match="cosines_every=-1: expected at least 0"):
        checked(changed(digits, cosines_every=-1))
    assert mtl.train.default_config().cosines_every == 0
