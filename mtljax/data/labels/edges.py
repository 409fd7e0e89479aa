"""Edges from depth, from known surfaces, or from classes: pure NumPy."""

import numpy as np

from mtljax.geometry.camera import backproject
from mtljax.geometry.surfaces import EDGE_COSINE, EDGE_STEP, meeting

_EDGE_DEPTH = 0.04  # of the depth, off the tangent planes of both sides
_EDGE_ANGLE = np.cos(np.radians(40))


def edges_from_depth(
    depth: np.ndarray, valid: np.ndarray, normal: np.ndarray, normal_valid: np.ndarray, intrinsics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels where depth or the normal is discontinuous.

    A pixel is an edge where a 4-neighbour lies off its tangent plane and it off the neighbour's, by 4 % of the depth
    (where only one has a normal, that one decides), or where the normals two pixels to
    either side differ by 40 degrees.

    Args:
        depth: (h, w) metres.
        valid: (h, w) bool.
        normal: (h, w, 3), from `normals_from_depth`.
        normal_valid: (h, w) bool.
        intrinsics: (3, 3).

    Returns:
        Edges (h, w) uint8 and their mask (h, w) bool: known at an edge, and where the pixel and its 4-neighbours have
        a depth.
    """
    points = backproject(np.where(valid, depth, 0.0)[..., None], intrinsics, np)
    edge, known = np.zeros(depth.shape, bool), valid.copy()
    for axis in (0, 1):
        here, there = _halves(axis, 1)
        both = valid[here] & valid[there]
        step = points[there] - points[here]
        limit = _EDGE_DEPTH * np.minimum(depth[here], depth[there])
        off = [
            np.where(normal_valid[side], np.abs(np.sum(normal[side] * step, axis=-1)), np.abs(step[..., 2]))
            for side in (here, there)
        ]
        jump = both & (np.minimum(*off) > limit)
        edge[here] |= jump
        edge[there] |= jump
        known[here] &= valid[there]
        known[there] &= valid[here]
        before, after = _halves(axis, 4)
        middle = tuple(slice(2, -2) if a == axis else slice(None) for a in (0, 1))
        cosine = np.sum(normal[before] * normal[after], axis=-1)
        edge[middle] |= valid[middle] & normal_valid[before] & normal_valid[after] & (cosine < _EDGE_ANGLE)
    known |= edge
    return (edge & known).astype(np.uint8), known


def edges_of_surfaces(points: np.ndarray, depth: np.ndarray, normal: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Pixels where surfaces that are known exactly are discontinuous.

    A pixel is an edge where to a 4-neighbour the id changes, the normal turns by more than 30 degrees, or each lies off
    the other's tangent plane by more than 5 % of the depth.

    Args:
        points: (h, w, 3) metres, in any frame.
        depth: (h, w) metres.
        normal: (h, w, 3) unit vectors, in the same frame.
        ids: (h, w) integers, of what a pixel shows.

    Returns:
        Edges (h, w) uint8.
    """
    found = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        here, there = _halves(axis, 1)
        cosine, off = meeting(points, depth, normal, axis, np)
        change = (ids[here] != ids[there]) | (cosine < EDGE_COSINE) | (off > EDGE_STEP)
        found[here] |= change
        found[there] |= change
    return found.astype(np.uint8)


def edges_from_classes(classes: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels whose class differs from that of a 4-neighbour.

    Args:
        classes: (h, w) integers.
        valid: (h, w) bool, where the class is known.

    Returns:
        Edges (h, w) uint8 and their mask (h, w) bool: known where the pixel's class and its 4-neighbours' are.

    Example:
        >>> edge, known = edges_from_classes(np.array([[1, 1, 2, 2, 0]]), np.array([[True] * 4 + [False]]))
        >>> print(edge, known)
        [[0 1 1 0 0]] [[ True  True  True False False]]
    """
    edge, known = np.zeros(classes.shape, bool), valid.copy()
    for here, there in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        differs = classes[here] != classes[there]
        edge[here] |= differs
        edge[there] |= differs
        known[here] &= valid[there]
        known[there] &= valid[here]
    return (edge & known).astype(np.uint8), known


def _halves(axis: int, distance: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    here, there, all_of = slice(None, -distance), slice(distance, None), slice(None)
    return ((here, all_of), (there, all_of)) if axis == 0 else ((all_of, here), (all_of, there))
