"""How far each method's direction in float32 is from the exact one: worst and median of many Jacobians of each kind.

python benchmarks/precision.py                  # a table in Markdown
python benchmarks/precision.py --cases=50

The Jacobians are rounded to float32; exact directions are found of the same numbers in float64, with NumPy and SciPy,
by other algorithms than the package's. An error is |d - exact| / |exact|; "unsolved" is the share that the
state reports.
"""

import argparse
from collections.abc import Callable

import jax
import machine
import numpy as np
from scipy.optimize import nnls

import mtljax as mtl

TASKS, WIDTH = 4, 64


def kinds(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One Jacobian of each kind, (T, P)."""
    plain = rng.normal(size=(TASKS, WIDTH))
    left, _, right = np.linalg.svd(plain, full_matrices=False)
    pair = plain.copy()
    pair[1] = -2 * pair[0] + 1e-2 * pair[1]
    return {
        "random": plain,
        "norms 10^±3": plain * 10 ** rng.uniform(-3, 3, (TASKS, 1)),
        "condition 30": left * np.geomspace(1, 1 / 30, TASKS) @ right,
        "condition 300": left * np.geomspace(1, 1 / 300, TASKS) @ right,
        "condition 1000": left * np.geomspace(1, 1e-3, TASKS) @ right,
        "nearly opposite pair": pair,
    }


def projected(jacobian: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The nearest point of the dual cone."""
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    return vector + units.T @ nnls(units.T, -vector, maxiter=10_000)[0]


def shortest(jacobian: np.ndarray) -> np.ndarray:
    """The shortest vector of the convex hull."""
    inverse = 1 / np.linalg.norm(jacobian, axis=1)
    units, inverse = jacobian * inverse[:, None], inverse / inverse.max()
    found = (
        nnls(np.vstack([units.T, inverse]), np.append(np.zeros(jacobian.shape[1]), 1.0), maxiter=10_000)[0] * inverse
    )
    return found / found.sum() @ jacobian


def fair(jacobian: np.ndarray, alpha: float) -> np.ndarray:
    """`J^T w` with `G w = w^(-1/alpha)`, by Newton's method with halved steps on logarithms of y = w |g|."""
    norms = np.linalg.norm(jacobian, axis=1)
    units, b = jacobian / norms[:, None], norms ** (1 / alpha - 1)
    cosines, y = units @ units.T, b ** (alpha / (alpha + 1))
    for _ in range(500):
        gap = b * y ** (-1 / alpha) - cosines @ y
        move = np.linalg.solve(cosines + np.diag(b * y ** (-1 / alpha - 1) / alpha), gap)
        y = y + move / (1 + 2 * np.abs(move / y).max())
    return y @ units


def best_worst(jacobian: np.ndarray, c: float) -> np.ndarray:
    """CAGrad's direction: the highest level t, by bisection, whose nearest point is in the ball."""
    mean, norms = jacobian.mean(0), np.linalg.norm(jacobian, axis=1)
    units, radius = jacobian / norms[:, None], c * np.linalg.norm(jacobian.mean(0))

    def nearest(level: float) -> np.ndarray:
        # min |x|^2 / 2 with U x >= h, in its dual form: Lawson and Hanson's least-distance problem.
        h = level / norms - units @ mean
        found, residual = nnls(np.vstack([units.T, h]), np.append(np.zeros(len(mean)), 1.0), maxiter=10_000)
        if residual < 1e-14:
            return np.full(len(mean), np.inf)
        left = np.append(np.zeros(len(mean)), 1.0) - np.vstack([units.T, h]) @ found
        return -left[:-1] / left[-1]

    low, high = (jacobian @ mean).min(), norms.min() * (1 + c) * np.linalg.norm(mean)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(nearest(middle)) <= radius else (low, middle)
    return mean + nearest(low)


def impartial(jacobian: np.ndarray) -> np.ndarray:
    """Equal projections on all gradients, weights of sum 1."""
    norms = np.linalg.norm(jacobian, axis=1)
    left, sizes, right = np.linalg.svd(jacobian / norms[:, None], full_matrices=False)
    inverse = (left / sizes) @ right
    weights = left / sizes**2 @ left.T @ np.ones(len(norms)) / norms
    return inverse.T @ np.ones(len(norms)) / weights.sum()


def aligned(jacobian: np.ndarray) -> np.ndarray:
    """The mean of the rows of the nearest orthogonal matrix, at the smallest singular value."""
    left, sizes, right = np.linalg.svd(jacobian, full_matrices=False)
    return sizes[-1] * (left @ right).mean(0)


def alike(jacobian: np.ndarray) -> np.ndarray:
    """ConFIG's direction."""
    along = np.linalg.pinv(jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)) @ np.ones(len(jacobian))
    along /= np.linalg.norm(along)
    return (jacobian @ along).sum() * along


