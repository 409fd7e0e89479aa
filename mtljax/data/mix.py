"""Several data sets in one run, each with its share."""

import bisect
import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from mtljax.data.dataset import DataSet, Example, Source
from mtljax.data.resize import checked_size, resized
from mtljax.errors import UserError, unknown

_SPLITS = ("train", "validation")
_TRIED = 8  # examples of a set that may be unreadable before its form is known
_GAP = 2  # between the `frame_index` of two sets
_LONGEST, _TINY = 1e9, 1e-300  # examples of an epoch; in place of a weight that is 0 in float64


@dataclasses.dataclass(frozen=True)
class Mix:
    """See `mix`."""

    sets: Mapping[str, DataSet]
    ratio: Mapping[str, float] | None
    temperature: float
    size: tuple[int, int] | None

    @property
    def name(self) -> str:
        """The names of its sets."""
        return f"mix({', '.join(self.sets)})"

    def split(self, name: str) -> Source:
        """`train`, in which each set has its share, or `validation`, all of each set, one after the other.

        Raises:
            UserError: for an unknown split, sets whose examples do not fit together, or what the sets refuse.
        """
        if name not in _SPLITS:
            raise unknown(f"split of {self.name}:", name, _SPLITS)
        sources = {key: data_set.split(name) for key, data_set in self.sets.items()}
        for key, source in sources.items():
            if len(source) == 0:
                raise UserError(f"{self.name}: {key!r} has no examples in its split {name!r}.")
        lengths = {key: len(source) for key, source in sources.items()}
        counts = self._shares(lengths) if name == "train" else lengths
        firsts = {key: self._fitted(_first_readable(source, range(len(source)))) for key, source in sources.items()}
        form = _common_form(self.name, firsts, self.size)
        lengths_in_frames = [_last_index(source) + _GAP if "frame_index" in form else 0 for source in sources.values()]
        starts = tuple(itertools.accumulate(lengths_in_frames[:-1], initial=0))
        return MixSource(tuple(sources.values()), tuple(counts.values()), form, self.size, starts)

    def _shares(self, lengths: Mapping[str, int]) -> dict[str, int]:
        """Examples of each set in an epoch: as the weights say, and of none fewer than it has."""
        most = max(lengths.values())
        weights = self.ratio or {key: (length / most) ** (1 / self.temperature) for key, length in lengths.items()}
        scale = max(length / max(weights[key], _TINY) for key, length in lengths.items())
        if scale * sum(weights.values()) > _LONGEST:
            raise UserError(
                f"{self.name}: an epoch with every example would have over {_LONGEST:.0e}; expected shares that are "
                f"closer to the sizes, {dict(lengths)}."
            )
        return {key: max(length, round(scale * weights[key])) for key, length in lengths.items()}

    def _fitted(self, example: Example) -> Example:
        return resized(example, self.size) if self.size else example


def mix(
    sets: Mapping[str, DataSet],
    ratio: Mapping[str, float] | None = None,
    temperature: float | None = None,
    size: tuple[int, int] | None = None,
) -> Mix:
    """Several data sets as one, each with labels of its own: what one lacks is not valid in its examples.

    An epoch of `train` has every example of every set at least once; those of sets that are small for their share come
    again, spread evenly. Batches are drawn from all of it, so that the shares hold on average in a batch, and exactly
    in an epoch. `validation` has each example once, set after set.

    All examples have all labels of all sets, zeros with masks all False where their set has none. An example without
    `camera`, beside sets that have one, gets poses of identity and intrinsics of a field of view of 53 degrees; no mask
    tells. `instances` is left out. The `frame_index` of a set goes on where that of the set before ends, with a gap.

    Args:
        sets: name -> data set.
        ratio: name -> number above 0; the shares are in proportion to it.
        temperature: instead of a ratio, shares in proportion to n^(1/temperature), for sets of n examples: 1, the
            default, keeps their sizes, and the higher it is, the more equal are the shares.
        size: (height, width) that all examples get, see `mtljax.data.resize.resized`; by default they must have one.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for arguments that cannot be.

    References:
        The temperature is that of multilingual models: Arivazhagan et al., Massively Multilingual Neural Machine
        Translation in the Wild, 2019, section 4.2.

    Example:
        >>> from mtljax.data import camvid, rgbd
        >>> mix({"street": camvid("data/camvid"), "kitchen": rgbd("data/kitchen")}, temperature=2, size=(96, 128)).name
        'mix(street, kitchen)'
        >>> mix({"street": camvid("data/camvid")}, ratio={"stret": 1})
        Traceback (most recent call last):
        mtljax.errors.UserError: unknown set in the ratio of mix: 'stret'; did you mean 'street'? Known: street.
    """
    if not isinstance(sets, Mapping) or not sets:
        raise UserError("mix(...): expected data sets by name, as in {'street': camvid('path'), ...}.")
    for key, data_set in sets.items():
        if not isinstance(key, str) or not isinstance(data_set, DataSet):
            raise UserError(f"mix({{{key!r}: {data_set!r}}}): expected a name and a data set, such as camvid('path').")
        if isinstance(data_set, Mix):
            raise UserError(f"mix({{{key!r}: ...}}): a mix in a mix; expected all of its sets in the outer one.")
    if ratio is not None and temperature is not None:
        raise UserError("mix(...): give a ratio or a temperature, not both.")
    if ratio is not None:
        _check_ratio(ratio, sets)
    if temperature is not None and not _positive(temperature):
        raise UserError(f"mix(temperature={temperature!r}): expected a number above 0.")
    return Mix(sets, ratio, temperature or 1.0, None if size is None else checked_size(size))


