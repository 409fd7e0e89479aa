"""Parameters in parts: the numbers of one device, and what is kept and sent for them."""

import jax
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from mtljax import train
from mtljax.errors import UserError
from mtljax.train.spread.collectives import collectives
from mtljax.train.step.shards import FSDP, Rule
from tests.train import toys
from tests.train.toys import SGD, run


def mesh(data, fsdp):
    return train.mesh(data=data, fsdp=fsdp, smallest=8)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("balance", "measure", "norm", "data", "fsdp"),
    [
        slow("equal", "shared", "batch", 2, 4),  # the norm that is clipped goes its way
        slow("imtl_l", "shared", "none", 2, 4),
        slow("pcgrad", "shared", "batch", 2, 4),  # parts of batches add up on such a mesh
        slow("pcgrad", "shared", "batch", 1, 8),
        slow("gradnorm", "shared", "none", 2, 4),
        slow("nash_mtl", "shared", "none", 1, 4),
        slow("imtl", "shared", "none", 2, 4),
        slow("graddrop", "shared", "none", 2, 4),
        slow("moco", "shared", "none", 2, 4),
        ("imtl_g", "last_layer", "batch", 2, 4),
        slow("pcgrad", "features", "batch", 2, 4),
    ],
)
def test_parameters_in_parts_give_the_numbers_of_one_device(balance, measure, norm, data, fsdp):
    kwargs = {"balance": balance, "measure": measure, "norm": norm, "optimizer": SGD}
    expected, report = run(**kwargs)
    found, found_report = run(spread=mesh(data, fsdp), **kwargs)
    np.testing.assert_allclose(found_report["losses"], report["losses"], rtol=1e-5)
    np.testing.assert_allclose(found_report["weights"], report["weights"], rtol=1e-4, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)


@pytest.mark.slow
def test_the_norm_that_is_clipped_is_that_of_all_parts():
    kwargs = {"balance": "equal", "optimizer": optax.sgd(1e-1), "clip_norm": 0.5}
    (params, _), _ = run(**kwargs)
    (parts, _), _ = run(spread=mesh(2, 4), **kwargs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), parts, params)
    start = toys.setup()[0].params
    [(one, _), _] = run(steps=1, **kwargs)
    moved = jax.tree.map(lambda a, b: a - np.asarray(b), one, start)
    np.testing.assert_allclose(optax.tree.norm(moved), 0.1 * 0.5, rtol=1e-4)


@pytest.mark.slow
def test_independent_samples_go_with_parts():
    kwargs = {"balance": "modo", "optimizer": SGD, "steps": 1}
    many, report = run(spread=mesh(1, 4), **kwargs)
    pmapped, expected = run(spread=train.mesh(data=4), **kwargs)
    np.testing.assert_allclose(report["weights"], expected["weights"], rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), many, pmapped)


def test_every_array_of_a_parameters_shape_is_kept_where_the_parameter_is():
    spread = mesh(2, 4)
    state, step = toys.setup(spread=spread, balance="moco")
    state, _ = step(state, spread.place_batch(toys.batch()))
    encoder = state.params["encoder"]
    assert encoder["first"]["kernel"].sharding.spec == P(None, FSDP)
    assert encoder["last"]["kernel"].sharding.spec == P(FSDP)
    kept = [leaf.sharding.shard_shape(leaf.shape) for leaf in jax.tree.leaves(state.optimizer) if leaf.shape == (6, 12)]
    assert kept == [(6, 3)] * 2  # both moments of Adam
    tracked = [leaf for leaf in jax.tree.leaves(state.balance) if leaf.shape == (3, 6, 12)]
    assert [leaf.sharding.shard_shape(leaf.shape) for leaf in tracked] == [(3, 6, 3)]


def test_a_bad_batch_is_skipped_on_all_devices():
    spread = mesh(2, 4)
    state, step = toys.setup(spread=spread, balance="imtl_g", optimizer=SGD)
    before = jax.tree.map(np.asarray, state.params)
    state, report = step(state, spread.place_batch(toys.batch(bad=np.nan)))
    assert not report["finite"]
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, state.params), before)


@pytest.mark.parametrize("balance", ["equal", "imtl_g", slow("nash_mtl")])
def test_what_devices_send_each_other(balance):
    """One gather of the parameters, one reduce-scatter of the Jacobian, one all-reduce of T x T numbers."""
    spread = mesh(1, 4)
    state, step = toys.setup(spread=spread, balance=balance, optimizer=optax.sgd(0.1))
    found = collectives(step.lower(state, spread.place_batch(toys.batch())).compile())
    shapes = [leaf.shape for leaf in jax.tree.leaves(state.params)]
    rule = Rule(4, smallest=8)
    split = sorted(shape for shape in shapes if rule.axis(shape) is not None)
    assert len(split) >= 4
    gathered = sorted(shape for c in found if c.kind == "all-gather" for shape in c.shapes)
    assert gathered == split
    shared = [leaf.shape for leaf in jax.tree.leaves(state.params["encoder"])]
    rows = 1 if balance == "equal" else 3
    sent = sum(rows if shape in shared else 1 for shape in split)
    scattered = [shape for c in found if c.kind == "reduce-scatter" for shape in c.shapes]
    assert len(scattered) == sent
    added = [shape for c in found if c.kind == "all-reduce" for shape in c.shapes]
    assert added.count((3, 3)) == (0 if balance == "equal" else 1)
    whole = {shape for shape in shapes if shape not in split}
    assert all(np.prod(shape) <= 3 or shape == (3, 3) or shape in whole for shape in added)
    assert {c.kind for c in found} == {"all-gather", "reduce-scatter", "all-reduce"}


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((3, 3, 64, 128), 3),
        ((3, 3, 128, 64), 2),
        ((64, 64), 1),
        ((30, 64), 1),
        ((63, 63), None),
        ((16,), None),
        ((), None),
    ],
)
def test_the_longest_axis_that_divides_is_split(shape, axis):
    assert Rule(4).axis(shape) == axis


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fsdp": 9}, r"mesh\(fsdp=9\)': expected 1 to 8"),
        ({"fsdp": 0}, r"mesh\(fsdp=0\)': expected 1 to 8"),
        ({"data": 4, "fsdp": 4}, r"mesh\(data=4\)': expected -1 or 1 to 2, the devices there are over fsdp=4"),
    ],
)
def test_more_devices_than_there_are_is_told(arguments, message):
    with pytest.raises(UserError, match=message):
        train.mesh(**arguments)
