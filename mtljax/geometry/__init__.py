"""Geometry of cameras and motions: pure functions of arrays. Imports nothing else of mtljax."""

from mtljax.geometry.poses import inverse, matrix_of, motion_of, rotation_of

__all__ = ["inverse", "matrix_of", "motion_of", "rotation_of"]