EXACT: dict[str, tuple[dict, Callable[[np.ndarray], np.ndarray]]] = {
    "aligned_mtl": ({}, aligned),
    "cagrad": ({"c": 0.4}, lambda j: best_worst(j, 0.4)),
    "config": ({}, alike),
    "dualproj": ({}, lambda j: projected(j, j.mean(0))),
    "fairgrad": ({"alpha": 2.0}, lambda j: fair(j, 2.0)),
    "imtl_g": ({}, impartial),
    "mgda": ({}, shortest),
    "nash_mtl": ({}, lambda j: fair(j, 1.0)),
    "upgrad": ({}, lambda j: np.mean([projected(j, row) for row in j], axis=0)),
}


def errors(method: str, jacobians: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors (N,) of a method on Jacobians (N, T, P) float32, and which of them it calls solved."""
    arguments, exact = EXACT[method]
    balancer = getattr(mtl, method)(TASKS, **arguments)
    params = jax.numpy.zeros(WIDTH)
    update = jax.jit(jax.vmap(lambda j: balancer.update(j, balancer.init(params), params)))
    found, state = update(jacobians)
    wanted = np.array([exact(j.astype(np.float64)) for j in jacobians])
    apart = np.linalg.norm(np.asarray(found, np.float64) - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    return apart, np.asarray(state.solved)


def left_over(rng: np.random.Generator, number: int) -> np.ndarray:
    """What `cagrad(c=1)` leaves of the mean gradient, where zero in the hull makes 0 its direction; (N,)."""
    rows = rng.normal(size=(number, TASKS - 1, WIDTH))
    shares = rng.uniform(0.2, 1, (number, TASKS - 1, 1))
    jacobians = np.concatenate([rows, -(rows * shares).sum(1, keepdims=True)], axis=1).astype(np.float32)
    balancer, params = mtl.cagrad(TASKS, c=1.0), jax.numpy.zeros(WIDTH)
    found = jax.jit(jax.vmap(lambda j: balancer.update(j, balancer.init(params), params)[0]))(jacobians)
    return np.linalg.norm(found, axis=1) / np.linalg.norm(jacobians.mean(1), axis=1)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200)
    rng, number = np.random.default_rng(0), parser.parse_args().cases
    cases = [kinds(rng) for _ in range(number)]
    print(machine.described())
    print("| method | " + " | ".join(cases[0]) + " | unsolved |\n|---|" + "---|" * (len(cases[0]) + 1))
    for method in EXACT:
        cells, unsolved = [], 0.0
        for kind in cases[0]:
            apart, solved = errors(method, np.array([case[kind] for case in cases], np.float32))
            cells.append(f"{apart.max():.0e}, {np.median(apart):.0e}")
            unsolved += 1 - solved.mean()
        print(f"| `{method}` | " + " | ".join(cells) + f" | {unsolved / len(cells):.1%} |", flush=True)
    rest = left_over(rng, number)
    print(f"\ncagrad(c=1), zero in the hull: |d| / |mean gradient| {rest.max():.0e}, {np.median(rest):.0e}")


if __name__ == "__main__":
    main()
