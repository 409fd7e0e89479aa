"""Masks of objects as COCO stores them: polygons, and run lengths as numbers or as text."""

from collections.abc import Sequence

import numpy as np


def polygon_mask(polygons: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """The pixels whose centres lie within any of some polygons: (H, W) bool.

    Args:
        polygons: each x0, y0, x1, y1, ... in pixels from the image's upper left corner; at least three points.
        height: H.
        width: W.

    Raises:
        ValueError: for a polygon of fewer points, or half a point.

    Example:
        >>> print(polygon_mask([[0, 0, 2, 0, 2, 1, 0, 1]], 2, 3).astype(int))
        [[1 1 0]
         [0 0 0]]
    """
    found = np.zeros((height, width), bool)
    for flat in polygons:
        if len(flat) < 6 or len(flat) % 2:
            raise ValueError(f"a polygon of {len(flat)} numbers; expected pairs of x and y, three at least")
        found |= _within(np.asarray(flat, np.float64).reshape(-1, 2), height, width)
    return found


def _within(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where a ray to the left crosses the outline an odd number of times."""
    y, x = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
    inside = np.zeros((height, width), bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if ay == by:
            continue
        crossed = (y >= min(ay, by)) & (y < max(ay, by))
        inside ^= crossed & (x >= ax + (y - ay) * ((bx - ax) / (by - ay)))
    return inside


def run_mask(counts: Sequence[int] | str, height: int, width: int) -> np.ndarray:
    """The mask of run lengths, column by column, zeros first: (H, W) bool.

    Args:
        counts: numbers, or COCO's text for them.
        height: H.
        width: W.

    Raises:
        ValueError: where they do not add up to H W, or a character is none of the text's.

    Example:
        >>> print(run_mask([1, 2, 3], 2, 3).astype(int))
        [[0 1 0]
         [1 0 0]]
        >>> bool((run_mask("123", 2, 3) == run_mask([1, 2, 3], 2, 3)).all())
        True
    """
    runs = np.asarray(numbers_of(counts) if isinstance(counts, str) else counts, np.int64)
    if runs.size and runs.min() < 0:
        raise ValueError(f"a run length of {runs.min()}")
    if runs.sum() != height * width:
        raise ValueError(f"run lengths add up to {runs.sum()}; expected {height} x {width} = {height * width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def numbers_of(text: str) -> list[int]:
    """The run lengths that COCO's text stands for.

    Each character is 48 + six bits: five of a number, the lowest first, and whether it goes on; the last bit of a
    number is its sign. From the fourth on a number is told by what it is more than the last but one before it.

    Raises:
        ValueError: for a character beyond these, or a number that does not end.

    Example:
        >>> numbers_of("52o0"), numbers_of("0TP1")
        ([5, 2, 31], [0, 1028])
    """
    found: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {character!r} in run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths that end within a number")
    return found
