"""Preferences among tasks: each method against plain NumPy of its definition, by place and by name."""

import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.config.experiment import balancer_of
from tests.balance.methods.test_definitions import onto_simplex
from tests.balance.test_arguments import assert_the_same

T, P = 3, 6
J = np.random.default_rng(5).normal(size=(T, P))
LOSSES = np.array([1.5, 0.4, 0.9])
U = np.array([0.6, 0.1, 0.3])
NAMES = ("depth", "edges", "parts")
BY_NAME = dict(zip(NAMES, U.tolist(), strict=True))


def direction(balancer, steps=1, losses=LOSSES, **known):
    params = jnp.zeros(P)
    state = balancer.init(params)
    for _ in range(steps):
        found, state = balancer.update(jnp.asarray(J, jnp.float32), state, params, losses=jnp.asarray(losses), **known)
    return np.asarray(found)


def aligned_mtl():
    left, sizes, _ = np.linalg.svd(J, full_matrices=False)
    return (sizes.min() * left @ np.diag(1 / sizes) @ left.T @ U) @ J


def config():
    x = np.linalg.pinv(J / np.linalg.norm(J, axis=1, keepdims=True)) @ U
    x = x / np.linalg.norm(x)
    return (J @ x).sum() * x


def sdmgrad():
    a = J @ J.T / np.mean(np.linalg.norm(J, axis=1)) ** 2
    w, velocity = np.full(T, 1 / T), np.zeros(T)
    for _ in range(20):
        velocity = 0.5 * velocity + a @ (w + 0.3 * U)
        w = onto_simplex(w - 10.0 * velocity)
    return (w + 0.3 * U) @ J / 1.3


@pytest.mark.parametrize("by_definition", [aligned_mtl, config, sdmgrad], ids=lambda f: f.__name__)
def test_gradient_methods_follow_their_definition(by_definition):
    make = getattr(mtl, by_definition.__name__)
    found = direction(make(T, preference=U))
    np.testing.assert_allclose(found, by_definition(), rtol=1e-4, atol=1e-5)
    assert_the_same(make(T, preference=dict(reversed(BY_NAME.items())), tasks=NAMES), make(T, preference=U))
    np.testing.assert_allclose(direction(make(T, preference=np.full(T, 1 / T))), direction(make(T)), rtol=1e-5)


def derivative(function, at, h=1e-6):
    steps = np.eye(len(at)) * h
    return np.array([(function(at + step) - function(at - step)) / (2 * h) for step in steps])


def test_stch_of_plain_losses_is_the_gradient_of_its_formula():
    z = np.array([0.1, -0.2, 0.3])
    found = direction(mtl.stch(T, mu=0.5, log=False, preference=U, reference=z))
    weights = derivative(lambda losses: 0.5 * np.log(np.exp(U * (losses - z) / 0.5).sum()), LOSSES)
    np.testing.assert_allclose(found, weights @ J, rtol=1e-4, atol=1e-5)
    named = {"preference": BY_NAME, "reference": dict(zip(NAMES, z.tolist(), strict=True)), "tasks": NAMES}
    np.testing.assert_array_equal(direction(mtl.stch(T, mu=0.5, log=False, **named)), found)
    plain = derivative(lambda losses: np.log(np.exp(losses / T).sum()), LOSSES)
    np.testing.assert_allclose(direction(mtl.stch(T, log=False)), plain @ J, rtol=1e-4, atol=1e-5)
    assert np.isfinite(direction(mtl.stch(T, log=False), losses=[-3.0, 0.0, 1e30])).all()


