"""What a derivative keeps: what was dear to make, and nothing that is made element by element."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance import jacobian
from mtljax.balance.linearized.in_step import in_step
from mtljax.balance.linearized.recompute import recomputed


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.relu(nn.GroupNorm(4)(nn.Conv(8, (3, 3))(x)))
        x = nn.Dropout(0.5, deterministic=False)(nn.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1))
        return [nn.Dense(3)(nn.gelu(nn.Dense(16)(x))) for _ in range(2)]


@functools.cache
def given():
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
    keys = {"params": jax.random.key(1), "dropout": jax.random.key(2)}
    return jax.jit(Network().init)(keys, x)["params"], x


def losses_fn(params, x):
    out = Network().apply({"params": params}, x, rngs={"dropout": jax.random.key(3)})
    return tuple(-jnp.mean(nn.log_softmax(logits)[:, t]) for t, logits in enumerate(out)), out[0].sum()


def kept(function, params):
    """Sizes of the arrays that a derivative holds, without those that are there anyway."""
    tangent = jax.linearize(function, params, has_aux=True)[1]
    there = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(given())}
    leaves = [leaf for leaf in jax.tree.leaves(tangent) if leaf.unsafe_buffer_pointer() not in there]
    return sorted((leaf.nbytes for leaf in leaves), reverse=True)


def test_nothing_is_kept_that_is_made_element_by_element():
    params, x = given()
    whole = 4 * 8 * 8 * 8 * 4  # bytes of what a convolution gives
    without, found = (kept(way(functools.partial(losses_fn, x=x)), params) for way in (lambda f: f, recomputed))
    assert [size for size in found if size >= whole] == [whole, whole]
    assert sum(found) < sum(without) / 3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_derivative_is_the_same(precision):
    params, x = jax.tree.map(lambda leaf: leaf.astype(precision), given())

    def read(recompute):
        def read_all(params):
            (losses, aux), at = mtl.linearize(losses_fn, has_aux=True, recompute=recompute)(params, x)
            return losses, aux, at.gramian().cosines, at.weighted(jnp.array([0.3, 0.7])), at.jacobian()

        return jax.jit(read_all)(params)

    tolerance = {"float32": 1e-5, "bfloat16": 0.05}[precision]
    near = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    jax.tree.map(lambda a, b: near(a.astype(float), b.astype(float)), read(True), read(False))


def test_passes_make_it_again_in_their_turn(monkeypatch):
    params, x = given()
    after = []

    def told(*args, **kwargs):
        after.extend(kwargs["after"])
        return in_step(*args, **kwargs)

    monkeypatch.setattr(jacobian, "in_step", told)

    def read(params):
        (losses, _), at = mtl.linearize(losses_fn, has_aux=True, recompute=True)(params, x)
        at.gramian()
        assert after[0] is losses
        return at.weighted(jnp.ones(2))

    kinds = {equation.primitive.name for equation in jax.make_jaxpr(read)(params).eqns}
    assert "tanh" in kinds  # of gelu, made again
    assert not kinds & {"remat2", "checkpoint"}
