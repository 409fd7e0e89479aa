"""Whose a parameter is, however the losses are computed: `jax.checkpoint`, `cond`, `scan`, a `vmap` over heads."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance import linearize_at

RANDOM = np.random.default_rng(0)
X, CLASSES = RANDOM.normal(size=(5, 3)).astype(np.float32), RANDOM.integers(0, 6, (2, 5))
HEADS = RANDOM.normal(size=(2, 4, 6)).astype(np.float32)
ENCODER = RANDOM.normal(size=(3, 4)).astype(np.float32)
APART = {"encoder": ENCODER, "a": HEADS[0], "b": HEADS[1]}
STACKED = {"encoder": ENCODER, "heads": HEADS, "bias": np.full((2, 6), 0.1, np.float32)}


def encoded(params):
    return jnp.tanh(X @ params["encoder"])


def loss(z, head, classes, bias=0.1):
    scores = jax.nn.log_softmax(z @ head + bias)
    return -jnp.take_along_axis(scores, classes[:, None], axis=-1).mean()


def two(params):
    z = encoded(params)
    return loss(z, params["a"], CLASSES[0]), loss(z, params["b"], CLASSES[1])


def together(params):
    return jnp.stack([params["a"], params["b"]]), CLASSES


def mapped(params):
    z = encoded(params)
    return jax.vmap(lambda head, classes: loss(z, head, classes))(*together(params))


HEADS_APART = {
    "checkpoint": jax.checkpoint(two),
    "checkpoint of a stack": jax.checkpoint(lambda p: jnp.stack(two(p))),
    "cond": lambda p: jax.lax.cond(p["a"][0, 0] > 9, lambda p: (p["a"].sum(), p["b"].sum()), two, p),
    "cond of a stack": lambda p: jax.lax.cond(p["a"][0, 0] > 9, jnp.zeros_like, lambda x: x, jnp.stack(two(p))),
    "scan": lambda p: jax.lax.scan(lambda z, turn: (z, loss(z, *turn)), encoded(p), together(p))[1],
    "scan in a checkpoint": jax.checkpoint(
        lambda p: jax.lax.scan(lambda z, turn: (z, loss(z, *turn)), encoded(p), together(p))[1]
    ),
    "vmap": mapped,
    "vmap, then apart": lambda p: tuple(mapped(p)),
    "vmap in a checkpoint": jax.checkpoint(lambda p: 2 * mapped(p) / 2),
}


@functools.cache
def expected():
    """The Jacobian of losses whose heads and biases are apart."""

    def losses(p):
        z = encoded(p)
        return loss(z, p["a"], CLASSES[0], p["bias"][0]), loss(z, p["b"], CLASSES[1], p["bias"][1])

    rows = jax.jit(jax.jacrev(losses))(APART | STACKED)
    own = {"a": rows[0]["a"], "b": rows[1]["b"], "bias": [rows[t]["bias"][t] for t in range(2)]}
    return own | {"encoder": [row["encoder"] for row in rows], "heads": [own["a"], own["b"]]}


def same(jacobian):
    for name, leaf in jacobian.items():
        np.testing.assert_allclose(leaf, np.stack(expected()[name]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", HEADS_APART)
def test_a_head_is_its_tasks_own(form):
    _, jacobian = jax.jit(mtl.value_and_jacobian(HEADS_APART[form]))(APART)
    same(jacobian)


def checked_out(turn):
    return jax.checkpoint(lambda z, x: (z, turn(z, x)))


HEADS_STACKED = {
    "vmap": lambda p: jax.vmap(loss, (None, 0, 0, 0))(encoded(p), p["heads"], CLASSES, p["bias"]),
    "vmap of a checkpoint": lambda p: jax.vmap(jax.checkpoint(loss), (None, 0, 0, 0))(
        encoded(p), p["heads"], CLASSES, p["bias"]
    ),
    "scan of a checkpoint": lambda p: jax.lax.scan(
        checked_out(lambda z, x: loss(z, *x)), encoded(p), (p["heads"], CLASSES, p["bias"])
    )[1],
    "by hand": lambda p: [loss(encoded(p), p["heads"][t], CLASSES[t], p["bias"][t]) for t in range(2)],
}


@pytest.mark.parametrize("form", HEADS_STACKED)
def test_slices_of_stacked_heads_are_their_tasks_own(form):
    _, jacobian = jax.jit(mtl.value_and_jacobian(HEADS_STACKED[form]))(STACKED)
    same(jacobian)


@pytest.mark.parametrize(
    ("balancer", "own"),
    [(mtl.mean(2), (1.0, 1.0)), (mtl.constant(2, (3.0, 0.5)), (3.0, 0.5))],
    ids=["mean", "constant"],
)
def test_a_loss_weighting_scales_each_slice_and_a_gradient_method_none(balancer, own):
    state, alone = balancer.init(STACKED), {"encoder": STACKED["encoder"]}

    @jax.jit
    def found(params):
        at = linearize_at(HEADS_STACKED["vmap"], params)
        jacobian = at.jacobian()
        direction, _ = balancer.update(jacobian, state, params, losses=at.losses, owners=at.owners)
        return jacobian, direction, balancer.update({"encoder": jacobian["encoder"]}, state, alone, losses=at.losses)[0]

    jacobian, direction, shared = found(STACKED)
    np.testing.assert_allclose(direction["heads"], np.reshape(own, (2, 1, 1)) * jacobian["heads"], rtol=1e-6)
    np.testing.assert_allclose(direction["encoder"], shared["encoder"], rtol=1e-5)


def test_one_vector_of_which_each_loss_sees_an_element_is_shared():
    _, jacobian = mtl.value_and_jacobian(lambda x: (x[0] ** 2, 3 * x[1]))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(jacobian, [[2, 0], [0, 3]])


def backwards(params):
    """Losses through an operation that is not looked through."""
    return jnp.take(jnp.stack(two(params)), jnp.array([1, 0]), mode="clip")


@pytest.mark.parametrize(
    "shared", ["encoder", "enc.*", lambda path: path == "encoder", {"encoder": True, "a": False, "b": False}]
)
def test_what_is_shared_can_be_told(shared):
    _, jacobian = jax.jit(mtl.value_and_jacobian(backwards, shared=shared))(APART)
    same(jacobian | {"encoder": jacobian["encoder"][::-1]})


def test_what_is_told_to_be_shared_is_stacked():
    at = linearize_at(two, APART, shared=lambda path: path != "b")
    assert jax.tree.map(jnp.shape, at.jacobian()) == {"encoder": (2, 3, 4), "a": (2, 4, 6), "b": (4, 6)}
    assert not mtl.balance.is_private(at.owners["a"])


@pytest.mark.parametrize(
    ("shared", "message"),
    [("encodr", "names no parameter; did you mean 'encoder'"), ({"encoder": True}, "a tree of bools as params")],
)
def test_what_does_not_fit_is_refused(shared, message):
    with pytest.raises(ValueError, match=message):
        linearize_at(two, APART, shared=shared)
