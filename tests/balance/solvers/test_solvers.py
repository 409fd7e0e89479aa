"""Solvers on hard inputs: what they find is right, or their state says that it is none."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance.gramian import Gramian
from mtljax.balance.solvers import positive_equation, quadratic_program


def solve(balancer, rows):
    rows = np.asarray(rows, np.float32)
    params = jnp.zeros(rows.shape[1])
    return jitted(balancer)(rows, balancer.init(params), params, losses=jnp.ones(len(rows)))


@functools.cache
def jitted(balancer):
    return jax.jit(balancer.update)


def test_fairgrad_from_a_start_that_a_whole_step_would_leave():
    _, state = solve(mtl.fairgrad(2, alpha=2.0), [[1, 0], [270, 130.767]])
    np.testing.assert_allclose(state.weights, [0.99754268, 1.3660096e-05], rtol=1e-4)
    assert state.solved


@jax.jit
def solutions(norms, cosines, alpha):
    return jax.vmap(lambda n, c: positive_equation.solve(Gramian(n, c), alpha))(norms, cosines)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_equations_of_badly_scaled_rows_are_solved(alpha):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 8, 40))
    norms = np.linalg.norm(rows, axis=2)
    cosines = np.einsum("ntp,nsp->nts", rows, rows) / norms[:, None] / norms[:, :, None]
    scales = 10 ** rng.uniform(-3, 3, norms.shape)
    weights, solved = solutions(scales.astype(np.float32), cosines.astype(np.float32), alpha)
    # The right side of a long row may be so small that errors of cosines, had these any, would change it by 5 %.
    assert solved.all() if alpha in (1, 2) else solved.mean() > 0.95
    weights = np.asarray(weights, np.float64)
    left = scales * np.einsum("nts,ns->nt", cosines, scales * weights)
    right = weights ** (-1 / alpha)
    # Each term of a left side is known to a rounding error of its own size.
    noise = 20 * np.finfo(np.float32).eps * scales * np.einsum("nts,ns->nt", np.abs(cosines), scales * weights)
    assert (np.abs(left - right) < 1e-4 * right + noise).all()
    assert (noise < right).all()


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_what_is_called_solved_holds_where_gradients_nearly_oppose(alpha):
    """Of the true cosines, which those that are given are some rounding errors away from, as sums in float32 are."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 8, 40))
    along = 10 ** np.linspace(-6, -1, 200)[:, None]  # cosines of -1 + this
    rows[:, 1] = (along - 1) * rows[:, 0] / np.linalg.norm(rows[:, 0], axis=1, keepdims=True)
    beside = rows[:, 2] - (rows[:, 2] * rows[:, 0]).sum(1, keepdims=True) * rows[:, 0] / (rows[:, 0] ** 2).sum(
        1, keepdims=True
    )
    rows[:, 1] += np.sqrt(1 - (1 - along) ** 2) * beside / np.linalg.norm(beside, axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    cosines = np.einsum("ntp,nsp->nts", rows, rows)
    noise = rng.uniform(-1, 1, cosines.shape) * 16 * np.finfo(np.float32).eps
    given = cosines + (noise + noise.swapaxes(1, 2)) / 2 * (1 - np.eye(8))
    weights, solved = solutions(np.ones((200, 8), np.float32), given.astype(np.float32), alpha)
    weights, solved = np.asarray(weights, np.float64), np.asarray(solved)
    off = np.abs(np.einsum("nts,ns->nt", cosines, weights) * weights ** (1 / alpha) - 1).max(1)
    assert (off[solved] < 0.05).all()
    assert not solved[:60].any()
    assert solved[120:].all()


TOLD = {
    "some": [[1, 0.2, 0], [-0.5, 1, 0.1], [0, 1, -1]],
    "obtuse": [[1, 0, 0], [-1, 0.5, 0], [0.3, 0.4, 0.5]],
    "not nearly opposite": [[1, 0, 0], [-1, 3e-3, 0], [0.3, 0.4, 0.5]],
    "not opposite": [[1, 0, 0], [-1, 0, 0], [0.3, 0.4, 0.5]],
    "not of other lengths in a line": [[1, 0, 0], [0.5, 0, 0], [0.3, 0.4, 0.5]],
    "one": [[1, 2, 3], [0, 0, 0], [0, 0, 0]],
    "none": [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
}


@pytest.mark.parametrize("method", ["imtl_g", "config", pytest.param("aligned_mtl", marks=pytest.mark.slow)])
def test_a_direction_that_float32_cosines_do_not_tell_is_flagged(method):
    cases = np.array(list(TOLD.values()), np.float32)
    balancer, params = getattr(mtl, method)(3), jnp.zeros(3)
    with jax.disable_jit():  # as they are small, which takes less time than to compile them
        seen = [mtl.balance.gramian(jnp.asarray(rows), params, 3) for rows in cases]
    norms, cosines = (jnp.stack(parts) for parts in zip(*seen, strict=True))
    weigh = jax.jit(jax.vmap(lambda *g: balancer.weigh(balancer.init(params), gramian=Gramian(*g))[1].solved))
    found = dict(zip(TOLD, weigh(norms, cosines).tolist(), strict=True))
    expected = {case: not case.startswith("not") for case in TOLD}
    if method == "config":  # any cosine to both is equal, and there is no weight to tell
        expected["not of other lengths in a line"] = True
    assert found == expected


@pytest.mark.parametrize("method", ["nash_mtl", "fairgrad"])
def test_where_there_is_no_solution_the_state_says_so(method):
    balancer = getattr(mtl, method)(2)
    direction, state = solve(balancer, [[1, 0], [-2, 0]])
    assert not state.solved
    assert jnp.isfinite(direction).all()
    assert solve(balancer, [[1, 0], [-2, 1]])[1].solved
    if method == "nash_mtl":  # and so says what is made of it
        assert not solve(mtl.compose(mtl.equal(2), balancer), [[1, 0], [-2, 0]])[1].solved
        assert not solve(mtl.cr_mogm(2, balancer), [[1, 0], [-2, 0]])[1].solved


def test_nash_mtl_keeps_whether_its_weights_solve_anything():
    balancer, params = mtl.nash_mtl(2, update_every=3), jnp.zeros(2)
    state, update = balancer.init(params), jax.jit(balancer.update)
    for _ in range(3):
        _, state = update(jnp.array([[1.0, 0.0], [-2.0, 0.0]]), state, params)
        assert not state.solved
    _, state = update(jnp.eye(2), state, params)
    assert state.solved


SOLVERS = ("mgda", "upgrad", "dualproj", "cagrad", "pcd", "nash_mtl", "fairgrad")


@pytest.mark.parametrize(
    "method", [m if m in ("mgda", "nash_mtl") else pytest.param(m, marks=pytest.mark.slow) for m in SOLVERS]
)
def test_a_search_that_is_cut_short_is_reported(method, monkeypatch):
    rows = np.random.default_rng(1).normal(size=(6, 8)) * np.logspace(-1, 1, 6)[:, None]
    assert solve(getattr(mtl, method)(6), rows)[1].solved
    whole = quadratic_program.bounded_while
    monkeypatch.setattr(quadratic_program, "bounded_while", lambda *a, max_steps: whole(*a, max_steps=0))
    assert not solve(getattr(mtl, method)(6), rows)[1].solved


TWO = (True, True, False)
OPPOSITE = {
    "in a line": ([[1, 0, 0], [-2, 0, 0], [0, 0, 0]], TWO, [2 / 3, 1 / 3, 0]),
    "nearly": ([[1, 0, 0], [-2, 2e-3, 0], [0, 0, 0]], TWO, [2 / 3, 1 / 3, 0]),
    "0.2 degrees off": ([[1, 0, 0], [-2, 7e-3, 0], [0, 0, 0]], TWO, [2 / 3, 1 / 3, 0]),
    "two of three": ([[1, 0, 0], [-2, 0, 0], [0, 1, 0]], (True, True, True), [2 / 3, 1 / 3, 0]),
}


@pytest.mark.parametrize("method", ["imtl_g", "imtl"])
def test_imtl_g_does_not_climb_on_opposite_gradients(method):
    balancer, params = getattr(mtl, method)(3), jnp.zeros(3)
    for case, (rows, present, expected) in OPPOSITE.items():
        given = {"losses": np.ones(3, np.float32), "present": np.array(present)}
        direction, state = jitted(balancer)(np.array(rows, np.float32), balancer.init(params), params, **given)
        np.testing.assert_allclose(state.weights, expected, atol=1e-3, err_msg=case)
        assert np.linalg.norm(direction) < 5e-3


def by_scipy(rows, normalise, losses):
    """MGDA's weights by the authors' normalisations, on a fine grid of two tasks."""
    norms = np.linalg.norm(rows, axis=1)
    scale = {"none": 1, "l2": norms, "loss": losses, "loss+": losses * norms}[normalise] * np.ones(2)
    first = np.linspace(0, 1, 100_001)
    points = first[:, None] * rows[0] / scale[0] + (1 - first)[:, None] * rows[1] / scale[1]
    best = first[np.argmin((points**2).sum(1))]
    return np.array([best, 1 - best])


@pytest.mark.parametrize("normalise", ["none", "l2", "loss", "loss+"])
def test_mgda_normalises_by_what_it_is_told(normalise):
    rows, losses = np.array([[2.0, 0.3], [0.4, 1.0]]), np.array([3.0, 0.7])
    balancer, params = mtl.mgda(2, normalise=normalise), jnp.zeros(2)
    with jax.disable_jit():  # takes less time than to compile it
        direction, state = balancer.update(
            jnp.asarray(rows, jnp.float32), balancer.init(params), params, losses=jnp.asarray(losses)
        )
    expected = by_scipy(rows, normalise, losses)
    np.testing.assert_allclose(state.weights, expected, atol=1e-4)
    np.testing.assert_allclose(direction, expected @ rows, atol=1e-3)


@pytest.mark.parametrize("scale", ["min", "median", "rmse"])
def test_aligned_mtl_scales_by_what_it_is_told(scale):
    rows = np.random.default_rng(0).normal(size=(4, 9)) * np.array([[0.3], [1], [2], [4]])
    values, vectors = np.linalg.eigh(rows @ rows.T)
    chosen = {"min": values[0], "median": values[1], "rmse": values.mean()}[scale]
    expected = rows.T @ (np.sqrt(chosen) * vectors @ np.diag(values**-0.5) @ vectors.T @ np.full(4, 0.25))
    direction, _ = solve(mtl.aligned_mtl(4, scale=scale), rows)
    np.testing.assert_allclose(direction, expected, rtol=1e-3, atol=1e-4)
