"""The networks of published protocols: what they give, against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax.models import encoders, heads
from mtljax.models.encoders.segnet import pooled, unpooled

WATER = {"numbers": [8, 1, 1], "positions": [[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.8, -0.5]]}


@pytest.fixture(scope="module")
def mpnn():
    net = encoders.MPNN(width=8, hidden=6)
    molecules = padded(5)
    return jax.jit(net.apply), jax.jit(net.init)(jax.random.key(0), molecules)


def padded(atoms, order=(0, 1, 2), turn=None, moved=0.0):
    """Water twice, the second time stretched, padded to some atoms."""
    rest = [(0, atoms - 3)]
    numbers = np.pad(np.array(WATER["numbers"])[list(order)], rest)
    places = np.array(WATER["positions"])[list(order)] @ np.transpose(np.eye(3) if turn is None else turn) + moved
    positions = np.pad(np.stack([places, 1.3 * places]), [(0, 0), *rest, (0, 0)])
    return {"numbers": jnp.stack([numbers, numbers]), "positions": jnp.asarray(positions, jnp.float32)}


def test_a_molecule_is_the_same_however_its_atoms_are_listed_padded_turned_and_moved(mpnn):
    apply, variables = mpnn
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    there = apply(variables, padded(5))
    np.testing.assert_allclose(apply(variables, padded(5, order=(2, 0, 1), turn=turn, moved=3.0)), there, atol=1e-5)
    np.testing.assert_allclose(apply(variables, padded(7)), there, atol=1e-5)
    assert np.abs(there[0] - there[1]).max() > 1e-3  # but not when it is stretched


def test_gradients_of_a_molecule_are_finite_where_atoms_lie_on_each_other_or_lack(mpnn):
    _, variables = mpnn
    net = encoders.MPNN(width=8, hidden=6)
    nothing = {"numbers": jnp.zeros((1, 5), int), "positions": jnp.zeros((1, 5, 3))}
    on_each_other = {"numbers": jnp.array([[6, 6, 1, 0, 0]]), "positions": jnp.zeros((1, 5, 3))}
    gradient = jax.jit(jax.grad(lambda v, x: net.apply(v, x).sum()))
    for molecules in (nothing, on_each_other):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(variables, molecules)))


def test_messages_are_those_of_a_matrix_for_each_pair(mpnn):
    """The mean over neighbours of A(pair) state, with A linear in what a layer makes of the distance."""
    _, variables = mpnn
    params, molecules = variables["params"], padded(4)
    net = encoders.MPNN(width=8, hidden=6, rounds=1)
    kept = jax.jit(lambda v: net.apply(v, molecules, capture_intermediates=True)[1]["intermediates"])(variables)
    state = np.maximum(np.asarray(kept["atoms"]["__call__"][0]), 0)
    pairs = np.maximum(np.asarray(kept["pairs"]["__call__"][0]), 0)
    matrices = np.asarray(params["messages"]["kernel"]).reshape(6, 8, 8)  # of pairs, by state, to width
    said = np.asarray(kept["messages"]["__call__"][0] + kept["constant"]["__call__"][0])
    for atom, others in ((0, (1, 2)), (2, (0, 1))):
        expected = np.asarray(params["messages"]["bias"])
        for other in others:
            matrix = np.einsum("k,kcd->cd", pairs[1, atom, other], matrices) + params["constant"]["kernel"]
            expected = expected + state[1, other] @ matrix / 2
        np.testing.assert_allclose(said[1, atom], expected, rtol=1e-4, atol=1e-5)


def test_unpooling_puts_values_back_where_they_were():
    x = np.random.default_rng(1).normal(size=(2, 4, 6, 3)).astype(np.float32)
    back = np.asarray(unpooled(pooled(jnp.asarray(x)), jnp.asarray(x)))
    for b, i, j, c in np.ndindex(2, 2, 3, 3):
        window, found = (a[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c] for a in (x, back))
        np.testing.assert_array_equal(found, np.where(window == window.max(), window, 0))


@pytest.mark.slow
def test_segnet_is_vgg_16_and_its_mirror_image():
    net, image = encoders.SegNet(), jnp.ones((1, 32, 64, 3))
    variables = jax.eval_shape(net.init, jax.random.key(0), image)
    wide = {k: v["kernel"].shape[-1] for k, v in sorted(variables["params"].items()) if "conv" in k}
    down = [channels for name, channels in wide.items() if name.startswith("down")]
    assert down == [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    up = [channels for name, channels in wide.items() if name.startswith("up")]
    assert up == [64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512]
    maps = jax.eval_shape(encoders.SegNet(pyramid=True).apply, variables, image)
    assert [level.shape for level in maps] == [
        (1, 32 // s, 64 // s, c) for s, c in ((1, 64), (2, 64), (4, 128), (8, 256), (16, 512))
    ]
    with pytest.raises(ValueError, match="sides divisible by 32, not 24 x 64"):
        jax.eval_shape(net.init, jax.random.key(0), jnp.ones((1, 24, 64, 3)))


def test_the_head_of_deeplab_has_its_parameters():
    """Five branches, what joins them, a 3 x 3 and a 1 x 1, on the 2048 channels of a ResNet-50."""
    variables = jax.eval_shape(heads.ASPP(13).init, jax.random.key(0), jnp.ones((1, 4, 4, 2048)))
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    branches = 2 * 2048 * 256 + 3 * 9 * 2048 * 256
    assert count == branches + 5 * 256 * 256 + 9 * 256 * 256 + 7 * 2 * 256 + 256 * 13 + 13


def test_the_plain_network_of_faces_has_nine_layers():
    variables = jax.eval_shape(encoders.ConvNet().init, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
    kernels = [v["kernel"].shape for v in variables["params"].values() if "kernel" in v]
    assert [shape[-1] for shape in kernels] == [64, 128, 128, 256, 256, 512, 512, 512, 512]
    out = jax.eval_shape(encoders.ConvNet(hidden=()).init_with_output, jax.random.key(0), jnp.ones((1, 64, 64, 3)))
    assert out[0].shape == (1, 512)
