"""Normals from depth: pure NumPy."""

import numpy as np

from mtljax.geometry.surfaces import FAR_OFF, SAME_SURFACE, normals_of_fit

_FAR_OFF = np.float32(FAR_OFF)
_ROWS = 64  # fitted at once: what they want stays in the processor's cache


def normals_from_depth(
    depth: np.ndarray, valid: np.ndarray, intrinsics: np.ndarray, radius: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a plane to the neighbours of every pixel that lie on its surface.

    The planes are those of `mtljax.geometry.normals_from_depth`, which is differentiable; this is the faster one.

    Args:
        depth: (h, w) metres.
        valid: (h, w) bool.
        intrinsics: (3, 3), for pixel centres at integers + 0.5.
        radius: of the window.

    Returns:
        Normals (h, w, 3) float32, unit vectors in the camera frame (0 where not valid), and their mask (h, w): False
        where the depth is not valid or fewer than half of the window lies on the surface.
    """
    inverse = np.where(valid, 1 / np.where(valid, depth, 1.0), 0.0).astype(np.float32)
    padded = np.pad(np.where(valid, inverse, _FAR_OFF), radius, constant_values=_FAR_OFF)
    normal, solvable = np.zeros((*depth.shape, 3), np.float32), np.zeros(depth.shape, bool)
    for top in range(0, len(depth), _ROWS):
        rows = slice(top, min(top + _ROWS, len(depth)))
        around = padded[rows.start : rows.stop + 2 * radius]
        normal[rows], solvable[rows] = _fitted(inverse[rows], around, valid[rows], intrinsics, radius, top)
    return normal, solvable


def _fitted(
    inverse: np.ndarray, around: np.ndarray, valid: np.ndarray, intrinsics: np.ndarray, radius: int, top: int
) -> tuple[np.ndarray, np.ndarray]:
    """Normals of some rows, the first of which is `top`, and their mask."""
    sums = _window_sums(inverse, around, radius)
    normal, solvable = normals_of_fit(list(sums), inverse, valid, np.asarray(intrinsics), radius, top, np)
    return normal.astype(np.float32), solvable


def _window_sums(inverse: np.ndarray, around: np.ndarray, radius: int) -> np.ndarray:
    """Sums over each pixel's window, of the neighbours on its surface: 1, u, v, uu, uv, vv, q, uq, vq; (9, h, w).

    u and v are relative to the pixel, q is the neighbour's inverse depth relative to the pixel's.

    Args:
        inverse: (h, w) float32, inverse depths, 0 where there are none.
        around: (h + 2 radius, w + 2 radius) float32, the same and about it, far off where there are none.
        radius: of the window.
    """
    h, w = inverse.shape
    limit = SAME_SURFACE * inverse
    sums = np.zeros((9, h, w), np.float32)
    same, difference, scratch = np.empty((h, w), bool), np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    counts = np.empty((3, h, w), np.int8 if radius <= 4 else np.int32)  # of a row: 1, u, uu
    row = np.empty((2, h, w), np.float32)  # q, uq
    small = np.empty((h, w), counts.dtype)
    for dv in range(-radius, radius + 1):
        counts[:], row[:] = 0, 0
        for du in range(-radius, radius + 1):
            np.subtract(around[radius + dv : radius + dv + h, radius + du : radius + du + w], inverse, out=difference)
            np.less(np.abs(difference, out=scratch), limit, out=same)
            difference *= same
            row[0] += difference
            if du:
                row[1] += np.multiply(difference, np.float32(du), out=scratch)
                np.multiply(same, counts.dtype.type(du), out=small)
                counts[1] += small
                small *= counts.dtype.type(du)
                counts[2] += small
            counts[0] += same
        sums[[0, 1, 3]] += counts
        sums[[6, 7]] += row
        sums[[2, 4]] += dv * counts[:2].astype(np.float32)
        sums[8] += dv * row[0]
        sums[5] += dv * dv * counts[0].astype(np.float32)
    return sums
