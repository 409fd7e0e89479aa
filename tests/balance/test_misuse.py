"""What is given in the wrong place in a loop of one's own gets one clear message."""

import jax.numpy as jnp
import optax
import pytest

import mtljax as mtl

PARAMS = {"trunk": jnp.ones(3), "a": jnp.ones(2), "b": jnp.ones(2)}
JACOBIAN = {"trunk": jnp.array([[1.0, 2.0, 3.0], [3.0, -1.0, 1.0]]), "a": jnp.ones(2), "b": jnp.ones(2)}


def losses_fn(params):
    return {task: jnp.sum(params[task]) * jnp.sum(params["trunk"]) for task in ("a", "b")}


def together(params):
    return jnp.stack(list(losses_fn(params).values()))


def update(state, **known):
    return mtl.gradnorm(2).update(JACOBIAN, state, PARAMS, **known)


@pytest.mark.parametrize("function", [losses_fn, together])
@pytest.mark.parametrize("weights", [jnp.ones(3), jnp.ones(1), 1.0])
def test_weights_of_another_number_of_tasks_are_refused(function, weights):
    _, at = mtl.linearize(function)(PARAMS)
    with pytest.raises(ValueError, match=r"weights must have shape \(2,\), one a task, not"):
        at.weighted(weights)


def test_a_state_of_something_else_is_refused():
    chain = optax.chain(mtl.gradnorm(2), optax.adam(1e-3)).init(PARAMS)
    with pytest.raises(
        ValueError, match=r"what its init.params. gives, not a tuple: that of a chain goes to the chain"
    ):
        update(chain, losses=jnp.ones(2))


@pytest.mark.parametrize(
    ("balancer", "given", "told"),
    [
        (mtl.nash_mtl(2), mtl.equal(2), "it holds nothing, this one's holds NashState"),
        (mtl.equal(2), mtl.pcgrad(2), "it holds an array, this one's holds nothing"),
        (mtl.moco(2), mtl.nash_mtl(2), "it holds NashState, this one's holds MoCoState"),
        (mtl.per_group([(".*", mtl.nash_mtl(2))]), mtl.nash_mtl(2), "this one's holds NashState"),
        (mtl.imtl_l(2), mtl.imtl_l(3), r"weights of shape \(3,\): it is of another number of tasks than 2"),
    ],
)
def test_a_state_of_another_balancer_is_told(balancer, given, told):
    state = given.init(PARAMS)
    with pytest.raises(ValueError, match=told):
        balancer.update(JACOBIAN, state, PARAMS, losses=jnp.ones(2))
    if balancer.weigh is not None:
        with pytest.raises(ValueError, match=told):
            balancer.weigh(state, losses=jnp.ones(2), gramian=mtl.balance.gramian(JACOBIAN, PARAMS, 2))


def test_losses_by_name_are_refused():
    with pytest.raises(ValueError, match=r"losses must be an array .* not a dict"):
        update(mtl.gradnorm(2).init(PARAMS), losses={"a": 1.0, "b": 2.0})


@pytest.mark.parametrize("balancer", [mtl.upgrad(2), mtl.compose(mtl.equal(2), mtl.pcgrad(2))])
def test_weights_without_a_gramian_are_refused(balancer):
    with pytest.raises(ValueError, match=r"looks at norms and angles: call weigh.state, gramian=at.gramian"):
        balancer.weigh(balancer.init(PARAMS), losses=jnp.ones(2))


def test_forgotten_has_aux_is_told():
    with pytest.raises(ValueError, match=r"got shapes .*\(losses, aux\) wants has_aux=True"):
        mtl.value_and_jacobian(lambda params: (losses_fn(params), params["trunk"]))(PARAMS)
