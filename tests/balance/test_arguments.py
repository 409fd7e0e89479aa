"""Numbers of tasks told by name, and streams of random numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance import arguments

TASKS = ("depth", "edges", "segment")
BY_NAME = {
    "constant": ("weights", (0.5, 1.0, 2.0)),
    "cosmos": ("preference", (0.5, 1.0, 2.0)),
    "dualproj": ("preference", (0.5, 1.0, 2.0)),
    "famo": ("min_losses", (0.1, 0.2, 0.3)),
    "graddrop": ("leak", (0.1, 0.2, 0.3)),
    "pbi": ("preference", (0.5, 1.0, 2.0)),
    "upgrad": ("preference", (0.5, 1.0, 2.0)),
}
PARAMS = jnp.zeros(4)
JACOBIAN = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
LOSSES = jnp.array([1.0, 2.0, 0.5])


def assert_the_same(one, two):
    """Both are one program on the same numbers, which takes less time to tell than to run them."""
    first, second = (
        jax.make_jaxpr(lambda b=balancer: b.update(JACOBIAN, b.init(PARAMS), PARAMS, losses=LOSSES))()
        for balancer in (one, two)
    )
    assert str(first) == str(second)
    jax.tree.map(np.testing.assert_array_equal, first.consts, second.consts)


def first_step(balancer):
    return jax.jit(balancer.update)(JACOBIAN, balancer.init(PARAMS), PARAMS, losses=LOSSES)


@pytest.mark.parametrize("method", BY_NAME)
def test_a_dict_is_read_by_name_whatever_its_order(method):
    argument, values = BY_NAME[method]
    named = dict(reversed(list(zip(TASKS, values, strict=True))))
    factory = getattr(mtl, method)

    if method != "upgrad":  # its argument is read as that of dualproj
        assert_the_same(factory(3, **{argument: named}, tasks=TASKS), factory(3, **{argument: values}))
    with pytest.raises(ValueError, match=r"no task 'edge'; did you mean 'edges'"):
        factory(3, **{argument: {"edge": 1.0}}, tasks=TASKS)
    with pytest.raises(ValueError, match="none for edges, segment"):
        factory(3, **{argument: {"depth": 1.0}}, tasks=TASKS)
    with pytest.raises(ValueError, match="a dict needs tasks="):
        factory(3, **{argument: named})


def test_the_primary_task_by_name():
    assert_the_same(mtl.pcd(3, primary="edges", tasks=TASKS), mtl.pcd(3, primary=1))
    with pytest.raises(ValueError, match="did you mean 'edges'"):
        mtl.pcd(3, primary="edge", tasks=TASKS)


def test_balancers_of_one_seed_in_a_composition_draw_numbers_of_their_own():
    _, expected = first_step(mtl.random_weighting(3, seed=0))
    parts = (mtl.random_weighting(3), mtl.random_direction(3), mtl.random_direction(3))
    _, state = first_step(mtl.compose(*parts))
    first, (second, third) = state.rule[0].weights, (part.weights for part in state.rule[1].rule)
    np.testing.assert_array_equal(first, expected.weights)
    for one, two in ((first, second), (first, third), (second, third)):
        assert np.abs(one - two).max() > 0.01


def test_a_seed_draws_what_it_has_always_drawn():
    _, state = first_step(mtl.random_weighting(3, seed=0))
    _, now = jax.random.split(jax.random.key(0))
    np.testing.assert_allclose(state.weights, jax.nn.softmax(jax.random.normal(now, (3,))), rtol=1e-6)


@pytest.mark.parametrize("losses", [np.float16([1, 2]), jnp.array([1, 2], jnp.bfloat16), np.array([1, 2]), [1.0, 2.0]])
def test_losses_of_fewer_digits_are_taken_as_float32(losses):
    assert arguments.checked_losses(losses, 2, needed=True).dtype == jnp.float32
    balancer, params = mtl.famo(2), jnp.zeros(3)  # float16 holds neither its 1e-8 nor the 1e18 of its bounds
    state = balancer.init(params)
    weights, after = jax.eval_shape(lambda: balancer.weigh(state, losses=losses))
    assert weights.shared.dtype == jnp.float32
    assert jax.tree.map(jnp.result_type, after) == jax.tree.map(jnp.result_type, state)
