"""Several data sets in one run, each with its share."""

import bisect
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import SupportsIndex

import numpy as np

from mtljax.data.dataset import KINDS, DataSet, Example, Source, checked_split
from mtljax.data.kinds import kinds_of
from mtljax.data.meanings import labels_of, meanings, must_mean_one_thing
from mtljax.data.reading.common_form import common_form, in_form
from mtljax.data.relabel import CATEGORY, Classes, Relabelled, checked_classes, checked_rename, table
from mtljax.data.resize import checked_size, resized
from mtljax.data.shares import check_ratio, positive
from mtljax.errors import UserError, unknown

_TRIED = 8  # examples of a set that may be unreadable before its form is known
_GAPS = {"frame_index": 2, "sequence": 1}  # from the last number of a set to the first of the next
_LONGEST, _TINY = 1e9, 1e-300  # examples of an epoch; in place of a weight that is 0 in float64


@dataclasses.dataclass(frozen=True)
class Mix:
    """See `mix`."""

    sets: Mapping[str, DataSet]
    ratio: Mapping[str, float] | None
    temperature: float
    size: tuple[int, int] | None
    rename: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    classes: Mapping[str, Mapping[str | None, Sequence[str]]] = dataclasses.field(default_factory=dict)
    read: frozenset[str] | None = None
    exact: bool = False

    def of_labels(self, labels: Iterable[str]) -> "Mix":
        """The same mix for one who reads these labels alone: others may have two meanings."""
        return dataclasses.replace(self, read=frozenset(labels))

    @property
    def name(self) -> str:
        """The names of its sets."""
        return f"mix({', '.join(self.sets)})"

    @property
    def kinds(self) -> dict[str, str]:
        """Of what kind the sets' own labels are, by their names in the mix.

        Raises:
            UserError: where two sets say two kinds of one name.
        """
        found: dict[str, str] = {}
        for key, data_set in self.sets.items():
            names = self.rename.get(key, {})
            for label, kind in getattr(data_set, "kinds", {}).items():
                name = names.get(label, label)
                if found.setdefault(name, kind) != kind:
                    raise UserError(f"{self.name}: {name!r} is {found[name]!r} in one set, and {kind!r} in {key!r}.")
        return found

    def split(self, name: str) -> Source:
        """`train`, in which each set has its share, or `validation`, all of each set, one after the other.

        Raises:
            UserError: for an unknown split, sets whose examples do not fit together, or what the sets refuse.
        """
        checked_split(self.name, name)
        sources = {key: data_set.split(name) for key, data_set in self.sets.items()}
        for key, source in sources.items():
            if len(source) == 0:
                raise UserError(f"{self.name}: {key!r} has no examples in its split {name!r}.")
        lengths = {key: len(source) for key, source in sources.items()}
        exact = tuple(self._weights(lengths).values()) if name == "train" and self.exact else None
        counts = self._shares(lengths) if name == "train" and not self.exact else lengths
        raw = {key: _first_readable(source, range(len(source))) for key, source in sources.items()}
        sources = self._relabelled(sources, raw)
        firsts = {key: self._fitted(source.changed(raw[key])) for key, source in sources.items()}
        form = common_form(self.name, firsts, self.size)
        starts = {key: _starts(list(sources.values()), key, gap) for key, gap in _GAPS.items() if key in form}
        return MixSource(
            tuple(sources.values()), tuple(counts.values()), form, self.size, starts, kinds_of(self), exact
        )

    def _relabelled(self, sources: Mapping[str, Source], firsts: Mapping[str, Example]) -> dict[str, Relabelled]:
        """The sources with the names and classes that the mix gives; of one name and meaning each."""
        names, own = {}, {}
        for key, first in firsts.items():
            given, there = self.rename.get(key, {}), labels_of(first)
            for old in given:
                if old not in there:
                    raise unknown(f"label of {key!r} in the rename of {self.name}:", str(old), there)
            names[key] = {label: given.get(label, label) for label in there}
            if len(set(names[key].values())) < len(there):
                raise UserError(f"{self.name}: rename={{{key!r}: {given}}} gives two labels one name.")
            own[key] = {new: old for old, new in names[key].items()}
            own[key] |= {CATEGORY: CATEGORY} if CATEGORY in first.get("instances", {}) else {}
        known = {label for there in own.values() for label in there}
        for label in self.classes:
            if label not in known:
                raise unknown(f"label in the classes of {self.name}:", str(label), known)
        read = known if self.read is None else {*self.read, *([CATEGORY] if "instances" in self.read else [])}
        for label in sorted((known & read) - set(self.classes)):
            having = {key: self.sets[key] for key in own if label in own[key]}
            declared = all(own[key][label] in self.rename.get(key, {}) for key in having)
            if not declared:
                must_mean_one_thing(self.name, label, having, {key: own[key][label] for key in having})
        return {key: self._with_classes(key, source, names[key], own[key]) for key, source in sources.items()}

    def _with_classes(self, key: str, source: Source, names: Mapping[str, str], own: Mapping[str, str]) -> Relabelled:
        where, said = f"{self.name}: {key!r}", meanings(self.sets[key])
        tables = {k: table(where, k, said.get(own[k]), classes) for k, classes in self.classes.items() if k in own}
        return Relabelled(source, names, tables, where)

    def _shares(self, lengths: Mapping[str, int]) -> dict[str, int]:
        """Examples of each set in an epoch: as the weights say, and of none fewer than it has."""
        weights = self._weights(lengths)
        scale = max(length / max(weights[key], _TINY) for key, length in lengths.items())
        if scale * sum(weights.values()) > _LONGEST:
            raise UserError(
                f"{self.name}: an epoch with every example would have over {_LONGEST:.0e}; expected shares that are "
                f"closer to the sizes, {dict(lengths)}."
            )
        return {key: max(length, round(scale * weights[key])) for key, length in lengths.items()}

    def _weights(self, lengths: Mapping[str, int]) -> Mapping[str, float]:
        most = max(lengths.values())
        return self.ratio or {key: (length / most) ** (1 / self.temperature) for key, length in lengths.items()}

    def _fitted(self, example: Example) -> Example:
        if "image" not in example or np.ndim(example["image"]) != 4:
            raise UserError(f"{self.name} is of images (s, H, W, C); one of its sets gives vectors or `inputs`.")
        return resized(example, self.size, kinds_of(self)) if self.size else example


