import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl

RNG = np.random.default_rng(0)
PYRAMID = tuple(RNG.normal(size=(2, 16 // k, 24 // k, 8)).astype(np.float32) for k in (1, 2, 4))


def test_inverse_depth_is_between_its_bounds_at_every_scale():
    head = mtl.heads.InverseDepth(scales=4, near=0.5, far=20.0, width=8)
    depth, variables = jax.jit(lambda: head.init_with_output(jax.random.key(0), PYRAMID, size=(32, 48)))()
    assert depth.shape == (2, 32, 48, 4)
    assert depth.dtype == jnp.float32
    assert ((depth > 0.5) & (depth < 20)).all()
    assert 0.8 < np.median(depth) < 1.2  # the middle of the range, in inverse depth
    apply = jax.jit(lambda v: head.apply(v, PYRAMID, size=(32, 48)))
    for sign, bound in ((1, 0.5), (-1, 20.0)):
        loud = jax.tree.map_with_path(
            lambda path, x, s=sign: x + s * 50 if path[-2].key.startswith("predict") and path[-1].key == "bias" else x,
            variables,
        )
        np.testing.assert_allclose(apply(loud), bound, rtol=1e-4)


@pytest.mark.slow
def test_what_is_lower_is_nearer_at_first_where_there_is_a_ground():
    heads = [mtl.heads.InverseDepth(scales=2, width=8, ground=ground) for ground in (0.0, 2.0)]
    variables = jax.jit(lambda: heads[0].init(jax.random.key(0), PYRAMID, size=(32, 48)))()
    plain, tilted = (jax.jit(lambda v, h=head: h.apply(v, PYRAMID, size=(32, 48)))(variables) for head in heads)
    logit = [jax.scipy.special.logit((1 / x - 0.01) / (10 - 0.01))[:, 1:-1, 1:-1, 0] for x in (plain, tilted)]
    ramp = np.broadcast_to(np.linspace(-2, 2, 32)[1:-1, None], logit[0].shape)
    np.testing.assert_allclose(logit[1] - logit[0], ramp, atol=1e-3)
    assert (tilted[:, -1].mean((0, 1)) < 0.3 * tilted[:, 0].mean((0, 1))).all()


@pytest.mark.slow  # scales and their bounds are tested above
def test_a_coarse_scale_has_few_values_and_its_own_parameters():
    head = mtl.heads.InverseDepth(scales=3, width=8)
    depth, variables = jax.jit(lambda: head.init_with_output(jax.random.key(1), PYRAMID, size=(32, 48)))()
    coarse = jax.image.resize(1 / depth[..., 2], (2, 8, 12), "linear")
    again = jax.image.resize(coarse, (2, 32, 48), "linear")
    off = [np.abs(1 / depth[..., s] - again).mean() for s in range(3)]
    assert off[2] < 0.3 * off[0]
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(head.apply(v, PYRAMID, size=(32, 48))[..., 2])))(variables)["params"]
    touched = {name for name, leaves in gradient.items() if any(np.any(leaf) for leaf in jax.tree.leaves(leaves))}
    assert "predict2" in touched
    assert not touched & {"predict0", "predict1", "finer1_conv", "level1_conv"}


@pytest.mark.parametrize(
    "encoder", [mtl.encoders.ResNet(depth=10, width=4, norm="group"), mtl.encoders.UNet(width=4, levels=2)]
)
def test_any_encoder_of_maps_will_do(encoder):
    model = mtl.MultiTask(encoder, {"depth": mtl.heads.InverseDepth(width=8)})
    out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 2, 28, 44, 3)))
    assert out["depth"].shape == (1, 2, 28, 44, 4)


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="InverseDepth takes feature maps"):
        mtl.heads.InverseDepth().init(jax.random.key(0), jnp.ones((2, 8)))


@pytest.mark.slow
def test_parents_are_passed_on_without_a_parameter():
    heads = {"all": mtl.heads.Parents(), "a": mtl.heads.Dense(2, width=4), "b": mtl.heads.Linear(3)}
    model = mtl.MultiTask(mtl.encoders.UNet(width=4, levels=1), heads, parents={"all": ("a", "b")})
    images = jnp.ones((2, 3, 8, 8, 3))
    out, variables = jax.jit(lambda: model.init_with_output(jax.random.key(0), images))()
    assert set(out["all"]) == {"a", "b"}
    jax.tree.map(np.testing.assert_array_equal, out["all"], {"a": out["a"], "b": out["b"]})
    assert "heads_all" not in variables["params"]
