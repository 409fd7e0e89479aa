"""Methods with a memory, step by step against plain NumPy transcriptions of their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

import mtljax as mtl

STEPS, T, P = 7, 3, 5


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


class Adam:
    """Kingma and Ba, algorithm 1."""

    def __init__(self, lr, size=T):
        self.lr, self.m, self.v, self.t = lr, np.zeros(size), np.zeros(size), 0

    def step(self, gradient):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        return -self.lr * (self.m / (1 - 0.9**self.t)) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


def onto_simplex(point):
    """By bisection on the shift, no sorting."""
    low, high = point.min() - 1, point.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(point - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(point - low, 0)


def uncertainty(losses, jacobians):
    s = np.zeros(T)
    for loss, jacobian in zip(losses, jacobians, strict=True):
        w = np.exp(-s) / 2
        yield w @ jacobian
        s = s - 0.1 * (0.5 - loss * np.exp(-s) / 2)


def imtl_l(losses, jacobians):
    s, adam = np.zeros(T), Adam(1e-3)
    for loss, jacobian in zip(losses, jacobians, strict=True):
        yield np.exp(s) @ jacobian
        s = s + adam.step(np.exp(s) * loss - 1)


def dwa(losses, jacobians):
    for k, jacobian in enumerate(jacobians):
        window = k // 2
        if window < 2:
            w = np.ones(T)
        else:
            last, before = losses[2 * window - 2 : 2 * window].mean(0), losses[2 * window - 4 : 2 * window - 2].mean(0)
            w = T * softmax(last / before / 2.0)
        yield w @ jacobian


def famo(losses, jacobians):
    xi, adam, previous = np.zeros(T), Adam(0.025), None
    for loss, jacobian in zip(losses, jacobians, strict=True):
        if previous is not None:
            delta = np.log(previous) - np.log(loss)
            z = softmax(xi)
            xi = xi + adam.step((np.diag(z) - np.outer(z, z)) @ delta + 1e-3 * xi)
        z = softmax(xi)
        c = 1 / np.sum(z / loss)
        yield (c * z / loss) @ jacobian
        previous = loss


def stch(losses, jacobians):
    for k, (loss, jacobian) in enumerate(zip(losses, jacobians, strict=True)):
        if k < 3:
            w = 1 / loss
        else:
            nadir = losses[1:3].mean(0)
            w = T * softmax(np.log(loss / nadir) / 0.5) / loss
        yield w @ jacobian


def moco(losses, jacobians):
    y, lam = np.zeros((T, P)), np.full(T, 1 / T)
    for k, jacobian in enumerate(jacobians, 1):
        y = y - 0.5 / np.sqrt(k) * (y - jacobian)
        lam = onto_simplex(lam - 0.1 / np.sqrt(k) * (y @ y.T + 0.1 * np.eye(T)) @ lam)
        yield lam @ y


def db_mtl(losses, jacobians):
    g = np.zeros((T, P))
    for k, (loss, jacobian) in enumerate(zip(losses, jacobians, strict=True), 1):
        beta = 0.9 / k**0.5
        g = beta * g + (1 - beta) * jacobian / loss[:, None]
        sizes = np.linalg.norm(g, axis=1)
        yield (sizes.max() / sizes) @ g


def excess_mtl(losses, jacobians):
    squares, w, first = np.zeros((T, P)), np.full(T, 1 / T), []
    for jacobian in jacobians:
        squares = squares + jacobian**2
        risk = (jacobian**2 / np.sqrt(squares)).sum(1)
        if len(first) < 2:
            first.append(risk)
        else:
            w = w * np.exp(0.5 * risk / np.mean(first, axis=0))
            w = w / w.sum()
        yield w @ jacobian


def modo(losses, jacobians):
    lam = np.full(T, 1 / T)
    for jacobian in jacobians:
        one, two, three = (jacobian * scale for scale in (1.0, 0.5, 2.0))
        lam = onto_simplex(lam - 0.1 * (one @ two.T @ lam + 0.1 * lam))
        yield lam @ three


def sdmgrad(losses, jacobians):
    w = np.full(T, 1 / T)
    for jacobian in jacobians:
        one, two, three = (jacobian * scale for scale in (1.0, 0.5, 2.0))
        a = one @ two.T
        a = a / np.mean(np.sqrt(np.maximum(np.diag(a), 0))) ** 2
        velocity = np.zeros(T)
        for _ in range(20):
            velocity = 0.5 * velocity + a @ (w + 0.3 * np.full(T, 1 / T))
            w = onto_simplex(w - 10.0 * velocity)
        yield (w @ three + 0.3 * three.mean(0)) / 1.3


def cr_mogm(losses, jacobians):
    lam = None
    for jacobian in jacobians:
        inverse = np.linalg.solve(jacobian @ jacobian.T, np.linalg.norm(jacobian, axis=1))
        w = inverse / inverse.sum()
        lam = w if lam is None else 0.9 * lam + 0.1 * w
        yield lam @ jacobian


def nash_mtl(losses, jacobians):
    for k, jacobian in enumerate(jacobians):
        if k % 3 == 0:
            w = np.ones(T)
            for _ in range(20_000):  # a slow, sure descent of w^T G w / 2 - sum log w
                w = w - 0.01 * np.clip(jacobian @ (jacobian.T @ w) - 1 / w, -0.5 * w / 0.01, 0.5 * w / 0.01)
        d = w @ jacobian
        yield d * min(1, 1.5 / np.linalg.norm(d))


def pcd(losses, jacobians):
    """By a general solver, in the parameters: no multipliers, no Gramian."""
    mean, tau = np.zeros(T), (0.5, 0.9)
    for k, jacobian in enumerate(jacobians, 1):
        sizes = np.linalg.norm(jacobian, axis=1)
        mean = 0.9 * mean + 0.1 * sizes**2
        h = jacobian / np.sqrt(mean / (1 - 0.9**k) + 1e-2)[:, None]
        first, others = h[1], h[[0, 2]]
        served = {"type": "ineq", "fun": lambda d, o=others: o @ d - tau * (o * o).sum(1), "jac": lambda d, o=others: o}
        found = minimize(
            lambda d, f=first: ((d - f) ** 2).sum(),
            first,
            jac=lambda d, f=first: 2 * (d - f),
            constraints=[served],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert found.success
        yield found.x * sizes[1] / np.linalg.norm(found.x)


def constant(losses, jacobians):
    for k, jacobian in enumerate(jacobians):
        yield np.array([2.0, max(0.0, 1 - k / 4), 0.5]) @ jacobian


CASES = {
    constant: {"weights": (2.0, optax.linear_schedule(1.0, 0.0, 4), 0.5)},
    cr_mogm: {"balancer": mtl.imtl_g(T)},
    db_mtl: {"sigma": 0.5},
    dwa: {"period": 2},
    excess_mtl: {"step_size": 0.5, "warmup": 2},
    famo: {},
    imtl_l: {},
    moco: {"rho": 0.1},
    modo: {},
    nash_mtl: {"max_norm": 1.5, "update_every": 3},
    pcd: {"tau": (0.5, 0.9), "beta": 0.9, "eps": 1e-2, "primary": 1},
    sdmgrad: {},
    stch: {"mu": 0.5, "warmup": 3, "window": 2},
    uncertainty: {"optimizer": optax.sgd(0.1)},
}


@pytest.fixture(scope="module")
def sequence():
    """Losses that fall at different rates and gradients that turn, over some steps."""
    rng = np.random.default_rng(3)
    falling = np.exp(-np.outer(np.arange(STEPS), [0.3, 0.05, 0.15]))
    losses = np.array([2.0, 0.5, 1.0]) * falling * rng.uniform(0.8, 1.2, (STEPS, T))
    return losses, rng.normal(size=(1, T, P)) + 0.7 * rng.normal(size=(STEPS, T, P))


@pytest.mark.parametrize(
    "by_definition", [pytest.param(f, id=f.__name__, marks=pytest.mark.slow if f is pcd else ()) for f in CASES]
)
def test_follows_its_definition_step_by_step(by_definition, sequence):
    losses, jacobians = sequence
    balancer = getattr(mtl, by_definition.__name__)(T, **CASES[by_definition])
    params = jnp.zeros(P)
    state = balancer.init(params)

    @jax.jit
    def step(jacobian, state, losses):
        samples = tuple(jacobian * scale for scale in (1.0, 0.5, 2.0)) if balancer.samples == 3 else ()
        return balancer.update(jacobian, state, params, losses=losses, samples=samples)

    for i, expected in enumerate(by_definition(losses, jacobians)):
        found, state = step(jnp.asarray(jacobians[i], jnp.float32), state, jnp.asarray(losses[i], jnp.float32))
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5, err_msg=f"step {i}")


def test_what_is_tracked_of_private_leaves_stays_zero():
    params = {"shared": jnp.zeros(P), "head": jnp.zeros(2)}
    jacobian = {"shared": jnp.ones((T, P)), "head": jnp.ones(2)}
    for balancer in (mtl.moco(T), mtl.db_mtl(T), mtl.excess_mtl(T)):
        found, state = balancer.update(jacobian, balancer.init(params), params, losses=jnp.ones(T))
        np.testing.assert_array_equal(found["head"], jacobian["head"])
        head, shared = jax.tree.leaves(state.rule[-1])
        assert not head.any()
        assert shared.all()


def test_a_method_on_samples_wants_as_many_as_it_looks_at():
    balancer, params = mtl.modo(T), jnp.zeros(P)
    jacobian = jnp.ones((T, P))
    with pytest.raises(ValueError, match="must be 3 Jacobians of independent parts of the batch, not 2"):
        balancer.update(jacobian, balancer.init(params), params, samples=(jacobian, jacobian))
