"""What a step on one task's loss does to every task's: exact, and to first order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax import train
from mtljax.relations import first_order, lookahead
from mtljax.train.step.affinity import make_affinity_step
from tests.train import toys

H = 0.01


def affinities(spread=None, absent=(), norm="none", h=H, **options):
    variables = toys._variables(norm)
    params, state = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    step = make_affinity_step(toys.model(norm, axis_name=spread and spread.axis), toys.TASKS, spread, **options)
    step, place = (jax.jit(step), lambda x: x) if spread is None else (spread.evaluate(step), spread.place_batch)
    given = (params, state, jnp.int32(0), np.int32(3), np.float32(h))
    return jax.tree.map(np.asarray, step(given, place(toys.batch(absent=absent)))[0])


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
        (None, {"accumulate": 2}),
        (train.pmap, {}),
        (lambda: train.mesh(data=4), {"accumulate": 2}),
        (lambda: train.mesh(data=2, fsdp=2, smallest=8), {}),
    ],
    ids=["one", "parts", "pmap", "mesh", "fsdp"],
)
def test_they_are_those_of_steps_by_hand(spread, options):
    close(affinities(spread and spread(), **options), by_hand())
