"""Labels of motion: against `scenes`, whose flow is that of its own ray caster, and against mtljax.geometry."""

import jax
import numpy as np
import pytest

from mtljax import geometry
from mtljax.data.labels import motion
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip


@pytest.fixture(scope="module")
def clips():
    """In 4 objects and camera move, in 5 the objects alone, in 8 the camera alone, in 15 nothing."""
    return {index: render_clip(32, 3, 0, "train", index) for index in (4, 5, 8, 15)}


def poses_of(clip):
    return geometry.pose_matrices(clip["camera"]["positions"], clip["camera"]["quaternions"])


def test_ego_motion_maps_the_next_cameras_points_to_this_ones(clips):
    poses = poses_of(clips[4])
    label = motion.ego_motion(poses)
    assert label["ego_motion_valid"][:, 0].tolist() == [True, True, False]
    assert not label["ego_motion"][-1].any()

    @jax.jit
    def steps_and_motions(motions, poses):
        return geometry.matrix_of(motions), geometry.motion_of(geometry.inverse(poses[:-1]) @ poses[1:])

    steps, motions = steps_and_motions(label["ego_motion"][:-1], poses.astype(np.float32))
    np.testing.assert_allclose(poses[:-1] @ steps, poses[1:], atol=2e-6)
    np.testing.assert_allclose(label["ego_motion"][:-1], motions, atol=5e-6)
    assert np.linalg.norm(label["ego_motion"][0, :3]) > 0.05


@pytest.mark.parametrize(("key", "step"), [("forward_flow", 1), ("backward_flow", -1)])
def test_rigid_flow_is_that_of_the_background(clips, key, step):
    farthest = 0
    for clip in clips.values():
        poses, k = poses_of(clip), clip["camera"]["intrinsics"]
        labels = motion.static_labels(clip["depth"], np.ones(clip["depth"].shape, bool), k, poses)
        for t in range(3):
            background = clip["segmentations"][t, ..., 0] == 0
            has_other = 0 <= t + step < 3
            assert labels[f"{key}_valid"][t].all() == labels[f"{key}_valid"][t].any() == has_other
            wanted = clip[key][t] if has_other else np.zeros_like(clip[key][t])
            assert np.abs(labels[key][t] - wanted)[background].max() < 0.01
            farthest = max(farthest, np.abs(wanted[background]).max())
    assert farthest > 0.5


def test_what_moves_is_what_the_camera_does_not_explain(clips):
    moved = 0
    for index, clip in clips.items():
        label = to_example(clip)
        poses, k = poses_of(clip), clip["camera"]["intrinsics"]
        still = motion.static_labels(clip["depth"], np.ones(clip["depth"].shape, bool), k, poses)["forward_flow"]
        rest = np.linalg.norm(clip["forward_flow"] - still, axis=-1)[:2]
        mask, seen = label["moving"][:2, ..., 0] == 1, clip["segmentations"][:2, ..., 0] > 0
        assert rest[~mask].max() < 0.01
        np.testing.assert_array_equal(mask, seen & (index in (4, 5)))
        moved += np.count_nonzero(rest[mask] > 0.1)
        assert label["moving"].dtype == np.uint8
        assert label["moving_valid"].all(axis=(1, 2, 3)).tolist() == [True, True, False]
        assert not label["moving"][2].any()
        assert not label["moving_valid"][2].any()
    assert moved > 300


def test_a_point_behind_the_other_camera_has_no_flow():
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 2, 3] = 3.0  # the camera goes three metres ahead
    depth = np.array([2.0, 5.0, 3.005]).reshape(1, 1, 3, 1).repeat(2, axis=0)  # the last is nearer to it than 1 cm
    k = np.array([[1.0, 0, 1], [0, 1, 0.5], [0, 0, 1]])
    labels = motion.static_labels(depth, np.ones(depth.shape, bool), k, poses)
    assert labels["forward_flow_valid"][0, 0, :, 0].tolist() == [False, True, False]
    np.testing.assert_allclose(labels["forward_flow"][0, 0], [[0, 0], [0.5 * 5 / 2 - 0.5, 0], [0, 0]])


@pytest.mark.parametrize("value", [np.nan, 0.0, 5.0])
def test_a_depth_that_is_not_known_gives_no_flow(value):
    depth, valid = np.ones((2, 2, 2, 1), np.float32), np.ones((2, 2, 2, 1), bool)
    depth[0, 0, 0], valid[0, 0, 0] = value, False
    poses = geometry.pose_matrices(np.array([[0, 0, 0], [0.1, 0, 0]]), np.array([[1, 0, 0, 0]] * 2))
    labels = motion.static_labels(depth, valid, np.array([[2.0, 0, 1], [0, 2, 1], [0, 0, 1]]), poses)
    for key in ("forward_flow", "moving"):
        assert labels[f"{key}_valid"][..., 0].tolist() == [[[False, True], [True, True]], [[False] * 2] * 2]
    np.testing.assert_allclose(labels["forward_flow"][0], [[[0, 0], [-0.2, 0]], [[-0.2, 0]] * 2], rtol=1e-6)
