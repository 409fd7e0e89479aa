"""Messages for mistakes in what a user gave: what, where, what was expected, the nearest valid name."""

import difflib
from collections.abc import Iterable

_LISTED = 40


class UserError(ValueError):
    """A mistake in the input. `launch.py` prints its message alone and exits with status 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest one that does.

    Example:
        >>> print(unknown("balancer", "pcgard", ["equal", "pcgrad"]))
        unknown balancer 'pcgard'; did you mean 'pcgrad'? Known: equal, pcgrad.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=8, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    if len(known) <= _LISTED:
        return UserError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}.")
    also = f" Near it: {', '.join(close)}." if close else ""
    return UserError(f"unknown {kind} {name!r}{hint}{also} ({len(known)} names are known.)")