def test_stch_of_log_losses_takes_a_preference():
    u, nadir = T * U, LOSSES
    balancer, params = mtl.stch(T, mu=0.5, warmup=1, preference=U), jnp.zeros(P)
    warm, state = balancer.update(jnp.asarray(J), balancer.init(params), params, losses=jnp.asarray(nadir))
    np.testing.assert_allclose(warm, (u / nadir) @ J, rtol=1e-4, atol=1e-5)
    now = np.array([0.5, 0.4, 0.1])
    found, _ = balancer.update(jnp.asarray(J), state, params, losses=jnp.asarray(now))
    wanted = derivative(lambda losses: T * 0.5 * np.log(np.exp(u * np.log(losses / nadir) / 0.5).sum()), now)
    np.testing.assert_allclose(found, wanted @ J, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_absent_task_has_no_part_in_a_preference():
    present = jnp.array([True, False, True])
    for make in (mtl.aligned_mtl, mtl.config, mtl.sdmgrad, lambda *given, **more: mtl.stch(*given, log=False, **more)):
        whole = direction(make(T, preference=U), present=present)
        params, rows = jnp.zeros(P), jnp.asarray(J[[0, 2]], jnp.float32)
        rest = make(2, preference=U[[0, 2]])
        found, _ = rest.update(rows, rest.init(params), params, losses=jnp.asarray(LOSSES[[0, 2]]))
        np.testing.assert_allclose(whole, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["aligned_mtl()", "config()", "sdmgrad()", "stch(log=False)"])
@pytest.mark.parametrize(
    ("preference", "message"),
    [
        ("[1.0, 2.0]", "expected 3 numbers, one a task"),
        ("[1.0, -2.0, 1.0]", "non-negative numbers"),
        ("{'depth': 1, 'egdes': 2, 'parts': 3}", "no task 'egdes'; did you mean 'edges'"),
        ("{'depth': 1}", "none for edges, parts"),
    ],
)
def test_a_wrong_preference_is_told(method, preference, message):
    text = method.replace("()", "(").removesuffix(")") + (", " if "=" in method else "") + f"preference={preference})"
    with pytest.raises(UserError, match=message):
        balancer_of(text, T, 0, tasks=NAMES)


def scalarized(name, losses):
    """The gradient of the method's formula, in float64."""
    r, losses, h = np.ones(2) / np.sqrt(2), np.asarray(losses, np.float64), np.linalg.norm(losses)
    unit = losses / h
    if name == "cosmos":  # of sum r L / 2 - cos(r, L)
        return np.full(2, 0.5) - (r - (r @ unit) * unit) / h
    away = unit - (r @ unit) * r
    return r + (5 * (away - (r @ away) * r) / np.linalg.norm(away) if np.linalg.norm(away) > 1e-9 else 0)


@pytest.mark.parametrize("name", ["cosmos", "pbi"])
def test_angles_and_distances_of_losses_whose_squares_float32_cannot_hold(name):
    balancer, params = getattr(mtl, name)(2), jnp.zeros(P)
    for losses in ([2.0, 1.0], [1e20, 1.0], [1e20, 3e20], [2e38, 1e36], [3e38, 2e38]):
        given = jnp.array(losses, jnp.float32)
        _, state = balancer.update(jnp.ones((2, P)), balancer.init(params), params, losses=given)
        np.testing.assert_allclose(state.weights, scalarized(name, losses), rtol=1e-5, err_msg=str(losses))


def test_a_preference_for_losses_whose_products_float32_cannot_hold():
    balancer, params = mtl.cosmos(2, preference=(2.0, 4.0)), jnp.zeros(P)
    weights = []
    for scale in (1e30, 1e38):
        losses = scale * jnp.array([2.0, 1.0])
        _, state = balancer.update(jnp.ones((2, P)), balancer.init(params), params, losses=losses)
        weights.append(state.weights)
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5)
    assert np.isfinite(weights).all()


def test_losses_without_an_angle_have_no_huge_weights():
    balancer, params = mtl.cosmos(2), jnp.zeros(P)
    for losses in (jnp.zeros(2), jnp.array([1e-30, 1e-25])):
        _, state = balancer.update(jnp.ones((2, P)), balancer.init(params), params, losses=losses)
        np.testing.assert_allclose(state.weights, 0.5)
    alone = mtl.cosmos(1)
    _, state = alone.update(jnp.ones((1, P)), alone.init(params), params, losses=jnp.array([3e38]))
    np.testing.assert_allclose(state.weights, 1.0)
