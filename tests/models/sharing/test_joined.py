"""Networks that are joined after stages: their units against the papers, and what they are in a limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.models.parts.norm import Norm
from mtljax.models.sharing import nddr, sluice
from mtljax.models.sharing.base.stitch import Stitch
from tests.models.toys import CONV, HEADS, IMAGES, MLP, K, X, assert_close, init, without


def test_cross_stitch_at_the_identity_is_networks_of_their_own():
    model = mtl.CrossStitch(MLP, HEADS, alpha="identity")
    variables = init(model, X)
    alone = {"params": without(variables["params"], "stitch")}
    assert_close(model.apply(variables, X), mtl.SingleTask(MLP, HEADS).apply(alone, X))


def test_cross_stitch_at_equal_shares_gives_all_networks_the_mean():
    unit = Stitch((1 / 3, 2 / 3), per_channel=True)
    number = 3
    inputs = [jax.random.normal(jax.random.key(i), (2, 4, 4, 5)) for i in range(number)]
    mixed, variables = unit.init_with_output(jax.random.key(0), inputs)
    assert variables["params"]["alpha"].shape == (3, 3, 5)
    for x in mixed:
        np.testing.assert_allclose(x, sum(inputs) / number, rtol=1e-5, atol=1e-6)


def test_a_stitch_is_the_papers_sum_for_each_channel():
    unit = Stitch((0.9, 0.1), per_channel=True)
    alpha = jax.random.normal(jax.random.key(3), (2, 2, 5))
    a, b = jax.random.normal(jax.random.key(4), (2, 7, 5))
    found = unit.apply({"params": {"alpha": alpha}}, [a, b])
    np.testing.assert_allclose(found[1], alpha[1, 0] * a + alpha[1, 1] * b, rtol=1e-5)


@pytest.mark.slow
def test_nddr_and_sluice_at_the_identity_are_networks_of_their_own():
    for encoder, x in ((MLP, X), (CONV, IMAGES)):
        single = mtl.SingleTask(encoder, HEADS)
        nddr = mtl.NDDR(encoder, HEADS, start="identity", norm="none", shortcut=False)
        variables = init(nddr, x)
        alone = {"params": without(variables["params"], "fusion")}
        assert_close(jax.jit(nddr.apply)(variables, x), jax.jit(single.apply)(alone, x))
        sluice = mtl.Sluice(encoder, HEADS, alpha="identity")
        variables = init(sluice, x)["params"]
        last_only = {"stitch_beta": jnp.tile(jnp.array([0.0, 1.0]), (K, 1))} if x is X else {}
        alone = {"params": without(variables, "stitch")}
        assert_close(jax.jit(sluice.apply)({"params": variables | last_only}, x), jax.jit(single.apply)(alone, x))


def test_an_nddr_layer_is_the_authors():
    """A product, a normalisation, a ReLU: as much negative as positive goes in, and nothing negative comes out."""
    for relu in (True, False):
        layer = nddr._Projections(0, K, (0.9, 0.1), "group", None, relu)
        joined = jax.random.normal(jax.random.key(7), (4, 2 * 8))
        out, variables = layer.init_with_output(jax.random.key(0), "fc", joined, False)
        mixed = joined @ variables["params"]["fc"]["kernel"]
        wanted = Norm("group").apply({"params": variables["params"]["fc_norm"]}, mixed)
        assert (wanted < -0.5).any()
        np.testing.assert_allclose(out, jnp.maximum(wanted, 0) if relu else wanted, rtol=1e-5, atol=1e-6)


def test_the_penalty_of_sluice_is_zero_for_orthogonal_halves():
    a, b = jnp.array([[1.0, 0.0]]).T, jnp.array([[0.0, 1.0]]).T
    assert sluice._correlation(a, b) == 0
    np.testing.assert_allclose(sluice._correlation(a, 3 * a), 1.0, rtol=1e-5)
