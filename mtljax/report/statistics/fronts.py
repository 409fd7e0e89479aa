"""Which methods trade one task for another, and which are simply worse: Pareto fronts."""

from collections.abc import Mapping, Sequence


def front(points: Mapping[str, Sequence[float]], higher_is_better: Sequence[bool]) -> list[str]:
    """The names of the points that no other is as good as in everything and better than in something.

    Args:
        points: name -> a figure of each objective, finite.
        higher_is_better: of each objective.

    Returns:
        In the order of their first figure, from worse to better. Of equal points all are there.

    Example:
        >>> front({"a": (0.9, 0.2), "b": (0.7, 0.1), "c": (0.6, 0.3)}, (True, False))  # accuracy, error
        ['b', 'a']
    """
    signed = {
        name: tuple(x if up else -x for x, up in zip(point, higher_is_better, strict=True))
        for name, point in points.items()
    }
    best = [name for name, own in signed.items() if not any(_dominates(other, own) for other in signed.values())]
    return sorted(best, key=lambda name: signed[name])


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
