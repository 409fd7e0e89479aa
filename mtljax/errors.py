"""Messages for mistakes in what a user gave: what, where, what was expected, the nearest valid name."""

import difflib
import pathlib
import sys
import sysconfig
import traceback
from collections.abc import Iterable

_LISTED = 60
_NEAR = 8
_TRACEBACK = "Traceback (most recent call last):"
_OF_OTHERS = (pathlib.Path(__file__).parent, *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")))


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
    wrong = plain(name)
    close = difflib.get_close_matches(wrong, list(by_letters), n=_NEAR, cutoff=0.5)
    # One that goes on where the other ends is nearer than its letters say: `evaluate` means `eval`, not `relate`.
    close.sort(key=lambda letters: not (letters.startswith(wrong) or (len(letters) > 2 and wrong.startswith(letters))))
    # Names that differ in capitals alone: the one that is written as the wrong one is, first.
    return [one for letters in close for one in sorted(by_letters[letters], key=lambda n: _distance(str(name), n))][
        :_NEAR
    ]


def _distance(a: str, b: str) -> float:
    return -difflib.SequenceMatcher(None, a, b).ratio()


def told(error: BaseException, *, where: bool = True) -> str:
    """What an error of whatever kind says, with its kind where that says more, and `where` in a user's code it arose.

    Example:
        >>> told(ValueError("no such colour")), told(KeyError("red"))
        ('no such colour', "KeyError: 'red'")
    """
    text = untraced(str(error).strip()) or "no message"
    if type(error).__module__.split(".")[0] in ("jax", "jaxlib"):  # which explain at length what their first line says
        text = text.splitlines()[0]
    if type(error) not in (TypeError, ValueError, AttributeError, UserError):
        text = f"{type(error).__name__}: {text}"
    place = place_of(error) if where and not isinstance(error, UserError) else None
    return f"{text.removesuffix('.')} ({place})" if place else text


def untraced(text: str) -> str:
    """A text without the tracebacks in it, which JAX puts before what an error of a callback says.

    Example:
        >>> untraced("callback failed: Traceback (most recent call last):\\n  File 'a.py', line 3\\nKeyError: 'red'")
        "callback failed: KeyError: 'red'"
    """
    before, found, after = text.partition(_TRACEBACK)
    if not found:
        return text
    said = [line for line in after.splitlines() if line.strip() and not line[0].isspace() and _TRACEBACK not in line]
    return " ".join([before.strip(), *said]).strip()


def place_of(error: BaseException) -> str | None:
    """The file and the line of a user's own code at which an error arose; None where none of it ran.

    That is the innermost frame that is neither of this package nor of an installed one or of Python, nor of the script
    that was started.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    for one in causes(error):
        frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(one.__traceback__)]
        for code, line in reversed(frames):
            if is_users(code.co_filename) and code.co_filename != script:
                return f"{code.co_filename}, line {line}, in {code.co_name}"
    return None


def causes(error: BaseException) -> list[BaseException]:
    """What stands behind an error, the first of all first, and itself."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    return chain[::-1]


def is_users(file: str) -> bool:
    """Whether a file, or a folder, is neither this package's nor of an installed one or of Python."""
    path = pathlib.Path(file)
    inside = any(path.is_relative_to(folder) for folder in _OF_OTHERS)
    return not (file.startswith("<") or inside or {"site-packages", "dist-packages"} & {*path.parts})