def mix(
    sets: Mapping[str, DataSet],
    ratio: Mapping[str, float] | None = None,
    temperature: float | None = None,
    size: tuple[int, int] | None = None,
    rename: Mapping[str, Mapping[str, str]] | None = None,
    classes: Classes | None = None,
    exact: bool = False,
) -> Mix:
    """Several data sets as one, each with labels of its own: what one lacks is not valid in its examples.

    An epoch of `train` has every example of every set at least once; those of sets that are small for their share come
    again, spread evenly. Batches are drawn from all of it, so that the shares hold on average in a batch, and exactly
    in an epoch; with `exact` each set is drawn from by itself, as often as its share asks for, so that they hold in
    every batch, to one example. `validation` has each example once, set after set.

    All examples have all labels of all sets, zeros with masks all False where their set has none. An example without
    `camera`, beside sets that have one, gets poses of identity and intrinsics of a field of view of 53 degrees; no mask
    tells. Objects are padded to the number of the set that has most; where a set lists none, `objects_valid` is False.
    Beside a set that has a map of objects, one without has an empty map beside its boxes. The `frame_index` of a set
    goes on where that of the set before ends, with a gap, and so does `sequence`.

    A label of one name in several sets must mean one thing in all: that is so for those whose meaning and unit
    `mtljax.data.dataset` settles, such as depth, and else where the sets say the same of it (`meanings`). Classes of
    different lists, and edges of borders and of depth, are refused until they are mapped or renamed. Classes of objects
    are mapped under the name `category`; an object of no class is `ignored`.

    Args:
        sets: name -> data set.
        ratio: name -> number above 0; the shares are in proportion to it.
        temperature: instead of a ratio, shares in proportion to n^(1/temperature), for sets of n examples: 1, the
            default, keeps their sizes, and the higher it is, the more equal are the shares.
        size: (height, width) that all examples get, see `mtljax.data.resize.resized`; by default they must have one.
        rename: set -> label -> its name in the mix: {"street": {"edge": "border"}}. A name that is given to a label of
            all the sets that have it says that they mean one thing.
        classes: label -> its classes in the mix, by name: a list, or class -> other names for it in the sets; None
            holds names that are no class, and so not valid: {"semantic": {"road": [], "pavement": ["sidewalk"],
            None: ["rider"]}}. The label is named as in the mix.
        exact: whether every batch holds the shares.

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
        >>> from mtljax.data import cityscapes
        >>> both = {"one": camvid("data/camvid"), "two": cityscapes("data/cityscapes")}
        >>> mix(both, classes={"semantic": {"road": [], "person": ["pedestrian"], None: ["sky"]}}).name
        'mix(one, two)'
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
        check_ratio(ratio, sets)
    if temperature is not None and not positive(temperature):
        raise UserError(f"mix(temperature={temperature!r}): expected a number above 0.")
    fitted = None if size is None else checked_size(size)
    return Mix(
        sets, ratio, temperature or 1.0, fitted, checked_rename(rename, sets), checked_classes(classes), exact=exact
    )


@dataclasses.dataclass(frozen=True)
class MixSource:
    """Examples of several sources, one source after the other, in one form.

    Attributes:
        sources: the sources.
        counts: places of each, no fewer than it has examples.
        form: key -> array of zeros, the shape and dtype of every label, and the `camera` of examples without one.
        size: (height, width) that all get, or None.
        starts: of `frame_index` and `sequence`, of each source the number that its 0 gets.
        kinds: of labels.
        shares: of each source in every batch, in proportion; None where they hold on average.
    """

    sources: Sequence[Source]
    counts: Sequence[int]
    form: Example
    size: tuple[int, int] | None
    starts: Mapping[str, Sequence[int]]
    kinds: Mapping[str, str] = dataclasses.field(default_factory=lambda: KINDS)
    shares: Sequence[float] | None = None

    def __len__(self) -> int:
        return sum(self.counts)

    def __getitem__(self, index: SupportsIndex) -> Example:
        number, place = self._place(int(index))
        source, count = self.sources[number], self.counts[number]
        found = source[place * len(source) // count]
        if self.size:
            found = resized(found, self.size, self.kinds)
        example = in_form(found, self.form)
        for key, starts in self.starts.items():
            if key in found:
                moved = np.where(found[f"{key}_valid"], found[key] + starts[number], 0)
                example[key] = moved.astype(np.int32)
        return example

    def original(self, index: int) -> int:
        """The first index that shows the same example."""
        number, place = self._place(index)
        length, count = len(self.sources[number]), self.counts[number]
        return index - place + -(-(place * length // count) * count // length)

    def set_of(self, index: int) -> int:
        """The number of the source that an example is of."""
        return self._place(index)[0]

    def _place(self, index: int) -> tuple[int, int]:
        """The number of the source, and the place among its own."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        ends = list(itertools.accumulate(self.counts))
        number = bisect.bisect_right(ends, index)
        return number, index - (ends[number] - self.counts[number])


def _starts(sources: Sequence[Source], key: str, gap: int) -> tuple[int, ...]:
    """Of each source, in whose examples a number rises, what its 0 gets, so that no two have one number."""
    lasts = [_first_readable(source, range(len(source) - 1, -1, -1)) for source in sources[:-1]]
    steps = [int(np.max(last[key])) + gap if key in last else gap - 1 for last in lasts]
    return tuple(itertools.accumulate(steps, initial=0))


def _first_readable(source: Source, order: Sequence[int]) -> Example:
    """The first example in an order that can be read."""
    *tried, last = order[:_TRIED]
    for index in tried:
        try:
            return source[index]
        except UserError:
            continue
    return source[last]
