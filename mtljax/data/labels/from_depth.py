"""Normals from depth, edges from depth or from known surfaces: pure NumPy."""

import numpy as np

_EDGE_DEPTH = 0.04  # of the depth, off the tangent planes of both sides
_EDGE_ANGLE = np.cos(np.radians(40))
_SURFACE_DEPTH = 0.05  # of the depth, off the tangent plane of a known surface
_SURFACE_ANGLE = np.cos(np.radians(30))
_FAR_OFF = np.float32(1e30)  # inverse depth of what is no neighbour
_ROWS = 64  # fitted at once: what they want stays in the processor's cache
_SAME_SURFACE = 0.04  # of the depth: neighbours that differ more do not share a plane


def points_from_depth(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Back-projects (h, w) z-depths: (h, w, 3) metres in the camera frame, pixel centres at integers + 0.5.

    Example:
        >>> print(points_from_depth(np.full((1, 2), 2.0), np.array([[1.0, 0, 1], [0, 1, 0.5], [0, 0, 1]]))[0])
        [[-1.  0.  2.]
         [ 1.  0.  2.]]
    """
    v, u = np.indices(depth.shape) + 0.5
    x = (u - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) / intrinsics[1, 1]
    return depth[..., None] * np.stack([x, y, np.ones_like(x)], axis=-1)


def normals_from_depth(
    depth: np.ndarray, valid: np.ndarray, intrinsics: np.ndarray, radius: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a plane to the neighbours of every pixel that lie on its surface.

    On a plane inverse depth is linear in the pixel's coordinates: 1/z = a u + b v + c, fitted by least squares over a
    window; the plane's normal is (a fx, b fy, a cx + b cy + c), turned to face the camera.

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
    n, u, v, uu, uv, vv, q, uq, vq = _window_sums(inverse, around, radius)
    solvable = valid & (n >= (2 * radius + 1) ** 2 / 2)
    # Centred moments, then a 2 x 2 system by Cramer's rule.
    count = np.maximum(n, 1)
    uu, uv, vv = uu - u * u / count, uv - u * v / count, vv - v * v / count
    uq, vq = uq - u * q / count, vq - v * q / count
    determinant = uu * vv - uv * uv
    solvable &= determinant > 1e-6
    determinant = np.where(solvable, determinant, 1.0)
    a, b = (uq * vv - vq * uv) / determinant, (vq * uu - uq * uv) / determinant
    c = inverse + (q - a * u - b * v) / count
    rows, columns = np.indices(inverse.shape) + 0.5
    rows += top
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    # The fit's origin is each pixel's own centre.
    normal = np.stack([a * fx, b * fy, c + a * (cx - columns) + b * (cy - rows)], axis=-1)
    length = np.linalg.norm(normal, axis=-1)
    solvable &= length > 1e-9
    # n . P = d > 0 here, so that the normal points away from the camera.
    normal = np.where(solvable[..., None], -normal / np.maximum(length, 1e-9)[..., None], 0.0)
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
    limit = _SAME_SURFACE * inverse
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
    points = points_from_depth(np.where(valid, depth, 0.0), intrinsics)
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
        step = points[there] - points[here]
        off_plane = [np.abs(np.sum(normal[side] * step, axis=-1)) for side in (here, there)]
        change = (
            (ids[here] != ids[there])
            | (np.sum(normal[here] * normal[there], axis=-1) < _SURFACE_ANGLE)
            | (np.minimum(*off_plane) > _SURFACE_DEPTH * np.minimum(depth[here], depth[there]))
        )
        found[here] |= change
        found[there] |= change
    return found.astype(np.uint8)


def _halves(axis: int, distance: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    here = tuple(slice(None, -distance) if a == axis else slice(None) for a in (0, 1))
    there = tuple(slice(distance, None) if a == axis else slice(None) for a in (0, 1))
    return here, there
