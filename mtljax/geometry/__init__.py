"""Geometry of cameras and motions: pure functions of arrays. Imports nothing else of mtljax."""

from mtljax.geometry.camera import backproject, pinhole, pixel_grid, project, transform
from mtljax.geometry.motion_field import motion_field, motion_from_flow, motion_from_tensors
from mtljax.geometry.poses import inverse, matrix_of, motion_of, pose_matrices, rotation_of, rotation_of_quaternion
from mtljax.geometry.surfaces import meeting, normals_from_depth
from mtljax.geometry.trajectories import align, ate, chain, kitti_errors, relative, rpe, snippet_ate
from mtljax.geometry.warp import flow_warp, inside, rigid_flow, sample, seen_from, view

__all__ = [
    "align",
    "ate",
    "backproject",
    "chain",
    "flow_warp",
    "inside",
    "inverse",
    "kitti_errors",
    "matrix_of",
    "meeting",
    "motion_field",
    "motion_from_flow",
    "motion_from_tensors",
    "motion_of",
    "normals_from_depth",
    "pinhole",
    "pixel_grid",
    "pose_matrices",
    "project",
    "relative",
    "rigid_flow",
    "rotation_of",
    "rotation_of_quaternion",
    "rpe",
    "sample",
    "seen_from",
    "snippet_ate",
    "transform",
    "view",
]
