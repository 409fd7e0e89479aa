"""Geometry of cameras and motions: pure functions of arrays. Imports nothing else of mtljax."""

from mtljax.geometry.camera import backproject, pixel_grid, project, transform
from mtljax.geometry.poses import inverse, matrix_of, motion_of, rotation_of
from mtljax.geometry.warp import flow_warp, inside, rigid_flow, sample, seen_from, view

__all__ = [
    "backproject",
    "flow_warp",
    "inside",
    "inverse",
    "matrix_of",
    "motion_of",
    "pixel_grid",
    "project",
    "rigid_flow",
    "rotation_of",
    "sample",
    "seen_from",
    "transform",
    "view",
]
