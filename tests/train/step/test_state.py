"""Groups of parameters: one norm over all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mtljax import train

PARAMS = {"trunk": jnp.zeros(2), "a": jnp.zeros(2), "b": jnp.zeros(1)}
GRADIENT = {"trunk": jnp.array([3.0, 0.0]), "a": jnp.array([0.0, 4.0]), "b": jnp.array([12.0])}
KNOWN = {"present": jnp.ones(2, bool), "owners": {"trunk": (0, 1), "a": (0,), "b": (1,)}}


def update(gradient=GRADIENT, clip_norm=0.0, **transforms):
    groups = {name: optax.sgd(1.0) for name in PARAMS} | transforms
    tx = train.partition(groups, {name: name for name in PARAMS}, clip_norm)
    return tx.update(gradient, tx.init(PARAMS), PARAMS, **KNOWN)[0]


@pytest.mark.parametrize(("clip_norm", "factor"), [(0.0, 1.0), (20.0, 1.0), (13.0, 1.0), (6.5, 0.5), (0.013, 0.001)])
def test_the_norm_over_all_groups_is_clipped(clip_norm, factor):
    found = update(clip_norm=clip_norm)
    jax.tree.map(lambda u, g: np.testing.assert_allclose(u, -factor * g, rtol=1e-6), found, GRADIENT)


def test_each_group_alone_is_what_a_link_in_its_chain_clips():
    chain = optax.chain(optax.clip_by_global_norm(6.5), optax.sgd(1.0))
    found = update(**dict.fromkeys(PARAMS, chain))
    np.testing.assert_allclose([found["a"][1], found["b"][0]], [-4.0, -6.5], rtol=1e-6)


def test_frozen_groups_have_no_part_in_the_norm():
    found = update(clip_norm=2.5, b=optax.set_to_zero())
    np.testing.assert_allclose([found["trunk"][0], found["a"][1], found["b"][0]], [-1.5, -2.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_no_square_overflows_or_vanishes(scale):
    found = update(jax.tree.map(lambda g: scale * g, GRADIENT), clip_norm=6.5 * scale)
    jax.tree.map(lambda u, g: np.testing.assert_allclose(u / scale, -0.5 * g, rtol=1e-5), found, GRADIENT)


def test_zeros_stay_zeros():
    found = update(jax.tree.map(jnp.zeros_like, GRADIENT), clip_norm=1.0)
    jax.tree.map(lambda u: np.testing.assert_array_equal(u, 0.0), found)
