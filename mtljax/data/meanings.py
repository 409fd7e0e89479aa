"""What labels of data sets mean, so that one name has one meaning."""

from collections.abc import Iterable, Mapping, Sequence

from mtljax.data.dataset import DataSet, Example
from mtljax.errors import UserError

Meaning = str | tuple[str, ...]
_LISTED = 8

# These have a meaning and a unit in `mtljax.data.dataset`, and augmentations know them by name.
SETTLED = (
    *("depth", "normal", "forward_flow", "backward_flow", "moving", "ego_motion", "frame_index", "sequence"),
    *("instances", "future"),
)
BORDERS = "where the class differs from a neighbour's"
DISCONTINUITIES = "where depth or the normal is discontinuous"


def labels_of(example: Example) -> list[str]:
    """The labels of an example: what has a mask."""
    return [key.removesuffix("_valid") for key in example if key.endswith("_valid") and key[:-6] in example]


def meanings(data_set: DataSet) -> Mapping[str, Meaning]:
    """What a data set says that its labels mean: names of classes in their order, or a sentence; see `DataSet`."""
    return getattr(data_set, "meanings", {})


def described(data_set: DataSet, labels: Iterable[str], numbers: Mapping[str, int]) -> str:
    """What is found in a data set, for its user to see: examples of each split, names of classes; and what it counts.

    Args:
        data_set: one that says more of itself, as `from_table` gives it, prints itself.
        labels: those of which classes are told.
        numbers: split -> examples.

    Example:
        >>> from mtljax.data import scenes
        >>> print(described(scenes("tiny"), ["semantic", "depth"], {"train": 64, "validation": 16}))
        scenes/tiny: train 64, validation 16
          semantic: classes 0 background, 1 sphere, 2 box, 3 cylinder, 4 cone
    """
    if type(data_set).__repr__ is not object.__repr__ and str(data_set).startswith(f"{data_set.name}: "):
        return str(data_set)
    lines = [f"{data_set.name}: {', '.join(f'{split} {number}' for split, number in numbers.items())}"]
    said = meanings(data_set)
    for label in labels:
        names = said.get(label)
        if isinstance(names, tuple):
            lines.append(f"{label}: classes {listed(names)}")
    return "\n  ".join(lines)


def listed(names: Sequence[str]) -> str:
    """The first eight names by their numbers, and how many there are.

    Example:
        >>> listed(["owl", "finch"]), listed("abcdefghij")[-18:]
        ('0 owl, 1 finch', '6 g, 7 h, ... (10)')
    """
    shown = ", ".join(f"{i} {name}" for i, name in enumerate(names[:_LISTED]))
    return f"{shown}, ... ({len(names)})" if len(names) > _LISTED else shown


def must_mean_one_thing(name: str, label: str, sets: Mapping[str, DataSet], old: Mapping[str, str]) -> None:
    """Checks that sets that have a label of one name mean the same by it.

    Args:
        name: of the mix, for messages.
        label: the name.
        sets: those that have it.
        old: set -> its own name of the label.

    Raises:
        UserError: where they do not, or where it cannot be told.
    """
    if len(sets) < 2:
        return
    said = {key: meanings(data_set).get(old[key]) for key, data_set in sets.items()}
    if label in SETTLED:
        _must_be_settled(name, label, said)
        return
    if all(meaning is None for meaning in said.values()) and len({type(data_set) for data_set in sets.values()}) == 1:
        return
    first, *others = said
    for other in others:
        if said[first] is None or said[first] != said[other]:
            raise UserError(
                f"{name}: {label!r} of {first!r} is {_told(said[first])}; that of {other!r} is {_told(said[other])}. "
                f"Give one another name, rename={{{other!r}: {{{old[other]!r}: 'another'}}}}; or map classes by name, "
                f"classes={{{label!r}: {{'a': ['other names of a'], ...}}}}; or say that they are one thing, by "
                "renaming both to one name."
            )


def _must_be_settled(name: str, label: str, said: Mapping[str, Meaning | None]) -> None:
    """Raises where one of the sets says that a label is something else than `mtljax.data.dataset` has by its name."""
    others = {key: meaning for key, meaning in said.items() if meaning is not None}
    if not others or (len(others) == len(said) and len(set(others.values())) == 1):
        return
    first = next(iter(others))
    raise UserError(
        f"{name}: {label!r} of {first!r} is {_told(others[first])}, and not that of the other sets. Expected one "
        f"meaning, that of mtljax.data.dataset, of which a set says nothing in its `meanings`: leave out that set, or "
        f"the task that reads {label!r}."
    )


def _told(meaning: Meaning | None) -> str:
    if meaning is None:
        return "not said (its data set has no `meanings` of it)"
    if isinstance(meaning, str):
        return meaning
    shown = ", ".join(f"{i} {name}" for i, name in enumerate(meaning[:4]))
    return f"of {len(meaning)} classes, {shown}{', ...' if len(meaning) > 4 else ''}"
