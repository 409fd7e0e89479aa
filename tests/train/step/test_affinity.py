"""What a step on one task's loss does to every task's: exact, and to first order."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.balance.linearized.owners import Owners as OfLeaf
from mtljax.relations import first_order, lookahead
from mtljax.train.step.affinity import known, make_affinity_step
from mtljax.train.step.owners import Owners
from tests.train import toys

H = 0.01


def affinities(spread=None, absent=(), norm="none", h=H, **options):
    variables = toys._variables(norm)
    params, state = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    step = make_affinity_step(toys.model(norm, axis_name=spread and spread.axis), toys.TASKS, spread, **options)
    step, place = (jax.jit(step), lambda x: x) if spread is None else (spread.evaluate(step), spread.place_batch)
    given = (params, state, jnp.int32(0), np.int32(3), np.float32(h))
    return jax.tree.map(np.asarray, step(given, place(toys.batch(absent=absent)))[0])


@functools.cache
def by_hand(absent=(), norm="none"):
    """From the encoder's gradients, one task at a time, with the functions for arrays."""
    batch, variables = toys.batch(absent=absent), toys._variables(norm)
    params, state = dict(variables["params"]), {k: v for k, v in variables.items() if k != "params"}

    @jax.jit
    def losses(encoder):
        given = {"params": {**params, "encoder": encoder}, **state}
        predictions, _ = toys.model(norm).apply(given, batch["image"], train=True, mutable=list(state))
        found = [task.loss(predictions[name], batch) for name, task in toys.TASKS.items()]
        return jnp.stack([total / jnp.maximum(count, 1) for total, count in found])

    before, rows = losses(params["encoder"]), jax.jit(jax.jacrev(losses))(params["encoder"])
    after = [losses(jax.tree.map(lambda p, g, t=t: p - H * g[t], params["encoder"], rows)) for t in range(3)]
    flat = np.concatenate([np.reshape(leaf, (3, -1)) for leaf in jax.tree.leaves(rows)], axis=1).astype(float)
    there = [name not in absent for name in toys.TASKS]
    before, after, gramian = np.asarray(before), np.stack(after), flat @ flat.T
    exact, first = (np.full((3, 3), np.nan) for _ in range(2))
    pairs = np.ix_(there, there)
    exact[pairs] = lookahead(before[there], after[pairs], H)
    first[pairs] = first_order(gramian[pairs], before[there])
    return exact, first


def close(found, expected):
    for name, matrix in zip(("affinity", "affinity_first"), expected, strict=True):
        np.testing.assert_allclose(found[name], matrix, rtol=2e-3, atol=1e-3 * np.nanmax(np.abs(matrix)))


@pytest.mark.parametrize(
    ("spread", "options"),
    [
        (None, {}),
        pytest.param(None, {"accumulate": 2}, marks=pytest.mark.slow),  # on a mesh, below
        pytest.param(train.pmap, {}, marks=pytest.mark.slow),  # eight devices, below
        (lambda: train.mesh(data=4), {"accumulate": 2}),
        (lambda: train.mesh(data=2, fsdp=2, smallest=8), {}),
    ],
    ids=["one", "parts", "pmap", "mesh", "fsdp"],
)
def test_they_are_those_of_steps_by_hand(spread, options):
    close(affinities(spread and spread(), **options), by_hand())


def test_a_task_that_is_absent_has_none():
    found = affinities(absent=("b",))
    close(found, by_hand(absent=("b",)))
    assert np.isnan(found["affinity"]).sum() == np.isnan(found["affinity_first"]).sum() == 5
    assert found["present"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("spread", "accumulate"),
    [(None, 1), pytest.param(lambda: train.mesh(data=2, fsdp=2, smallest=8), 2, marks=pytest.mark.slow)],
)
def test_a_gradient_method_tells_the_first_order_of_its_own_step(spread, accumulate):
    spread, balancer = spread and spread(), mtl.imtl_g(3)
    variables, model = jax.tree.map(jnp.copy, toys._variables("none")), toys.model(axis_name=spread and spread.axis)
    tx = train.partition(dict.fromkeys(("shared", *toys.TASKS), toys.SGD), model.groups(variables["params"]))
    step = train.make_train_step(model, toys.TASKS, balancer, tx, spread=spread, accumulate=accumulate, affinity=True)
    state = train.create(variables, balancer, tx)
    step, batch = jax.jit(step) if spread is None else spread.train(step), toys.batch(absent=("b",))
    if spread is not None:
        state, batch = spread.place_state(state), spread.place_batch(batch)
    found = np.asarray(step(state, batch)[1]["affinity_first"])
    expected = by_hand(absent=("b",))[1]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3 * np.nanmax(np.abs(expected)))


def test_with_batch_statistics_eight_devices_see_what_one_sees():
    close(affinities(train.mesh(), norm="batch"), by_hand(norm="batch"))


class Noisy(nn.Module):
    """Dropout, of which a step must not draw other masks than the losses before it."""

    @nn.compact
    def __call__(self, x, train=False):
        return jnp.tanh(nn.Dense(8)(nn.Dropout(0.5, deterministic=not train)(nn.Dense(12)(x))))


class Double(nn.Module):
    """A head whose predictions stay float64."""

    channels: int

    @nn.compact
    def __call__(self, features, frames=None):
        return nn.Dense(self.channels)(features)


@pytest.mark.parametrize("accumulate", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_it_tends_to_first_order_as_the_step_falls(accumulate):
    """In float64 every gap falls with h, in proportion."""
    with jax.enable_x64(True):
        model = mtl.MultiTask(Noisy(), {name: Double(channels) for name, channels in toys.LABELS.items()})
        params = jax.tree.map(jnp.float64, jax.jit(model.init)(jax.random.key(0), jnp.ones((2, 6)))["params"])
        batch = {k: v if v.dtype == bool else v.astype(np.float64) for k, v in toys.batch().items()}
        step = jax.jit(make_affinity_step(model, toys.TASKS, accumulate=accumulate))
        found = [step((params, {}, jnp.int32(0), np.int32(3), h), batch)[0] for h in (1e-5, 1e-6)]
        exact, first = ([np.asarray(each[name]) for each in found] for name in ("affinity", "affinity_first"))
    gaps = [a - b for a, b in zip(exact, first, strict=True)]
    assert np.max(np.abs(gaps[1] / first[1])) < 1e-2
    np.testing.assert_allclose(gaps[1] / gaps[0], 0.1, rtol=0.1)


OWNERS = Owners((OfLeaf((0, 1)), OfLeaf((2,)), OfLeaf((3, 4), True)))


def test_what_has_no_affinity_is_no_number():
    losses, present = jnp.array([1.0, 0.0, 1.0, 1.0, 1.0]), jnp.ones(5, bool)
    there = np.isfinite(known(jnp.ones((5, 5)), losses, present, OWNERS))
    assert there[:, 0].tolist() == [True, True, False, False, False]  # the others share nothing
    assert there.sum() == 2, "a loss of 0 has no share"
    assert not np.isfinite(known(jnp.full((5, 5), jnp.inf), losses, present, OWNERS)).any()
    negative = known(jnp.ones((5, 5)), -losses, present, OWNERS)
    assert not np.isfinite(negative).any(), "a fall of a negative loss would count as a rise"
