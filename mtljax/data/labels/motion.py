"""Labels of motion from camera poses, depth and instance poses: NumPy, in float64."""

from collections.abc import Mapping

import numpy as np

from mtljax.data.dataset import Example
from mtljax.geometry.poses import inverse
from mtljax.geometry.trajectories import motions_between
from mtljax.geometry.warp import rigid_flow

_NEAR = 0.01  # metres in front of the other camera, below which a point has no image there


def ego_motion(poses: np.ndarray) -> Example:
    """The camera's motion from frame to frame, as the label `ego_motion` with its mask.

    Args:
        poses: (s, 4, 4), camera to world.

    Returns:
        `ego_motion` (s, 6) float32: translation (metres), then axis-angle (radians) of T that maps points of the next
        frame's camera to this one's; and `ego_motion_valid` (s, 1), False on the last frame.

    Example:
        >>> from mtljax.geometry import pose_matrices
        >>> poses = pose_matrices(np.array([[0, 0, 0], [0, 0, 2]]), np.array([[1, 0, 0, 0]] * 2))
        >>> label = ego_motion(poses)
        >>> print(label["ego_motion"][0], label["ego_motion_valid"][:, 0])
        [0. 0. 2. 0. 0. 0.] [ True False]
    """
    motion = np.zeros((len(poses), 6), np.float32)
    motion[:-1] = motions_between(poses)
    return {"ego_motion": motion, "ego_motion_valid": has_next(len(poses))[:, None]}


def static_labels(depth: np.ndarray, valid: np.ndarray, intrinsics: np.ndarray, poses: np.ndarray) -> Example:
    """The labels of motion of a clip in which only the camera moves.

    Args:
        depth: (s, h, w, 1) metres.
        valid: (s, h, w, 1) bool.
        intrinsics: (3, 3), for pixel centres at integers + 0.5.
        poses: (s, 4, 4), camera to world.

    Returns:
        `forward_flow`, `backward_flow`, `moving` and `ego_motion` with their masks: as in `mtljax.data.dataset`; flow
        and `moving` are known where there are a depth and the other frame.
    """
    s = len(depth)
    exact, camera = depth.astype(np.float64), np.asarray(intrinsics, np.float64)
    labels = {"moving": np.zeros(depth.shape, np.uint8), "moving_valid": valid & has_next(s)[:, None, None, None]}
    for key, step in (("forward_flow", 1), ("backward_flow", -1)):
        flow, known = np.zeros((*depth.shape[:-1], 2), np.float32), np.zeros(depth.shape, bool)
        for t in range(max(0, -step), min(s, s - step)):
            moved, seen = rigid_flow(exact[t], camera, inverse(poses[t + step], np) @ poses[t], _NEAR, np)
            known[t] = valid[t] & seen
            flow[t] = np.where(known[t], moved, 0)
        labels |= {key: flow, f"{key}_valid": known}
    return labels | ego_motion(poses)


def moving(instance: np.ndarray, poses: Mapping[str, np.ndarray]) -> Example:
    """Which pixels show an instance that moves in the world between a frame and the next.

    Args:
        instance: (s, h, w, 1) ids: 0 background, else 1 + the instance's index.
        poses: `positions` (n, s, 3) and `quaternions` (n, s, 4).

    Returns:
        `moving` (s, h, w, 1) uint8, 1 where the position or the quaternion of the pixel's instance differs from that
        of the next frame, and `moving_valid`: False on the last frame.

    Example:
        >>> ids = np.array([0, 1, 2]).reshape(1, 1, 3, 1).repeat(2, axis=0)
        >>> poses = {"positions": np.zeros((2, 2, 3)), "quaternions": np.zeros((2, 2, 4))}
        >>> poses["positions"][1, 1] = 1
        >>> print(moving(ids, poses)["moving"][..., 0].tolist())
        [[[0, 0, 1]], [[0, 0, 0]]]
    """
    differs = np.logical_or(*(np.any(np.diff(poses[k], axis=1) != 0, axis=-1) for k in ("positions", "quaternions")))
    table = np.zeros((len(differs) + 1, len(instance)), np.uint8)  # of the background and each instance, by frame
    table[1:, :-1] = differs
    found = table[instance, np.arange(len(instance))[:, None, None, None]]
    return {"moving": found, "moving_valid": np.ones(found.shape, bool) & has_next(len(found))[:, None, None, None]}


def has_next(frames: int) -> np.ndarray:
    """(s,) bool: all but the last frame.

    Example:
        >>> print(has_next(3))
        [ True  True False]
    """
    return np.arange(frames) < frames - 1
