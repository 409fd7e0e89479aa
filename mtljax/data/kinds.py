"""Of what kind each label of an example is: what augmentations go by. The kinds stand in `mtljax.data.dataset`."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mtljax.data.dataset import KINDS, Example
from mtljax.errors import UserError, unknown

MAPS = ("map", "depth", "normals", "flow", "edges", "ids")
_FRAMED = (*MAPS, "masks", "points", "boxes", "motion", "positions", "quaternions", "frames")
_ALL = (*_FRAMED, "ground", "lengths", "intrinsics", "whole")
_INPUTS = ("image", "inputs")


class Field(NamedTuple):
    """A label, a mask, or an entry of a dict such as `instances`.

    Attributes:
        path: its key; with a slash within a dict.
        kind: see `mtljax.data.dataset`.
        value: itself.
        valid: the mask of a label, or None where it has none.
    """

    path: str
    kind: str
    value: np.ndarray
    valid: np.ndarray | None

    @property
    def frame_axis(self) -> int | None:
        """The axis along which frames follow each other, or None."""
        if self.kind not in _FRAMED:
            return None
        return 1 if self.path.startswith("instances/") else 0


def kinds_of(data_set: Any) -> Mapping[str, str]:
    """The kinds of a data set's labels: those that all share, and those that it says, see `DataSet`.

    Raises:
        UserError: for an unknown kind, and for another kind of a label that all share.

    Example:
        >>> class Faces:
        ...     name, kinds = "faces", {"face": "boxes"}
        >>> kinds_of(Faces())["face"], kinds_of(Faces())["depth"]
        ('boxes', 'depth')
    """
    name, own = getattr(data_set, "name", "the data set"), getattr(data_set, "kinds", {})
    for key, kind in own.items():
        if kind not in _ALL:
            raise unknown(f"kind of {key!r} of {name}:", str(kind), _ALL)
        if KINDS.get(key, kind) != kind:
            raise UserError(f"{name} has {key!r} of the kind {kind!r}; it is {KINDS[key]!r} in all data sets.")
    return {**KINDS, **own}


def fields(example: Example, kinds: Mapping[str, str] = KINDS) -> Iterator[Field]:
    """All that an example has but its image, each with its kind.

    A mask is a `map` where it has the image's pixels, else one of `frames` where its label has frames, else `whole`. A
    map of other pixels than the image's, as beside features in the image's place, is of `frames`.

    Args:
        example: of images (s, H, W, C), or of `inputs`, which are left out.
        kinds: as `kinds_of` gives them.

    Example:
        >>> example = {"image": np.zeros((1, 2, 2, 3)), "heat": np.zeros((1, 2, 2, 5)), "age": np.float32(3)}
        >>> [(field.path, field.kind) for field in fields(example)]
        [('heat', 'map'), ('age', 'whole')]
    """
    frames = np.shape(example["image"])[:3] if "image" in example else ()
    for key, value in example.items():
        if key in _INPUTS:
            continue
        if isinstance(value, Mapping):
            for name, part in value.items():
                path = f"{key}/{name}"
                yield Field(path, _kind(path, part, frames, kinds), part, None)
        else:
            yield Field(key, _kind(key, value, frames, kinds), value, example.get(f"{key}_valid"))


def replaced(example: Example, values: Mapping[str, np.ndarray]) -> Example:
    """The example with other values, by path.

    Example:
        >>> replaced({"age": 3, "camera": {"positions": 1}}, {"camera/positions": 2})
        {'age': 3, 'camera': {'positions': 2}}
    """
    result = dict(example)
    for path, value in values.items():
        key, _, name = path.partition("/")
        result[key] = {**result[key], name: value} if name else value
    return result


def _kind(path: str, value: Any, frames: tuple[int, ...], kinds: Mapping[str, str]) -> str:
    dense = np.ndim(value) == 4 and np.shape(value)[:3] == frames
    label = path.removesuffix("_valid")
    if path in kinds or label == path:
        kind = kinds.get(path, "map" if dense and "/" not in path else "whole")
    elif dense:
        return "map"
    else:
        framed = label != "instances" and kinds.get(label) in _FRAMED and np.ndim(value) > 0
        return "frames" if framed else "whole"
    if kind in MAPS and not dense:
        framed = "/" not in path and np.ndim(value) == 4 and np.shape(value)[:1] == frames[:1]
        return "frames" if framed else "whole"
    return kind
