"""Sweeps of preferences: one method written with `sweep(n)` stands for one with each preference of a grid."""

import itertools
import re
from collections.abc import Callable, Sequence

from mtljax.errors import UserError

_SWEEP = re.compile(r"(?<![\w.:])sweep\(([^()]*)\)")
_MOST = 200  # preferences


def expanded(method: str, tasks: Callable[[], Sequence[str]]) -> list[str]:
    """A method with each of the preferences that `sweep(n)` in it stands for; itself where there is none.

    They are the points of a grid in which each task has some weight, n from one task to the next: of two tasks n
    points, of three n (n + 1) / 2.

    Args:
        method: a call-string, such as `"pbi(preference=sweep(5))"`.
        tasks: gives their names, in the order of the losses.

    Raises:
        UserError: for a sweep over fewer than two tasks, of fewer than two points, or of more than 200.

    Example:
        >>> for one in expanded("pbi(preference=sweep(3))", lambda: ["a", "b"]):
        ...     print(one)
        pbi(preference={'a': 0.25, 'b': 0.75})
        pbi(preference={'a': 0.5, 'b': 0.5})
        pbi(preference={'a': 0.75, 'b': 0.25})
    """
    found = _SWEEP.search(method)
    if found is None:
        return [method]
    number = int(found[1]) if re.fullmatch(r"\s*\d+\s*", found[1]) else 0
    if number < 2 or len(_SWEEP.findall(method)) > 1:
        raise UserError(f"--methods: {method!r}: expected one sweep(n) of a whole number of points, at least 2.")
    names = tasks()
    if len(names) < 2:
        raise UserError(f"--methods: {method!r} sweeps over preferences among tasks; there is but {', '.join(names)}.")
    points = grid(number, len(names))
    if len(points) > _MOST:
        raise UserError(f"--methods: {method!r} stands for {len(points)} methods; expected {_MOST} at most.")
    texts = [f"{{{', '.join(f'{n!r}: {x:.4g}' for n, x in zip(names, point, strict=True))}}}" for point in points]
    return [method[: found.start()] + text + method[found.end() :] for text in texts]


def grid(number: int, tasks: int) -> list[tuple[float, ...]]:
    """Weights of sum 1, none of them 0: all sums of `tasks` whole numbers from 1 on to `number + tasks - 1`.

    Example:
        >>> grid(2, 3)
        [(0.25, 0.25, 0.5), (0.25, 0.5, 0.25), (0.5, 0.25, 0.25)]
    """
    whole = number + tasks - 1
    cuts = itertools.combinations(range(1, whole), tasks - 1)
    edges = ((0, *cut, whole) for cut in cuts)
    return [tuple((b - a) / whole for a, b in itertools.pairwise(edge)) for edge in edges]
