import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls

from mtljax.balance import branches
from mtljax.balance.solvers import quadratic_program


@functools.cache
def solve():
    return jax.jit(jax.vmap(quadratic_program.nonnegative_qp))


@pytest.mark.parametrize(("tasks", "width"), [(4, 30), (4, 3), (24, 60), (24, 10)])
def test_minimises_over_the_non_negative(tasks, width):
    rng = np.random.default_rng(tasks + width)
    rows = rng.normal(size=(20, tasks, width))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    targets = rng.normal(size=(20, width)) + rows.mean(1)
    start = np.zeros((20, tasks), bool)
    matrices, linear = rows @ rows.swapaxes(1, 2), np.einsum("ntp,np->nt", rows, targets)
    with jax.enable_x64(True):
        found = np.asarray(solve()(jnp.asarray(matrices), jnp.asarray(linear), start)[0])
    assert (found >= 0).all()
    for i in range(20):
        exact = nnls(rows[i].T, targets[i])[0]
        np.testing.assert_allclose(rows[i].T @ found[i], rows[i].T @ exact, atol=1e-7)


def test_onto_simplex():
    point = jnp.array([0.4, 2.0, -1.0, 1.5])
    np.testing.assert_allclose(quadratic_program.onto_simplex(point, jnp.ones(4, bool)), [0, 0.75, 0, 0.25], atol=1e-6)
    present = jnp.array([True, False, True, False])
    np.testing.assert_allclose(quadratic_program.onto_simplex(point, present), [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(quadratic_program.onto_simplex(point, jnp.zeros(4, bool)), np.zeros(4))


@pytest.mark.parametrize("far", [-3e38, -1e9, 1e9, 1e20])
def test_onto_simplex_from_far_away(far):
    present = jnp.array([True, True, True, False])
    found = quadratic_program.onto_simplex(jnp.array([far, far, -3e38, 3e38], jnp.float32), present)
    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 1 / 3, 0] if far == -3e38 else [0.5, 0.5, 0, 0], rtol=1e-6)
    none = quadratic_program.onto_simplex(jnp.full(4, far, jnp.float32), jnp.zeros(4, bool))
    np.testing.assert_array_equal(none, 0)


def test_the_number_of_steps_is_bounded():
    counted = quadratic_program.bounded_while(lambda x: x < 100, lambda x: x + 1, jnp.int32(0), max_steps=7)
    assert counted == 7
    assert quadratic_program.bounded_while(lambda x: x < 100, lambda x: x + 1, jnp.int32(0), max_steps=0) == 0
    assert quadratic_program.bounded_while(lambda x: x < 3, lambda x: x + 1, jnp.int32(0), max_steps=7) == 3


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_a_loop_ends_when_it_is_done(backend, monkeypatch):
    """But for a few steps on accelerators, whose outcome is dropped."""
    monkeypatch.setattr(branches, "_backend", lambda: backend)
    steps = []

    def step(x):
        jax.debug.callback(lambda: steps.append(1))
        return x + 1

    found = [quadratic_program.bounded_while(lambda x: x < 6, step, jnp.int32(0), most) for most in (1000, 5)]
    jax.effects_barrier()
    assert found == [6, 5]
    assert 11 <= len(steps) <= 16


def test_whether_a_loop_goes_on_is_computed_at_one_place():
    """Under `vmap` a loop asks twice; where rounding makes the answers differ it never ends."""
    number = jnp.float32(1.0)
    loops = jax.make_jaxpr(lambda x: quadratic_program.bounded_while(lambda y: y < 9.0, jnp.exp, x, 5))(number)
    (loop,) = (equation for equation in loops.eqns if equation.primitive.name == "while")
    assert not loop.params["cond_jaxpr"].eqns
    assert float(quadratic_program.bounded_while(lambda y: y < 9.0, jnp.exp, number, 5)) == pytest.approx(
        15.15, abs=0.01
    )
    assert float(quadratic_program.bounded_while(lambda y: y < 9.0, jnp.exp, number, 1)) == pytest.approx(
        2.718, abs=0.01
    )
