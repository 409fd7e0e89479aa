"""Where a balancer may stand among optax's wrappers, one by one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib
from optax.experimental import aggregating

import mtljax as mtl
from tests.balance.methods.table import METHODS, make

PARAMS = {"encoder": jnp.zeros(2), "head": jnp.zeros(2)}
JACOBIAN = {"encoder": jnp.array([[1.0, 0.0], [-1.0, 1.0]]), "head": jnp.ones(2)}
BALANCED = {"encoder": [0.5, 1.5], "head": [1.0, 1.0]}  # by PCGrad
BALANCER = mtl.pcgrad(2)
LABELS = {"encoder": "shared", "head": "head"}

RIGHT = {
    "chain": optax.chain(BALANCER, optax.scale(1.0)),
    "named_chain": optax.named_chain(("balance", BALANCER), ("scale", optax.scale(1.0))),
    "partition": optax.partition({"shared": BALANCER, "head": optax.scale(1.0)}, LABELS),
    "masked": optax.masked(BALANCER, {"encoder": True, "head": False}),
    "aggregating.process": aggregating.process(
        preprocessor=optax.identity(), aggregator=BALANCER, postprocessor=optax.scale(1.0)
    ),
    "after it, MultiSteps": optax.chain(BALANCER, optax.MultiSteps(optax.scale(1.0), 1).gradient_transformation()),
    "after it, apply_if_finite": optax.chain(BALANCER, optax.apply_if_finite(optax.scale(1.0), 3)),
    "after it, conditionally_transform": optax.chain(
        BALANCER, optax.conditionally_transform(optax.scale(1.0), lambda step: step >= 0)
    ),
}


@functools.cache
def updates_in_each_place():
    """Compiled together, which costs far less."""
    states = {place: transform.init(PARAMS) for place, transform in RIGHT.items()}

    def updates(states):
        return {place: RIGHT[place].update(JACOBIAN, states[place], PARAMS)[0] for place in RIGHT}

    return jax.jit(updates)(states)


@pytest.mark.parametrize("place", RIGHT)
def test_there_it_is_right(place):
    for name, expected in BALANCED.items():
        np.testing.assert_allclose(updates_in_each_place()[place][name], expected, rtol=1e-5)


def test_schedule_free_around_the_chain_steps_as_around_the_balanced_gradient():
    outer = contrib.schedule_free(optax.chain(BALANCER, optax.sgd(0.1)), learning_rate=0.1)
    plain = contrib.schedule_free(optax.sgd(0.1), learning_rate=0.1)
    one, _ = jax.jit(outer.update)(JACOBIAN, outer.init(PARAMS), PARAMS)
    two, _ = jax.jit(plain.update)(
        jax.tree.map(jnp.asarray, BALANCED, is_leaf=lambda x: isinstance(x, list)), plain.init(PARAMS), PARAMS
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), one, two)


AROUND = {
    "MultiSteps": lambda inner: optax.MultiSteps(inner, 2),
    "apply_if_finite": lambda inner: optax.apply_if_finite(inner, 3),
    "conditionally_transform": lambda inner: optax.conditionally_transform(inner, lambda step: step >= 0),
}


@pytest.mark.parametrize("wrapper", AROUND)
@pytest.mark.parametrize("jit", [False, True])
def test_what_expects_updates_like_parameters_is_told_to_come_after(wrapper, jit):
    transform = AROUND[wrapper](optax.chain(BALANCER, optax.scale(1.0)))
    state = transform.init(PARAMS)
    with pytest.raises(ValueError, match=rf"optax.{wrapper} around a balancer.*chain\(balancer, {wrapper}"):
        (jax.jit(transform.update) if jit else transform.update)(JACOBIAN, state, PARAMS)


HYPERPARAMETERS = {
    "cagrad": {"c": 0.4},
    "constant": {"weights": (1.0, 2.0)},
    "cosmos": {"penalty": 1.0},
    "cr_mogm": {"alpha": 0.9},
    "db_mtl": {"beta": 0.9, "sigma": 0.1},
    "dwa": {"temperature": 2.0},
    "excess_mtl": {"step_size": 1.0},
    "fairgrad": {"alpha": 2.0},
    "famo": {"lr": 0.025, "weight_decay": 1e-3},
    "graddrop": {"leak": 0.1},
    "gradnorm": {"alpha": 1.5, "lr": 0.025},
    "gradvac": {"beta": 0.5},
    "moco": {"beta": 0.5, "beta_sigma": 0.5, "gamma": 0.1, "gamma_sigma": 0.5, "rho": 0.1},
    "modo": {"gamma": 0.1, "rho": 0.1},
    "nash_mtl": {"max_norm": 1.0},
    "pbi": {"theta": 5.0},
    "pcd": {"tau": 0.02, "beta": 0.999, "eps": 1e-8},
    "sdmgrad": {"lam": 0.3, "lr": 10.0, "momentum": 0.5},
    "stch": {"mu": 1.0},
}


@pytest.mark.parametrize("method", HYPERPARAMETERS)
def test_numbers_may_be_traced(method):
    """A schedule or a learned number reaches every method: traced here, compiled nowhere."""

    def direction(numbers):
        balancer = getattr(mtl, method)(2, **numbers)
        found, _ = balancer.update(JACOBIAN, balancer.init(PARAMS), PARAMS, losses=jnp.ones(2))
        return found

    found = jax.eval_shape(direction, HYPERPARAMETERS[method])
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, PARAMS)


def test_a_schedule_by_inject_hyperparams():
    factory = optax.inject_hyperparams(mtl.cosmos, static_args=("num_tasks",))
    scheduled = factory(num_tasks=2, penalty=optax.linear_schedule(0.0, 1.0, 1))
    losses, state, update = jnp.array([1.0, 3.0]), scheduled.init(PARAMS), jax.jit(scheduled.update)
    for penalty in (0.0, 1.0):
        found, state = update(JACOBIAN, state, PARAMS, losses=losses)
        # The gradient of sum L / 2 - penalty (L_1 + L_2) / sqrt(2) |L|.
        weights = 0.5 - penalty * (1 / np.sqrt(20) - 4 * losses / (10 * np.sqrt(20)))
        np.testing.assert_allclose(found["encoder"], weights @ JACOBIAN["encoder"], rtol=1e-5, atol=1e-6)


def test_num_tasks_is_static():
    with pytest.raises(ValueError, match=r"name it in static_args"):
        optax.inject_hyperparams(mtl.cagrad)(num_tasks=2, c=0.4).init(PARAMS)


@pytest.mark.parametrize("method", METHODS)
def test_a_plain_gradient_is_refused(method):
    balancer = make(method, 3)
    gradient = jax.tree.map(jnp.ones_like, PARAMS)
    with pytest.raises(ValueError, match=r"given a gradient, not a Jacobian.*expected shared leaves of shape \(3, "):
        balancer.update(gradient, balancer.init(PARAMS), PARAMS, losses=jnp.ones(3))


def test_with_one_task_a_gradient_is_the_jacobian():
    gradient = jax.tree.map(jnp.ones_like, PARAMS)
    found, _ = mtl.equal(1).update(gradient, mtl.equal(1).init(PARAMS), PARAMS)
    np.testing.assert_array_equal(found["head"], [1, 1])


def test_a_loss_weighting_scales_what_is_all_private_where_owners_are_told():
    owners = {"encoder": (0,), "head": (1,)}
    gradient = jax.tree.map(jnp.ones_like, PARAMS)
    balancer = mtl.constant(2, (3.0, 0.5))
    found, _ = balancer.update(gradient, balancer.init(PARAMS), PARAMS, owners=owners)
    np.testing.assert_array_equal(found["encoder"], [3, 3])
    np.testing.assert_array_equal(found["head"], [0.5, 0.5])


SOME = {"equal", "mgda"}  # one that solves nothing, and one that does


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=() if name in SOME else pytest.mark.slow) for name in METHODS]
)
def test_derivatives_pass_through_an_update_forward_and_backward(method):
    balancer = make(method, 3)
    params, losses = jnp.zeros(4), jnp.array([1.0, 2.0, 0.5])
    state = balancer.init(params)
    jacobian, along, read = _noise((3, 4), 0), _noise((3, 4), 1), _noise(4, 2)

    def value(jacobian):
        return balancer.update(jacobian, state, params, losses=losses)[0] @ read

    backward_at = jax.jit(jax.value_and_grad(value))  # one program for both, which costs less
    backward = jnp.sum(backward_at(jacobian)[1] * along)
    if method in SOME:
        forward = jax.jit(lambda jacobian: jax.jvp(value, (jacobian,), (along,))[1])(jacobian)
        np.testing.assert_allclose(forward, backward, rtol=1e-4, atol=1e-5)
    slope = (backward_at(jacobian + 5e-3 * along)[0] - backward_at(jacobian - 5e-3 * along)[0]) / 1e-2
    np.testing.assert_allclose(backward, slope, rtol=0.02, atol=5e-3)


def _noise(shape, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)
