"""Directions against those that independent solvers found in float64, and against the conditions that define them."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls

import mtljax as mtl

TASKS, WIDTH = (5, 40), 200  # what programs are compiled for: they grow with the number of tasks


@functools.cache
def made(method, num_tasks, x64, arguments):
    """A balancer and its jitted update, compiled once for all Jacobians of as many tasks."""
    balancer = getattr(mtl, method)(num_tasks, **dict(arguments))
    return balancer, jax.jit(balancer.update)


def direction(method, jacobian, dtype, **arguments):
    # Absent tasks among the others and parameters that nothing depends on fill it up, so that one compilation serves all.
    number = next(number for number in TASKS if len(jacobian) <= number)
    balancer, update = made(method, number, dtype == jnp.float64, tuple(arguments.items()))
    places = np.linspace(0, number - 1, len(jacobian)).astype(int)
    wide, present = np.zeros((number, WIDTH)), np.zeros(number, bool)
    wide[places, : jacobian.shape[1]], present[places] = jacobian, True
    params = jnp.zeros(WIDTH, dtype)
    found, _ = update(jnp.asarray(wide, dtype), balancer.init(params), params, present=present)
    return np.asarray(found, np.float64)[: jacobian.shape[1]]


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-3), pytest.param(jnp.float64, 1e-6, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("tasks", [range(2, 6), pytest.param((11, 40), marks=pytest.mark.slow)], ids=["few", "many"])
def test_golden_directions(shared, dtype, tolerance, tasks):
    cases = json.loads((shared / "golden" / "aggregators.json").read_text())
    cases = [case for case in cases if len(case["jacobian"]) in tasks]
    wrong = {}
    with jax.enable_x64(dtype == jnp.float64):
        for case in cases:
            for method, expected in case["expected"].items():
                found = direction(method, np.array(case["jacobian"]), dtype, **expected["kwargs"])
                error = relative_error(found, np.array(expected["direction"]))
                if not error < tolerance:
                    wrong[case["name"], method] = error
    assert not wrong


def scaled(seed, rows, width, scales=(1.0,), rank=None):
    rng = np.random.default_rng(seed)
    jacobian = rng.normal(size=(rows, rank or width)) @ (
        np.eye(width) if rank is None else rng.normal(size=(rank, width))
    )
    return jacobian * np.resize(scales, rows)[:, None]


HARD = {
    "scales 0.1 1 10": scaled(0, 3, 12, (0.1, 1.0, 10.0)),
    "scales 1e-6 1 1e6": scaled(1, 3, 12, (1e-6, 1.0, 1e6)),
    "all 1e-6": scaled(2, 5, 12, (1e-6,)),
    "rank 2 of 4": scaled(5, 4, 10, rank=2),
    "more tasks than parameters": scaled(6, 5, 3),
}


MANY = {
    "twelve tasks, more than parameters": scaled(6, 12, 5),
    "forty tasks": scaled(3, 40, 200),
    "forty tasks, scales": scaled(4, 40, 200, (0.1, 1.0, 10.0)),
}
ALL = HARD | MANY


def cases(leave_out=()):
    names = [name for name in ALL if not any(part in name for part in leave_out)]
    return pytest.mark.parametrize(
        "case", [pytest.param(name, marks=pytest.mark.slow if name in MANY else ()) for name in names]
    )


def projection(jacobian, vector):
    """Onto the dual cone, by Lawson and Hanson's algorithm on unit rows in float64."""
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    size = np.linalg.norm(vector)
    return vector + size * units.T @ nnls(units.T, -vector / size, maxiter=10_000)[0]


@cases()
def test_upgrad_is_the_sum_of_projections_onto_the_dual_cone(case):
    jacobian = ALL[case]
    projections = [projection(jacobian, row) for row in jacobian]
    for row, found in zip(jacobian, projections, strict=True):  # the projection theorem: these conditions, and no other
        assert (jacobian @ found >= -1e-9 * np.linalg.norm(jacobian, axis=1) * np.linalg.norm(row)).all()
        assert abs(found @ (row - found)) <= 1e-9 * (row @ row)
    expected = np.mean(projections, axis=0)
    size = np.linalg.norm(jacobian, axis=1).max() if "rank" in case or "more" in case else np.linalg.norm(expected)
    assert np.linalg.norm(direction("upgrad", jacobian, jnp.float32) - expected) < 1e-3 * size
    with jax.enable_x64(True):
        assert np.linalg.norm(direction("upgrad", jacobian, jnp.float64) - expected) < 1e-6 * size


