"""The paths that everyone can predict: on at the last speed, standing still, along a line (Schoeller 2020)."""

import numpy as np


def constant_velocity(history: np.ndarray, steps: int, seen: np.ndarray | None = None) -> np.ndarray:
    """On from the last place, each step as the last one was.

    Args:
        history: (..., H, D), places at equal times.
        steps: T.
        seen: (..., H) bool, the places that are known; all, if None. The speed is that between the last two of them.

    Returns:
        (..., T, D); standing where a single place is known, NaN where none is.

    Example:
        >>> print(constant_velocity(np.array([[0.0, 0.0], [1.0, 2.0]]), steps=2))
        [[2. 4.]
         [3. 6.]]
    """
    seen = np.ones(history.shape[:-1], bool) if seen is None else seen
    last, before = (_place(history, seen, number) for number in (1, 2))
    gap = np.where(before[1], last[2] - before[2], 1)
    speed = np.where(before[1], (last[0] - before[0]) / gap, 0.0)
    # Steps count from the end of the history, which the last known place may come before.
    late = history.shape[-2] - 1 - last[2]
    found = last[0][..., None, :] + (late[..., None, :] + np.arange(1, steps + 1)[:, None]) * speed[..., None, :]
    return np.where(last[1][..., None, :], found, np.nan)


def standing(history: np.ndarray, steps: int, seen: np.ndarray | None = None) -> np.ndarray:
    """The last known place, T times: as `constant_velocity`, without speed.

    Example:
        >>> print(standing(np.array([[0.0, 0.0], [1.0, 2.0]]), steps=2))
        [[1. 2.]
         [1. 2.]]
    """
    seen = np.ones(history.shape[:-1], bool) if seen is None else seen
    place, there, _ = _place(history, seen, 1)
    return np.repeat(np.where(there, place, np.nan)[..., None, :], steps, axis=-2)


def line(history: np.ndarray, steps: int) -> np.ndarray:
    """On from the last place, along the line of least squares through the history: (..., H, D) -> (..., T, D).

    Example:
        >>> print(line(np.array([[0.0], [1.0], [2.0]]), steps=1).round(6))
        [[3.]]
    """
    number = history.shape[-2]
    time = np.arange(number) - (number - 1) / 2
    slope = np.einsum("t,...td->...d", time, history) / np.sum(time**2)
    return history[..., -1:, :] + np.arange(1, steps + 1)[:, None] * slope[..., None, :]


def _place(history: np.ndarray, seen: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The last known place, or the last but one: the place (..., D), whether there is one and when (..., 1)."""
    from_end = np.cumsum(seen[..., ::-1], axis=-1)
    index = history.shape[-2] - 1 - np.argmax(from_end >= number, axis=-1)[..., None]
    place = np.take_along_axis(history, index[..., None], axis=-2)[..., 0, :]
    return place, from_end[..., -1:] >= number, index
