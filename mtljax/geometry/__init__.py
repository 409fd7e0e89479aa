"""Geometry of cameras and motions: pure functions of arrays. Imports nothing else of mtljax."""

from mtljax.geometry.poses import inverse, matrix_of, motion_of, rotation_of
from mtljax.geometry.trajectories import align, ate, chain, kitti_errors, relative, rpe, snippet_ate

__all__ = [
    "align",
    "ate",
    "chain",
    "inverse",
    "kitti_errors",
    "matrix_of",
    "motion_of",
    "relative",
    "rotation_of",
    "rpe",
    "snippet_ate",
]
