"""What is looked at in the training examples before a run trains: images and labels that cannot be meant.

What is surely wrong is an error; what may be meant is a note.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mtljax.data import pipeline
from mtljax.data.check import channels_first, channels_last, finite_where_valid
from mtljax.data.dataset import Example
from mtljax.errors import UserError
from mtljax.tasks import Task
from mtljax.train.config.task_checks import check_labels_there

Indices = Sequence[int] | np.ndarray

_CHANNELS = (1, 3, 4)
_FAR, _WIDE = (
    3.0,
    10.0,
)  # mean and deviation of images beyond which they are told: [0, 1] and normalised ones are within
_FIRST = ", which looks like channels first; expected them last"
_MANY = 0.5  # share of examples with values that are not finite from which on no run can come of it


def look_at_inputs(indices: Indices, examples: Sequence[Example]) -> Iterator[str]:
    """Notes on what a model is given: images, as `look_at_images` tells of them, or arrays of a tree.

    Raises:
        UserError: for images that are surely wrong, arrays of no numbers, or of which most are not finite.
    """
    if "image" in examples[0]:
        yield from look_at_images(indices, examples)
        return
    for path, leaf in jax.tree_util.tree_leaves_with_path(pipeline.inputs_of(examples[0])):
        if getattr(getattr(leaf, "dtype", None), "kind", "O") not in "biuf":
            raise UserError(
                f"training example {int(indices[0])}: inputs{jax.tree_util.keystr(path)} is of type "
                f"{type(leaf).__name__}; expected arrays of numbers."
            )
    finite = [all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(example["inputs"])) for example in examples]
    yield from _not_finite("inputs", indices, finite)


def look_at_images(indices: Indices, examples: Sequence[Example]) -> Iterator[str]:
    """Notes on images: numbers out of range, not finite, or all the same.

    Args:
        indices: of the examples in the training split, for messages.
        examples: as the data set gives them.

    Raises:
        UserError: for images of another dtype than uint8 or floats, with channels first, of 8 bit numbers as floats, or
            of which most are not finite.
    """
    for index, example in zip(indices, examples, strict=True):
        _check_image(int(index), example["image"])
    images = [np.asarray(example["image"]) for example in examples]
    shape = images[0].shape
    if channels_first(shape):  # of one channel: it may be a row of pixels
        yield f"training images have shape {shape}{_FIRST}, {channels_last(shape)}."
    yield from _not_finite("images", indices, [bool(np.isfinite(image).all()) for image in images])
    yield from _flat(images)
    if images[0].dtype != np.uint8:
        yield from _range(images)


def look_at_labels(
    tasks: Mapping[str, Task], indices: Indices, examples: Sequence[Example], where: str
) -> Iterator[str]:
    """Notes on the labels that tasks read, as the pipeline yields them; then what each task says of them.

    Args:
        tasks: name -> task.
        indices: of the examples in the training split, for messages.
        examples: as the pipeline batches them.
        where: the data, for messages.

    Raises:
        UserError: for a label that is not there, of which most are not finite, or that a task refuses.
    """
    for task in tasks.values():
        check_labels_there(task, examples[0], where)
    read = dict.fromkeys(label for task in tasks.values() for label in (*task.labels, *task.optional_labels))
    there = [label for label in read if all(_is_array(example, label) for example in examples)]
    for label in there:
        finite = [finite_where_valid(example[label], example[f"{label}_valid"]) for example in examples]
        yield from _not_finite(f"labels {label!r}", indices, finite)
    for name, task in tasks.items():
        for label in task.labels:
            if label in there and not any(np.any(example[f"{label}_valid"]) for example in examples):
                yield f"task {name!r}: none of {len(examples)} training examples looked at has a label {label!r}."
    batch = pipeline.collate([_labels(example, read) for example in examples])
    yield from ask_tasks(tasks, batch, f"{len(examples)} training examples")


def ask_tasks(tasks: Mapping[str, Task], batch: Mapping[str, Any], which: str) -> Iterator[str]:
    """What tasks themselves have to say of a batch of labels.

    Raises:
        UserError: where one refuses them.
    """
    for name, task in tasks.items():
        check: Callable[[Any], str | None] | None = getattr(task, "check", None)
        try:
            told = check and check(batch)
        except UserError as error:
            raise UserError(f"task {name!r}, in {which} looked at: {error}") from error
        if told:
            yield f"task {name!r}, in {which} looked at: {told}"


def _is_array(example: Example, label: str) -> bool:
    """Whether a label is an array with a mask; objects are a dict of them, with one mask for all."""
    return f"{label}_valid" in example and hasattr(example.get(label), "dtype")


def _labels(example: Example, read: Mapping[str, Any]) -> Example:
    """The labels that are read and all masks, without the image."""
    return {key: value for key, value in example.items() if key.removesuffix("_valid") in read}


def check_layout(image: Any, where: str) -> None:
    """Raises `UserError` where an image, (..., H, W, C), seems to have its channels first."""
    if channels_first(np.shape(image)) and (np.shape(image)[-3] > 1 or image.dtype == np.uint8):
        raise UserError(f"{where} has shape {np.shape(image)}{_FIRST}, {channels_last(np.shape(image))}.")


def _check_image(index: int, image: Any) -> None:
    image, where = np.asarray(image), f"training example {index}: its image"
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise UserError(f"{where} is of dtype {image.dtype}; expected uint8, or float32 of about [0, 1].")
    check_layout(image, where)


def _range(images: Sequence[np.ndarray]) -> Iterator[str]:
    """On float images: an error for 8 bit numbers, a note for others that are far from [0, 1] and not normalised."""
    finite = [image[np.isfinite(image)] for image in images if np.isfinite(image).any()]
    if not finite:
        return
    low, high = min(x.min() for x in finite), max(x.max() for x in finite)
    size = sum(x.size for x in finite)
    mean = sum(x.sum(dtype=np.float64) for x in finite) / size
    deviation = np.sqrt(sum(np.square(x - mean, dtype=np.float64).sum() for x in finite) / size)
    colours = images[0].ndim >= 3 and images[0].shape[-1] in _CHANNELS
    if colours and low >= 0 and 64 <= high <= 255 and mean > _FAR:
        raise UserError(
            f"training images are {images[0].dtype} from {low:g} to {high:g}, which looks like numbers of 8 bits; "
            "expected uint8, or floats of about [0, 1]: divide them by 255."
        )
    if abs(mean) > _FAR or deviation > _WIDE:
        yield (
            f"training images have mean {mean:.3g} and deviation {deviation:.3g} ({low:.3g} to {high:.3g}); expected "
            "floats of about [0, 1], or normalised ones."
        )


def _flat(images: Sequence[np.ndarray]) -> Iterator[str]:
    """On images with one value everywhere, and of 8 bits with nothing but 0 and 1."""
    flat = [image.size > 1 and image.min() == image.max() for image in images]
    if sum(flat) > len(images) / 2:
        value = images[flat.index(True)].flat[0]
        yield f"{sum(flat)} of {len(images)} training images looked at have one value everywhere, such as {value:g}."
    elif all(image.dtype == np.uint8 and image.max() <= 1 for image in images):
        yield "training images are uint8 from 0 to 1; expected 0 to 255, or floats of about [0, 1]."


def _not_finite(what: str, indices: Indices, finite: Sequence[bool]) -> Iterator[str]:
    bad = [int(index) for index, fine in zip(indices, finite, strict=True) if not fine]
    if not bad:
        return
    told = (
        f"{len(bad)} of {len(indices)} training examples looked at have {what} that are not finite (such as {bad[0]})"
    )
    if len(bad) > _MANY * len(indices):
        raise UserError(f"{told}; expected numbers, or masks that are False there.")
    yield f"{told}; updates with them are left out."
