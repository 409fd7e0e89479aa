"""Boundary matching on the host: one-to-one matches within a distance, at every threshold (Martin et al. 2004)."""

import numpy as np

from mtljax.tasks.metrics.thinning import THRESHOLDS


def count_matches(probability: np.ndarray, truth: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Matches of one image at every threshold.

    Each predicted pixel may be matched with one true pixel within `radius` and each true pixel with one predicted; as
    many as possible are. Pixels come by falling strength, and each makes the matching of those before it larger by one
    or, where no augmenting path begins at it, never: so one pass gives the largest matching at every threshold.

    Args:
        probability: (H, W), thinned.
        truth: (H, W) bool, thinned alike.
        radius: in pixels.

    Returns:
        Matched and predicted pixels at each of `THRESHOLDS`, both (99,).
    """
    predicted = np.nonzero(probability >= THRESHOLDS[0])
    strength = probability[predicted]
    order = np.argsort(-strength, kind="stable")
    rows = np.stack(predicted, axis=1)[order]
    number = np.searchsorted(-strength[order], -THRESHOLDS, side="right")
    gained = _gained(_near(rows, truth, radius), int(np.count_nonzero(truth)))
    return np.concatenate([[0], np.cumsum(gained, dtype=int)])[number], number


def _gained(near: list[list[int]], size: int) -> list[bool]:
    """Whether the largest matching of each pixel and those before it is larger than without it.

    Args:
        near: of each predicted pixel, the true pixels that it may be matched with.
        size: number of true pixels.
    """
    owner, held, dead = [-1] * size, [-1] * len(near), [False] * size
    return [_augmented(pixel, near, owner, held, dead) for pixel in range(len(near))]


def _augmented(first: int, near: list[list[int]], owner: list[int], held: list[int], dead: list[bool]) -> bool:
    """Whether a path leads from a pixel to a true one that is free, and then exchanges the matches along it.

    Args:
        first: the pixel.
        near: see `_gained`.
        owner: of each true pixel, the predicted one that it is matched with, or -1.
        held: of each predicted pixel, the true one, or -1.
        dead: true pixels from which no path leads on. What a search in vain has seen stays so for good: all of it is
            matched, and what it is matched with is near to nothing else.
    """
    came: dict[int, int] = {}
    queue = [first]
    for pixel in queue:  # grows meanwhile
        for true in near[pixel]:
            if dead[true] or true in came:
                continue
            came[true] = pixel
            if owner[true] >= 0:
                queue.append(owner[true])
                continue
            while true >= 0:
                pixel = came[true]
                owner[true], held[pixel], true = pixel, true, held[pixel]
            return True
    for true in came:
        dead[true] = True
    return False


def _near(rows: np.ndarray, truth: np.ndarray, radius: float) -> list[list[int]]:
    """Of each predicted pixel, (n, 2) rows of y and x, the true pixels within a radius, the nearest first."""
    height, width = truth.shape
    index = np.full(truth.shape, -1)
    index[truth] = np.arange(np.count_nonzero(truth))
    reach = range(-int(radius), int(radius) + 1)
    steps = [(a, b) for a in reach for b in reach if a * a + b * b <= radius**2]
    found = []
    for a, b in sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2):
        y, x = rows[:, 0] + a, rows[:, 1] + b
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        true = np.where(inside, index[y.clip(0, height - 1), x.clip(0, width - 1)], -1)
        row = np.nonzero(true >= 0)[0]
        found.append((row, true[row]))
    row, true = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(row, kind="stable")
    ends = np.searchsorted(row[order], np.arange(len(rows)), side="right")
    true, begins = true[order].tolist(), np.concatenate([[0], ends])
    return [true[a:b] for a, b in zip(begins, ends, strict=False)]
