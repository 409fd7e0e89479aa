"""A canary: rows of a Jacobian beside `jax.grad` of each loss, compiled as in a real run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance import linearize_at, mapped_rows_fail

FIELD, *WEIGHTS = np.random.default_rng(0).normal(size=(3, 16, 32, 32, 3)).astype(np.float32)
# The suite compiles with little optimisation; what is looked for here comes with it.
OPTIMISED = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}


def by_its_sum(x):
    return x * x.sum(-1, keepdims=True)


def own_losses(x):
    return tuple((by_its_sum(x) * w).sum() for w in WEIGHTS)


def normals_losses(x):
    task = mtl.tasks.normals()
    valid = jnp.ones((16, 1, 32, 32, 1), bool)
    truths = [task.head.output(w[:, None]) for w in WEIGHTS]
    losses = (task.loss(x[:, None], {"normal": truth, "normal_valid": valid}) for truth in truths)
    return tuple(total / count for total, count in losses)


@functools.cache
def rows(losses, vectorised):
    def jacobian(x):
        return linearize_at(losses, x).jacobian(vectorised=vectorised)

    return jax.jit(jacobian, compiler_options=OPTIMISED)(FIELD)


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize("losses", [own_losses, normals_losses])
def test_each_row_is_the_gradient_of_its_loss(losses, vectorised):
    if vectorised and mapped_rows_fail():
        with pytest.raises(ValueError, match=r"miscompiles a vmap .* jacobian='unrolled'"):
            rows(losses, vectorised)
        return
    for t, row in enumerate(rows(losses, vectorised)):
        expected = jax.jit(jax.grad(lambda x, t=t: losses(x)[t]))(FIELD)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5 * float(jnp.max(jnp.abs(expected))))


@pytest.mark.parametrize(
    ("backend", "version", "fails"),
    [("cpu", "0.10.2", True), ("cpu", "0.10.1", False), ("cpu", "0.12.0.1", False), ("gpu", "0.10.2", False)],
)
def test_only_where_it_was_seen_wrong_it_is_refused(backend, version, fails):
    assert (mapped_rows_fail(backend, version) is not None) == fails
