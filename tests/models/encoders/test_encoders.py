import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax.models import encoders, heads


def parameters(module, *inputs, **kwargs):
    _, variables = shapes(module, *inputs, **kwargs)
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(("depth", "count"), [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032), (101, 42_500_160)])
def test_resnet_has_the_parameters_of_the_original(depth, count):
    # torchvision's counts (11,689,512; 21,797,672; 25,557,032; 44,549,160) less the classifier's.
    assert parameters(encoders.ResNet(depth=depth), jnp.ones((1, 64, 64, 3))) == count


@pytest.mark.parametrize("stem", ["imagenet", "patch2", "small"])
def test_the_pyramid_has_the_strides_it_says(stem):
    module = encoders.ResNet(depth=10, width=4, stem=stem)
    pyramid, _ = shapes(module, jnp.ones((2, 64, 96, 3)))
    assert [level.shape[1:3] for level in pyramid] == [(64 // s, 96 // s) for s in module.strides]


def shapes(module, *inputs, **kwargs):
    return jax.eval_shape(lambda k: module.init_with_output(k, *inputs, **kwargs), jax.random.key(0))


def test_odd_sizes_come_back_at_image_size():
    pyramid, _ = shapes(encoders.ResNet(depth=10, width=4, norm="group"), jnp.ones((1, 37, 51, 3)))
    out, _ = shapes(heads.Dense(2, width=4), tuple(jnp.ones(level.shape) for level in pyramid), size=(37, 51))
    assert out.shape == (1, 37, 51, 2)


def test_bfloat16_computes_low_and_keeps_float32_parameters_and_predictions():
    pyramid, variables = shapes(
        encoders.ResNet(depth=10, width=4, norm="group", dtype="bfloat16", stem="patch2"), jnp.ones((1, 16, 16, 3))
    )
    assert pyramid[0].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    out, _ = shapes(heads.Dense(2, width=4, dtype="bfloat16"), jnp.ones((1, 4, 4, 3), jnp.bfloat16))
    assert out.dtype == jnp.float32


def test_an_output_function_is_applied_to_the_prediction():
    head = heads.Dense(1, width=4, output=jax.nn.softplus)
    out, _ = jax.jit(head.init_with_output)(jax.random.key(0), jnp.ones((1, 4, 4, 3)))
    assert (out > 0).all()