@cases()
def test_dualproj_is_the_projection_of_the_mean(case):
    jacobian = ALL[case]
    expected, size = projection(jacobian, jacobian.mean(axis=0)), np.linalg.norm(jacobian, axis=1).max()
    assert np.linalg.norm(direction("dualproj", jacobian, jnp.float32) - expected) < 1e-3 * size


@pytest.mark.slow
def test_upgrad_on_the_golden_jacobians(shared):
    for case in json.loads((shared / "golden" / "aggregators.json").read_text()):
        jacobian = np.array(case["jacobian"])
        expected = np.mean([projection(jacobian, row) for row in jacobian], axis=0)
        assert relative_error(direction("upgrad", jacobian, jnp.float32), expected) < 1e-3
        assert relative_error(np.array(case["expected"]["upgrad"]["direction"]), expected) < 1e-6


@cases()
def test_mgda_is_the_shortest_vector_of_the_hull(case):
    jacobian = ALL[case]
    with jax.enable_x64(True):
        exact = direction("mgda", jacobian, jnp.float64)
    sizes = np.linalg.norm(jacobian, axis=1)
    squared = exact @ exact
    # Every gradient is at least as far along d as d itself: the condition of the shortest vector.
    assert (jacobian @ exact >= squared - 1e-9 * sizes * max(np.sqrt(squared), 1e-6 * sizes.min())).all()
    found = direction("mgda", jacobian, jnp.float32)
    assert np.linalg.norm(found - exact) < 1e-3 * max(np.linalg.norm(exact), 0.01 * sizes.min())


@pytest.mark.slow
@cases(leave_out=("rank", "more"))
def test_nash_and_fair_weights_solve_their_equations(case):
    jacobian = ALL[case]
    with jax.enable_x64(True):
        exact = {m: direction(m, jacobian, jnp.float64) for m in ("nash_mtl", "fairgrad")}
    for method, power in (("nash_mtl", -1.0), ("fairgrad", -0.5)):
        weights = np.linalg.lstsq(jacobian.T, exact[method], rcond=None)[0]
        np.testing.assert_allclose(jacobian @ exact[method], weights**power, rtol=1e-5)
        assert relative_error(direction(method, jacobian, jnp.float32), exact[method]) < 1e-3


@pytest.mark.slow
@cases(leave_out=("1e6",))
def test_cagrad_is_the_best_worst_improvement_in_its_ball(case):
    jacobian = ALL[case]
    mean = jacobian.mean(axis=0)
    with jax.enable_x64(True):
        exact = direction("cagrad", jacobian, jnp.float64, c=0.4)
    radius = 0.4 * np.linalg.norm(mean)
    assert np.linalg.norm(exact - mean) <= radius * (1 + 1e-9)
    worst = (jacobian @ exact).min()
    rng = np.random.default_rng(0)
    for _ in range(200):
        step = exact + 0.1 * radius * rng.normal(size=exact.shape) / np.sqrt(exact.size)
        away = step - mean
        inside = mean + away * min(1.0, radius / np.linalg.norm(away))
        assert (jacobian @ inside).min() <= worst + 1e-9 * abs(worst)
    assert relative_error(direction("cagrad", jacobian, jnp.float32, c=0.4), exact) < 1e-3


@cases()
def test_imtl_g_config_and_aligned_mtl_in_float32_are_those_of_float64(case):
    jacobian = ALL[case]
    norms = np.linalg.norm(jacobian, axis=1)
    units = jacobian / norms[:, None]
    along = np.linalg.pinv(units) @ np.ones(len(jacobian))
    along /= np.linalg.norm(along)
    expected = (jacobian @ along).sum() * along
    assert relative_error(direction("config", jacobian, jnp.float32), expected) < 1e-3
    if "rank" not in case and "more" not in case:
        weights = np.linalg.solve(units @ units.T, np.ones(len(jacobian))) / norms
        expected = jacobian.T @ (weights / weights.sum())
        assert relative_error(direction("imtl_g", jacobian, jnp.float32), expected) < 1e-3
    if "1e6" not in case:
        left, sizes, right = np.linalg.svd(jacobian, full_matrices=False)
        rank = np.sum(sizes > 1e-10 * sizes[0])
        expected = sizes[rank - 1] * (left[:, :rank] @ right[:rank]).mean(axis=0)
        assert relative_error(direction("aligned_mtl", jacobian, jnp.float32), expected) < 1e-3
