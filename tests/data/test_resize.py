"""Examples at another size: labels stay true of the image."""

import numpy as np
import pytest

from mtljax.data.labels.motion import static_labels
from mtljax.data.resize import resized
from mtljax.errors import UserError
from mtljax.geometry import pose_matrices


def plane(size, k):
    """A clip of two frames before a wall, all labels computed at one size."""
    depth = np.full((2, *size, 1), 2.0, np.float32)
    depth[:, :, : size[1] // 2] = 3.0  # a step in the middle
    poses = pose_matrices(np.array([[0, 0, 0], [0.1, -0.05, 0.2]]), np.array([[1, 0, 0, 0], [0.999, 0.01, 0.02, 0.03]]))
    valid = np.ones(depth.shape, bool)
    valid[:, : size[0] // 4] = False
    shade = np.broadcast_to(np.linspace(0, 200, size[1], dtype=np.uint8)[:, None], (2, *size, 3))
    normal = np.broadcast_to(np.array([0, 0, -1], np.float32), (2, *size, 3))
    example = {"image": shade, "depth": depth, "depth_valid": valid, "normal": normal, "normal_valid": valid}
    camera = {"positions": np.zeros((2, 3)), "quaternions": np.zeros((2, 4)), "intrinsics": k.astype(np.float32)}
    return example | static_labels(depth, valid, k, poses) | {"camera": camera}


def test_labels_of_a_smaller_image_are_those_made_at_that_size():
    large, small = (24, 48), (8, 12)  # by a third and a quarter: pixel centres of the small lie on those of the large
    k = np.array([[40.0, 0, 24], [0, 40, 12], [0, 0, 1]])
    scaled = k * np.array([[1 / 4], [1 / 3], [1]])
    found, wanted = resized(plane(large, k), small), plane(small, scaled)
    assert found["image"].shape == (2, *small, 3)
    assert found["image"].dtype == np.uint8
    np.testing.assert_allclose(found["camera"]["intrinsics"], scaled, rtol=1e-6)
    for key, value in wanted.items():
        if key not in ("image", "camera"):
            assert (found[key].shape, found[key].dtype) == (value.shape, value.dtype), key
            # Three rows have one in their middle; of four columns the third is nearest, half a pixel off.
            np.testing.assert_allclose(found[key], value, atol=0.04 if key.endswith("flow") else 1e-7, err_msg=key)
    assert np.abs(wanted["forward_flow"]).max() > 0.8


def test_images_are_averaged_over_areas_or_interpolated():
    frames = np.random.default_rng(0).integers(0, 255, (2, 4, 6, 3), np.uint8)
    halved = resized({"image": frames}, (2, 3))["image"]
    means = frames.reshape(2, 2, 2, 3, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(halved, means, atol=1.01)  # Pillow rounds after each axis
    floats = resized({"image": frames.astype(np.float32)}, (2, 3))["image"]
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, means, rtol=1e-5)
    ramp = np.arange(6, dtype=np.float32)[None, None, :, None].repeat(4, axis=1)
    grown = resized({"image": ramp}, (4, 12))["image"]
    np.testing.assert_allclose(grown[0, 0, 1:-1, 0], (np.arange(12) / 2 - 0.25)[1:-1], rtol=1e-5)


def test_an_example_of_that_size_is_left_alone_and_other_keys_always():
    example = {"image": np.zeros((1, 4, 4, 3), np.uint8), "ego_motion": np.ones((1, 6), np.float32)}
    assert resized(example, (4, 4)) is example
    assert resized(example, (2, 2))["ego_motion"] is example["ego_motion"]


@pytest.mark.parametrize("size", [(4,), 4, (0, 4), (4.0, 4), "ab"])
def test_sizes_that_cannot_be_are_named(size):
    with pytest.raises(UserError, match=r"expected \(height, width\)"):
        resized({"image": np.zeros((1, 4, 4, 3), np.uint8)}, size)


@pytest.mark.parametrize("size", [(12, 24), (8, 16), (10, 17), (5, 48), (48, 96)])
def test_an_edge_is_what_covers_one(size):
    """Of a smaller image no line is lost; of a larger one none is wider than it grew."""
    edge = np.random.default_rng(0).random((2, 24, 48, 1)) < 0.05
    valid = np.ones(edge.shape, bool)
    valid[:, :6] = False
    example = {"image": np.zeros((2, 24, 48, 3), np.uint8), "edge": edge.astype(np.uint8), "edge_valid": valid}
    found = resized(example, size)
    assert (found["edge"].dtype, found["edge_valid"].dtype) == (np.uint8, bool)
    assert found["edge_valid"].mean() == pytest.approx(0.75, abs=0.06)
    if size == (48, 96):
        np.testing.assert_array_equal(found["edge"], (edge & valid).repeat(2, axis=1).repeat(2, axis=2))
        return
    for y, x in np.ndindex(size):
        rows, columns = (
            slice(int(i * step + 1e-6), int(np.ceil((i + 1) * step - 1e-6)))
            for i, step in ((y, 24 / size[0]), (x, 48 / size[1]))
        )
        covered = (edge & valid)[:, rows, columns].any(axis=(1, 2, 3))
        np.testing.assert_array_equal(found["edge"][:, y, x, 0], covered & found["edge_valid"][:, y, x, 0])