@dataclasses.dataclass(frozen=True)
class MixSource:
    """Examples of several sources, one source after the other, in one form.

    Attributes:
        sources: the sources.
        counts: places of each, no fewer than it has examples.
        form: key -> array of zeros, the shape and dtype of every label, and the `camera` of examples without one.
        size: (height, width) that all get, or None.
        starts: of each, the number that its `frame_index` 0 gets.
    """

    sources: Sequence[Source]
    counts: Sequence[int]
    form: Example
    size: tuple[int, int] | None
    starts: Sequence[int]

    def __len__(self) -> int:
        return sum(self.counts)

    def __getitem__(self, index: SupportsIndex) -> Example:
        number, place = self._place(int(index))
        source, count = self.sources[number], self.counts[number]
        found = source[place * len(source) // count]
        if self.size:
            found = resized(found, self.size)
        example = {"image": found["image"]}
        for key, absent in self.form.items():
            given = found.get(key, absent)
            example[key] = given if key == "camera" else np.asarray(given, absent.dtype)
        if "frame_index" in found:
            moved = np.where(found["frame_index_valid"], found["frame_index"] + self.starts[number], 0)
            example["frame_index"] = moved.astype(np.int32)
        return example

    def original(self, index: int) -> int:
        """The first index that shows the same example."""
        number, place = self._place(index)
        length, count = len(self.sources[number]), self.counts[number]
        return index - place + -(-(place * length // count) * count // length)

    def _place(self, index: int) -> tuple[int, int]:
        """The number of the source, and the place among its own."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        ends = list(itertools.accumulate(self.counts))
        number = bisect.bisect_right(ends, index)
        return number, index - (ends[number] - self.counts[number])


def _common_form(name: str, firsts: Mapping[str, Example], size: tuple[int, int] | None) -> Example:
    """Zeros of every label and mask of any set, and a camera where any has one."""
    [(first_name, first), *others] = firsts.items()
    for other_name, other in others:
        a, b = first["image"].shape, other["image"].shape
        pair = f"{name}: {first_name!r} and {other_name!r}"
        if a[0] != b[0]:
            raise UserError(f"{pair} differ in the length of clips: {a[0]} and {b[0]} frames.")
        if a[1:3] != b[1:3]:
            raise UserError(
                f"{pair} differ in size: {a[1]} x {a[2]} and {b[1]} x {b[2]} (height x width); give size=(height, "
                "width), which all examples get."
            )
        if a[3] != b[3]:
            raise UserError(f"{pair} differ in channels of their images: {a[3]} and {b[3]}.")
    form: Example = {}
    for key, example in firsts.items():
        for mask in [k for k in example if k.endswith("_valid")]:
            label = mask.removesuffix("_valid")
            if label in example and not isinstance(example[label], Mapping):
                for part in (label, mask):
                    form[part] = _joined(f"{name}: {key!r}", part, form.get(part), np.asarray(example[part]))
    if any("camera" in example for example in firsts.values()):
        form["camera"] = _plausible_camera(first["image"].shape)
    return form


def _joined(where: str, label: str, known: np.ndarray | None, value: np.ndarray) -> np.ndarray:
    """Zeros of a label's shape, in a dtype that holds both what is known of it and a value."""
    if known is None:
        return np.zeros_like(value)
    if known.shape != value.shape:
        raise UserError(
            f"{where} has {label!r} of shape {value.shape}; in the sets before it is of shape {known.shape}."
        )
    return known.astype(np.result_type(known, value))


def _plausible_camera(shape: Sequence[int]) -> dict[str, np.ndarray]:
    """The camera of images of unknown cameras: (s, H, W, C)."""
    s, height, width = shape[:3]
    return {
        "positions": np.zeros((s, 3), np.float32),
        "quaternions": np.tile(np.array([1, 0, 0, 0], np.float32), (s, 1)),
        "intrinsics": np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float32),
    }


def _last_index(source: Source) -> int:
    """The largest `frame_index` of a source in whose examples it rises; -1 where there is none."""
    last = _first_readable(source, range(len(source) - 1, -1, -1))
    return int(np.max(last["frame_index"])) if "frame_index" in last else -1


def _first_readable(source: Source, order: Sequence[int]) -> Example:
    """The first example in an order that can be read."""
    *tried, last = order[:_TRIED]
    for index in tried:
        try:
            return source[index]
        except UserError:
            continue
    return source[last]


def _check_ratio(ratio: Any, sets: Mapping[str, DataSet]) -> None:
    if not isinstance(ratio, Mapping):
        raise UserError(f"mix(ratio={ratio!r}): expected a number for each of {', '.join(sets)}.")
    for key, value in ratio.items():
        if key not in sets:
            raise unknown("set in the ratio of mix:", str(key), sets)
        if not _positive(value):
            raise UserError(f"mix(ratio={{{key!r}: {value!r}}}): expected a number above 0.")
    lacking = [key for key in sets if key not in ratio]
    if lacking:
        raise UserError(f"mix(ratio={dict(ratio)!r}): expected a number for {', '.join(lacking)} too.")


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
