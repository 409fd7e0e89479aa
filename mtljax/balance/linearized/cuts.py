"""Where to stop several programs that run one after the other, so that little is held."""

import math
from collections.abc import Sequence


def cuts(given: Sequence[int], kept: Sequence[int], needed: Sequence[int]) -> list[range]:
    """Cuts a sequence of places into parts, as few as there may be where the largest part holds as little as it may.

    Args:
        given: what is given in each place, and held to the end of its part.
        kept: what is held besides from one part to the next, if a part ends with this place.
        needed: what is held besides on the way to each place.

    Example:
        >>> cuts(given=[3, 1, 4, 1], kept=[9, 2, 9, 0], needed=[0, 0, 0, 0])
        [range(0, 2), range(2, 4)]
        >>> cuts(given=[3, 1, 4, 1], kept=[1, 1, 1, 0], needed=[0, 0, 0, 8])
        [range(0, 3), range(3, 4)]
    """
    held = [_held(given, kept, needed, end) for end in range(1, len(given) + 1)]
    least = [0]  # that is held up to each place
    for parts in held:
        least.append(min(map(max, least, parts)))
    fewest: list[tuple[float, int]] = [(0, 0)]  # parts up to each place, and where the last of them begins
    for parts in held:
        fewest.append(
            min((fewest[begin][0] + (1 if size <= least[-1] else math.inf), begin) for begin, size in enumerate(parts))
        )
    found, end = [], len(given)
    while end:
        begin = fewest[end][1]
        found.append(range(begin, end))
        end = begin
    return found[::-1]


def _held(given: Sequence[int], kept: Sequence[int], needed: Sequence[int], end: int) -> list[int]:
    """What a part that ends here holds, by where it begins."""
    found, rows, besides = [], 0, 0
    for begin in reversed(range(end)):
        rows, besides = rows + given[begin], max(besides, needed[begin])
        found.append(rows + besides + max(kept[begin - 1] if begin else 0, kept[end - 1]))
    return found[::-1]
