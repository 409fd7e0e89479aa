"""Labels of motion from camera poses, depth and instance poses: NumPy and SciPy, in float64."""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.data.dataset import Example
from mtljax.data.labels.from_depth import points_from_depth

_NEAR = 0.01  # metres in front of the other camera, below which a point has no image there


def pose_matrices(positions: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """Poses as matrices: (..., 3) metres and (..., 4) quaternions (w, x, y, z) -> (..., 4, 4) float64.

    Example:
        >>> print(pose_matrices(np.array([1, 2, 3]), np.array([1, 0, 0, 0])))
        [[1. 0. 0. 1.]
         [0. 1. 0. 2.]
         [0. 0. 1. 3.]
         [0. 0. 0. 1.]]
    """
    matrices = np.zeros((*np.shape(positions)[:-1], 4, 4))
    scalar_last = np.roll(np.asarray(quaternions, np.float64), -1, axis=-1).reshape(-1, 4)
    matrices[..., :3, :3] = Rotation.from_quat(scalar_last).as_matrix().reshape(*matrices.shape[:-2], 3, 3)
    matrices[..., :3, 3] = positions
    matrices[..., 3, 3] = 1
    return matrices


def relative_pose(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The motion of points in one camera's frame to that of another.

    Args:
        pose: (..., 4, 4) of the camera whose points are given, camera to world.
        other: (..., 4, 4) of the camera in whose frame they are wanted.

    Returns:
        (..., 4, 4) float64: inverse(other) pose.
    """
    turned = np.swapaxes(other[..., :3, :3], -1, -2)
    result = np.zeros(np.broadcast_shapes(pose.shape, other.shape))
    result[..., :3, :3] = turned @ pose[..., :3, :3]
    result[..., :3, 3] = (turned @ (pose[..., :3, 3] - other[..., :3, 3])[..., None])[..., 0]
    result[..., 3, 3] = 1
    return result


def ego_motion(poses: np.ndarray) -> Example:
    """The camera's motion from frame to frame, as the label `ego_motion` with its mask.

    Args:
        poses: (s, 4, 4), camera to world.

    Returns:
        `ego_motion` (s, 6) float32: translation (metres), then axis-angle (radians) of T that maps points of the next
        frame's camera to this one's; and `ego_motion_valid` (s, 1), False on the last frame.

    Example:
        >>> poses = pose_matrices(np.array([[0, 0, 0], [0, 0, 2]]), np.array([[1, 0, 0, 0]] * 2))
        >>> label = ego_motion(poses)
        >>> print(label["ego_motion"][0], label["ego_motion_valid"][:, 0])
        [0. 0. 2. 0. 0. 0.] [ True False]
    """
    motion = np.zeros((len(poses), 6), np.float32)
    if len(poses) > 1:
        step = relative_pose(poses[1:], poses[:-1])
        motion[:-1, :3] = step[:, :3, 3]
        motion[:-1, 3:] = Rotation.from_matrix(step[:, :3, :3]).as_rotvec()
    return {"ego_motion": motion, "ego_motion_valid": has_next(len(poses))[:, None]}


def rigid_flow(depth: np.ndarray, intrinsics: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the points of a frame are in another frame of the same camera, if nothing but the camera moves.

    Args:
        depth: (h, w) metres.
        intrinsics: (3, 3), for pixel centres at integers + 0.5.
        motion: (4, 4), of points in this frame's camera to the other's: `relative_pose`.

    Returns:
        Flow (h, w, 2) float64, (x, y) pixels, and its mask (h, w): False where the point is not in front of the other
        camera.

    Example:
        >>> intrinsics, motion = np.array([[10.0, 0, 1], [0, 10, 1], [0, 0, 1]]), np.eye(4)
        >>> motion[0, 3] = 0.5  # the points move to the right
        >>> flow, seen = rigid_flow(np.full((2, 2), 5.0), intrinsics, motion)
        >>> print(flow[0, 0], seen.all())
        [1. 0.] True
    """
    points = points_from_depth(np.asarray(depth, np.float64), np.asarray(intrinsics, np.float64))
    moved = points @ motion[:3, :3].T + motion[:3, 3]
    seen = moved[..., 2] > _NEAR
    focal, centre = np.diagonal(intrinsics)[:2], np.asarray(intrinsics)[:2, 2]
    there = moved[..., :2] / np.where(seen, moved[..., 2], 1.0)[..., None] * focal + centre
    here = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in depth.shape[::-1])), axis=-1)
    return np.where(seen[..., None], there - here, 0.0), seen


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
    labels = {"moving": np.zeros(depth.shape, np.uint8), "moving_valid": valid & has_next(s)[:, None, None, None]}
    for key, step in (("forward_flow", 1), ("backward_flow", -1)):
        flow, known = np.zeros((*depth.shape[:-1], 2), np.float32), np.zeros(depth.shape, bool)
        for t in range(max(0, -step), min(s, s - step)):
            moved, seen = rigid_flow(depth[t, ..., 0], intrinsics, relative_pose(poses[t], poses[t + step]))
            known[t] = valid[t] & seen[..., None]
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
    differs = sum(np.any(np.diff(poses[key], axis=1) != 0, axis=-1) for key in ("positions", "quaternions"))
    table = np.zeros((len(differs) + 1, len(instance)), np.uint8)  # of the background and each instance, by frame
    table[1:, :-1] = differs > 0
    found = table[instance, np.arange(len(instance))[:, None, None, None]]
    return {"moving": found, "moving_valid": np.ones(found.shape, bool) & has_next(len(found))[:, None, None, None]}


def has_next(frames: int) -> np.ndarray:
    """(s,) bool: all but the last frame.

    Example:
        >>> print(has_next(3))
        [ True  True False]
    """
    return np.arange(frames) < frames - 1
