"""From a source of examples to batches, with grain: shuffled for ever for training, each once for evaluation."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import jax
import numpy as np

from mtljax.data.augment import Augmentation
from mtljax.data.dataset import KINDS, Example, Source
from mtljax.data.shares import shuffled
from mtljax.errors import UserError, unknown

Batch = dict[str, Any]
_ALWAYS = ("image", "inputs", "camera")
_AUGMENTING = 0xA46  # apart from other uses of the seed


def train_batches(
    source: Source,
    batch_size: int,
    seed: int,
    *,
    keep: Iterable[str] | None = None,
    num_threads: int = 2,
    prefetch: int = 4,
    shard: tuple[int, int] = (0, 1),
    start: int = 0,
    augment: Augmentation | None = None,
    kinds: Mapping[str, str] = KINDS,
    raw: bool = False,
    label: str = "",
) -> Any:
    """A grain iterator over batches, shuffled afresh each epoch and repeated for ever.

    Its `get_state` and `set_state` tell and set the position: a restored iterator goes on with the same batches. The
    order is one for all hosts: their i-th batches together are the i-th batch of a single host. What an augmentation
    draws depends on the seed and the example's place in that order alone.

    Args:
        source: of examples; one with `shares`, such as an exact `mix`, has each set's share in every batch.
        batch_size: examples a batch, on this host.
        seed: of the order; with it a run can be repeated.
        keep: the labels wanted (`image` or `inputs`, `camera` and masks come along); all by default.
        num_threads: that read ahead.
        prefetch: batches read ahead.
        shard: (index, count): this host's part of every batch.
        start: examples of all hosts to leave out at the beginning: where an earlier run stopped.
        augment: what is done to each example, afresh each epoch.
        kinds: of labels, for the augmentation: `mtljax.data.kinds.kinds_of` the data set.
        raw: whether images of 8 bits stay so, a quarter of the bytes to move, for `in_unit_range` on the device.
        label: that takes the place of the image, if any; see `in_place_of_image`.

    Raises:
        UserError: where there are fewer examples than a batch of all hosts.
    """
    import grain

    index, count = shard
    check_batch_size(batch_size * count, len(source))
    dataset = shuffled(source, seed)
    if augment is not None:
        dataset = dataset.map_with_index(_Augmented(augment, seed, keep, kinds))
    dataset = dataset[start + index :: count].map(Prepare(keep, raw, label))
    dataset = dataset.batch(batch_size, drop_remainder=True, batch_fn=collate)
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch)
    return iter(dataset.to_iter_dataset(options))


def eval_batches(
    source: Source,
    batch_size: int,
    *,
    keep: Iterable[str] | None = None,
    num_threads: int = 2,
    shard: tuple[int, int] = (0, 1),
    raw: bool = False,
    label: str = "",
) -> Iterator[Batch]:
    """All examples once, in order. The last batch is filled up with examples none of whose labels are valid.

    With `shard` = (index, count), this host's part of every batch of `batch_size` examples on each host; with `raw`,
    images of 8 bits stay so; with `label`, that label takes the place of the image.

    A batch has `example_valid` (B,) bool as well: False for those that fill it up.

    Raises:
        UserError: where the source is empty.
    """
    import grain

    if len(source) == 0:
        raise UserError("the split to evaluate has no examples.")
    index, count = shard
    dataset = grain.MapDataset.source(_FilledUp(source, batch_size * count))[index::count]
    dataset = dataset.map(Prepare(keep, raw, label))
    dataset = dataset.batch(batch_size, batch_fn=collate)
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2)
    return iter(dataset.to_iter_dataset(options))


def stack(examples: Sequence[Example], *, keep: Iterable[str] | None = None, label: str = "") -> Batch:
    """One batch of the given examples; with `label`, that label takes the place of the image."""
    prepare = Prepare(keep, label=label)
    return collate([prepare(example) for example in examples])


def in_unit_range(batch: Batch) -> Batch:
    """A batch, or an example, whose image is float32 in [0, 1] where it was of 8 bits; in NumPy or under `jit`.

    Where there is none, it stays as it is: `inputs` are what a model is given.

    Example:
        >>> in_unit_range({"image": np.array([0, 255], np.uint8)})["image"]
        array([0., 1.], dtype=float32)
    """
    if "image" not in batch or batch["image"].dtype != np.uint8:
        return batch
    image = batch["image"].astype(np.float32)
    # By a constant XLA would multiply with 1 / 255, which is a bit off what NumPy gives.
    white = 255 + 0 * image if isinstance(image, jax.Array) else 255
    return {**batch, "image": image / white}


def inputs_of(batch: Batch) -> Any:
    """What a model is given of a batch or an example: its `image` or, where there is none, the tree `inputs`.

    Raises:
        UserError: where there is neither.

    Example:
        >>> inputs_of({"image": 1, "kind": 2}), inputs_of({"inputs": {"age": 3, "words": 4}, "kind": 2})
        (1, {'age': 3, 'words': 4})
    """
    for key in ("image", "inputs"):
        if key in batch:
            return batch[key]
    raise UserError(f"there is nothing to give to a model: expected 'image' or 'inputs' beside {', '.join(batch)}.")


def check_batch_size(batch_size: int, examples: int) -> None:
    """Raises `UserError` where a split to train on, of so many examples, is less than a batch."""
    if batch_size > examples:
        raise UserError(f"batch_size={batch_size} is more than the {examples} examples of the training split.")


def size_of(batch: Batch) -> int:
    """The number of examples in a batch, of arrays or shapes.

    Example:
        >>> size_of({"inputs": {"age": np.zeros((3, 1))}})
        3
    """
    return jax.tree.leaves(inputs_of(batch))[0].shape[0]


def for_model(batch: Batch) -> Batch:
    """The part of a batch that a model sees: `image` or `inputs`, and the camera where there is one."""
    return {key: batch[key] for key in _ALWAYS if key in batch}


def in_place_of_image(example: Example, label: str) -> Example:
    """A batch, or an example, whose image is one of its labels, a map (..., H, W, C): float32, 0 where it is not valid.

    Raises:
        UserError: for a label that is not there, that is no map of the image's pixels, or of class ids.

    Example:
        >>> depth = {"depth": np.full((1, 1, 2, 1), 3.0), "depth_valid": np.array([[[[True], [False]]]])}
        >>> print(in_place_of_image({"image": np.zeros((1, 1, 2, 3))} | depth, "depth")["image"][..., 0])
        [[[3. 0.]]]
    """
    if f"{label}_valid" not in example:
        raise unknown("label in place of the image:", label, [k for k in example if f"{k}_valid" in example])
    value, valid = np.asarray(example[label]), np.asarray(example[f"{label}_valid"], bool)
    if value.ndim < 4 or value.shape[:-1] != np.shape(example.get("image", value))[:-1]:
        raise UserError(f"label {label!r} in place of the image has shape {value.shape}; expected a map of its pixels.")
    if np.issubdtype(value.dtype, np.integer) and np.max(value, where=valid, initial=0) > 1:
        raise UserError(f"label {label!r} in place of the image holds class ids; expected numbers, or 0 and 1.")
    return {**example, "image": np.where(valid, value, 0).astype(np.float32)}


def to_augment(keep: Iterable[str]) -> tuple[str, ...]:
    """The labels wanted, and what an augmentation needs beside them: the map of objects, and objects for their future.

    Example:
        >>> to_augment(["depth", "future"])
        ('depth', 'future', 'segmentations', 'instances')
    """
    keep = tuple(keep)
    return (*keep, "segmentations", *(("instances",) if "future" in keep else ()))


class Prepare:
    """Leaves out the labels that no task reads, and turns images into float32 in [0, 1], unless they stay `raw`.

    With `label`, that label takes the place of the image.
    """

    def __init__(self, keep: Iterable[str] | None, raw: bool = False, label: str = "") -> None:
        self._raw, self._label = raw, label
        self._keep = None
        if keep is not None:
            self._keep = {*_ALWAYS, *keep, *(f"{k}_valid" for k in keep), "example_valid"}
            self._keep |= {"objects_valid"} if "instances" in self._keep else set()

    def __call__(self, example: Example) -> Example:
        """Prepares one example."""
        if self._label:
            return self.chosen(in_place_of_image(example, self._label))
        kept = self.chosen(example)
        return kept if self._raw else in_unit_range(kept)

    def chosen(self, example: Example) -> Example:
        """The example without the labels that no task reads."""
        return {k: v for k, v in example.items() if self._keep is None or k in self._keep}


def collate(examples: Sequence[Example]) -> Batch:
    """Stacks examples along a new first axis. Images of 8 bits beside images of floats become floats in [0, 1].

    Raises:
        UserError: where their keys or shapes differ.

    Example:
        >>> collate([{"a": np.zeros(2)}, {"a": np.ones(2)}])["a"].shape
        (2, 2)
        >>> collate([{"a": np.zeros(2)}, {"a": np.ones(3)}])
        Traceback (most recent call last):
        mtljax.errors.UserError: examples of one batch differ in the shape of 'a': (2,) and (3,)...
    """
    first = jax.tree_util.tree_leaves_with_path(examples[0])
    for other in examples[1:]:
        leaves = jax.tree_util.tree_leaves_with_path(other)
        if [path for path, _ in leaves] != [path for path, _ in first]:
            raise UserError(f"examples of one batch differ in their keys: {sorted(examples[0])} and {sorted(other)}.")
        for (path, a), (_, b) in zip(first, leaves, strict=True):
            if np.shape(a) != np.shape(b):
                key = "/".join(str(part.key) for part in path)
                raise UserError(
                    f"examples of one batch differ in the shape of {key!r}: {np.shape(a)} and {np.shape(b)}."
                )
    if len({example["image"].dtype for example in examples if "image" in example}) > 1:
        examples = [in_unit_range(example) for example in examples]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *examples)


class _Augmented:
    """Augments what is kept of an example, and what tells of it."""

    def __init__(self, augment: Augmentation, seed: int, keep: Iterable[str] | None, kinds: Mapping[str, str]) -> None:
        self._augment, self._seed, self._kinds = augment, seed, kinds
        self._prepare = Prepare(None if keep is None else to_augment(keep))

    def __call__(self, position: int, example: Example) -> Example:
        rng = np.random.default_rng([_AUGMENTING, self._seed, position])
        return self._augment(self._prepare.chosen(example), rng, self._kinds)


@dataclasses.dataclass(frozen=True)
class _FilledUp:
    source: Source
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size) * self.batch_size

    def __getitem__(self, index: SupportsIndex) -> Example:
        real = int(index) < len(self.source)
        example = dict(self.source[int(index) if real else 0])
        if not real:
            example |= {k: np.zeros_like(v) for k, v in example.items() if k.endswith("_valid")}
        return example | {"example_valid": np.array(real)}
