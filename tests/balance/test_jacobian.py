import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance import linearize_at

X = jnp.arange(15.0).reshape(5, 3) / 10
PARAMS = {"encoder": jnp.ones((3, 4)), "a": jnp.ones(4), "b": jnp.full(4, 2.0), "unused": jnp.ones(2)}


def two_losses(params, x):
    z = jnp.tanh(x @ params["encoder"])
    return (z @ params["a"]).sum(), (jax.nn.silu(z) @ params["b"]).mean()


FORMS = {
    "tuple": two_losses,
    "dict": lambda p, x: dict(zip("ab", two_losses(p, x), strict=True)),
    "stack": lambda p, x: jnp.stack(two_losses(p, x)),
    "array": lambda p, x: jnp.array(two_losses(p, x)),
    "concatenate": lambda p, x: jnp.concatenate([loss[None] for loss in two_losses(p, x)]),
    "jitted": jax.jit(lambda p, x: jnp.stack(two_losses(p, x))),
    "scaled": lambda p, x: jnp.log(jnp.stack(two_losses(p, x)) * jnp.array([1.0, 2.0]) + 10),
    "jit in jit": lambda p, x: jax.jit(lambda v: -v / 3)(jnp.stack(jax.jit(two_losses)(p, x))),
    "where": lambda p, x: jnp.where(jnp.array([True, True]), jnp.stack(two_losses(p, x)), 0.0),
}


def expected(losses_fn, params, x):
    def stacked(params):
        losses = losses_fn(params, x)
        return losses if hasattr(losses, "ndim") else jnp.stack(jax.tree.leaves(losses))

    return jax.jit(lambda p: (stacked(p), jax.jacrev(stacked)(p)))(params)


@pytest.mark.parametrize(("form", "jit"), [*((form, True) for form in FORMS), ("tuple", False), ("stack", False)])
def test_shared_leaves_are_stacked_and_private_ones_are_not(form, jit):
    function = mtl.value_and_jacobian(FORMS[form])
    losses, jacobian = (jax.jit(function) if jit else function)(PARAMS, X)
    expected_losses, full = expected(FORMS[form], PARAMS, X)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-6)
    assert jax.tree.map(jnp.shape, jacobian) == {"encoder": (2, 3, 4), "a": (4,), "b": (4,), "unused": (2,)}
    np.testing.assert_allclose(jacobian["encoder"], full["encoder"], rtol=1e-5)
    np.testing.assert_allclose(jacobian["a"], full["a"][0], rtol=1e-5)
    np.testing.assert_allclose(jacobian["b"], full["b"][1], rtol=1e-5)
    assert not jacobian["unused"].any()


def test_losses_mixed_beyond_telling_apart_count_as_shared_and_it_is_told():
    def mixed(params, x):
        return jnp.sort(jnp.stack(two_losses(params, x)))

    with pytest.warns(UserWarning, match=r"come together out of gather.*shared='encoder'"):
        _, jacobian = mtl.value_and_jacobian(mixed)(PARAMS, X)
    assert jax.tree.map(jnp.shape, jacobian) == {"encoder": (2, 3, 4), "a": (2, 4), "b": (2, 4), "unused": (2,)}


def test_a_head_that_feeds_another_task_is_shared_by_both():
    def losses(params, x):
        parent = jnp.tanh(x @ params["encoder"]) @ params["a"]
        return parent.sum(), (parent * params["b"][0]).sum()

    _, jacobian = mtl.value_and_jacobian(losses)(PARAMS, X)
    assert jacobian["a"].shape == (2, 4)
    assert jacobian["b"].shape == (4,)


def test_one_task_has_private_parameters_only():
    losses, jacobian = mtl.value_and_jacobian(lambda p, x: two_losses(p, x)[:1])(PARAMS, X)
    assert losses.shape == (1,)
    assert jax.tree.map(jnp.shape, jacobian) == jax.tree.map(jnp.shape, PARAMS)
    gradient = jax.grad(lambda p: two_losses(p, X)[0])(PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), jacobian, gradient)


def test_aux_and_custom_derivatives_pass_through():
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, g: (10 * x * g,))

    def losses(params, scale):
        return (square(params).sum() * scale, params.sum()), {"seen": params}

    (values, aux), jacobian = mtl.value_and_jacobian(losses, has_aux=True)(jnp.array([1.0, 2.0]), scale=3.0)
    np.testing.assert_allclose(values, [15, 3])
    np.testing.assert_allclose(aux["seen"], [1, 2])
    np.testing.assert_allclose(jacobian, [[30, 60], [1, 1]])


def test_a_row_costs_one_backward_pass_through_what_it_needs():
    width = 64
    params = {"encoder": jnp.ones((width, width)), **{f"head{t}": jnp.ones((width, width)) for t in range(4)}}
    x = jnp.ones((width, width))

    def losses(params):
        z = jnp.tanh(jnp.tanh(x @ params["encoder"]) @ params["encoder"])
        return tuple((jnp.tanh(z @ params[f"head{t}"]) ** 2).sum() for t in range(4))

    def flops(function):
        return jax.jit(function).lower(params).compile().cost_analysis()["flops"]

    matmul = 2 * width**3
    # Forward 2 + 4 products; backward for each task 2 in its head and 3 in the encoder (x needs no gradient).
    jacobian = flops(lambda p: mtl.value_and_jacobian(losses)(p))
    assert jacobian == pytest.approx(matmul * (2 + 4 + 4 * (2 + 3)), rel=0.03)
    weighted = flops(lambda p: linearize_at(losses, p).weighted(jnp.ones(4)))
    assert weighted == pytest.approx(matmul * (2 + 4 + 4 * 2 + 3), rel=0.03)


@pytest.mark.parametrize(
    "losses", [lambda p: jnp.ones((2, 2)), lambda p: (), lambda p: (p, p.sum())], ids=["matrix", "nothing", "vector"]
)
def test_losses_that_are_not_scalars_are_refused(losses):
    with pytest.raises(ValueError, match="one scalar a task"):
        mtl.value_and_jacobian(losses)(jnp.ones(3))


def test_a_parameter_that_is_no_float_is_named():
    with pytest.raises(ValueError, match="net/steps: int32 has no derivative; expected floats among the parameters"):
        mtl.value_and_jacobian(lambda p: (p["net"]["w"],))({"net": {"w": jnp.ones(()), "steps": jnp.int32(3)}})
