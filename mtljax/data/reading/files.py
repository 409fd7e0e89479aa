"""Files that belong together, with those that lack told."""

import pathlib
from collections.abc import Iterable, Sequence

from mtljax.errors import UserError, unknown

SHORT = {"train": "train", "validation": "val"}  # what many data sets call the splits


def must_exist(kind: str, path: pathlib.Path, wanted: Iterable[pathlib.Path]) -> None:
    """Checks that a folder has all the files that belong together; each of their folders is listed once.

    Raises:
        UserError: where some are not there.
    """
    there: dict[pathlib.Path, set[str]] = {}
    lacking = []
    for file in wanted:
        if file.parent not in there:
            there[file.parent] = {f.name for f in file.parent.iterdir()} if file.parent.is_dir() else set()
        if file.name not in there[file.parent]:
            lacking.append(str(file.relative_to(path)))
    if lacking:
        raise half_copied(kind, path, lacking)


def half_copied(kind: str, path: pathlib.Path, lacking: Sequence[str]) -> UserError:
    """The error for a folder that lacks files.

    Example:
        >>> print(half_copied("rgbd", pathlib.Path("a"), ["1.png", "2.png", "3.png", "4.png", "5.png"]))
        rgbd folder 'a' is half copied: it lacks 1.png, 2.png, 3.png and 2 more.
    """
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    return UserError(f"{kind} folder {str(path)!r} is half copied: it lacks {', '.join(lacking[:3])}{more}.")


def missing_folder(kind: str, path: pathlib.Path) -> UserError:
    """The error for a folder that does not exist, with the nearest one beside it."""
    if path.parent.is_dir():
        siblings = [child.name for child in path.parent.iterdir() if child.is_dir()]
        if siblings:
            return unknown(f"{kind} folder in {str(path.parent)!r}:", path.name, siblings)
    return UserError(f"{kind} folder {str(path)!r} does not exist.")
