"""Messages for mistakes in what a user gave: what, where, what was expected, the nearest valid name."""

import difflib
from collections.abc import Iterable

_LISTED = 60
_NEAR = 8


class UserError(ValueError):
    """A mistake in the input. `launch.py` prints its message alone and exits with status 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest one that does, in capitals or not.

    Example:
        >>> print(unknown("balancer", "PCGrad", ["equal", "pcgrad"]))
        unknown balancer 'PCGrad'; did you mean 'pcgrad'? Known: equal, pcgrad.
    """
    known = sorted(known)
    close = _near(name, known)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    if len(known) <= _LISTED:
        return UserError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}.")
    also = f" Near it: {', '.join(close)}." if close else ""
    return UserError(f"unknown {kind} {name!r}{hint}{also} ({len(known)} names are known.)")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest to a wrong one, if any is near."""
    return next(iter(_near(name, sorted(known))), None)


def _near(name: str, known: list[str]) -> list[str]:
    """Up to eight of the known names, the nearest first: by their letters, whatever dashes and capitals they have."""

    def plain(text: object) -> str:
        return str(text).lower().replace("-", "").replace("_", "")

    by_letters: dict[str, list[str]] = {}
    for one in known:
        by_letters.setdefault(plain(one), []).append(one)
    close = difflib.get_close_matches(plain(name), list(by_letters), n=_NEAR, cutoff=0.5)
    # Names that differ in capitals alone: the one that is written as the wrong one is, first.
    return [one for letters in close for one in sorted(by_letters[letters], key=lambda n: _distance(str(name), n))][
        :_NEAR
    ]


def _distance(a: str, b: str) -> float:
    return -difflib.SequenceMatcher(None, a, b).ratio()
