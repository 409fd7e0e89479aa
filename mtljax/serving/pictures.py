"""Pictures of what all tasks say of an image, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mtljax.data.pipeline import in_unit_range
from mtljax.errors import UserError
from mtljax.serving.answers import Question, answer, question
from mtljax.serving.images import at_size, nearest, with_channels
from mtljax.serving.object_pictures import draw_objects
from mtljax.serving.objects import OBJECTS
from mtljax.serving.stand_ins import batch_for
from mtljax.tasks import Task
from mtljax.tasks.drawing.written import number_text, written

_MOST = 2**27  # numbers of a prediction at an image's own size, beyond which it is drawn at the network's
_GAP, _GROUND, _TEXT = 4, 255, (0, 0, 0)


def drawn(
    task: Task, prediction: Any, clip: np.ndarray, seen: np.ndarray, inputs: Mapping[str, Any]
) -> np.ndarray | None:
    """A task's prediction for a clip as pictures (s, h, w, 3) uint8, at the clip's own size if it has a place there.

    Args:
        task: of the run.
        prediction: for the clip, without a batch axis; an array or a tree.
        clip: (s, h, w, C) as it was given.
        seen: (s, H, W, C) as the network saw it.
        inputs: as `mtljax.train.run.inputs_file.described` has it.

    Returns:
        The pictures; None where there is nothing to see.

    Raises:
        UserError: where a task of the user's own cannot draw without labels.
    """
    size = (clip.shape[1], clip.shape[2])
    if task.draw is None:
        asked = question(task, inputs["labels"], size)
        return _written(asked, prediction, len(clip), size) if np.ndim(prediction) == 1 else None
    if task.kind == OBJECTS and isinstance(prediction, Mapping):
        return draw_objects(task, prediction, clip, (seen.shape[1], seen.shape[2]), inputs)
    image = in_unit_range({"image": seen})["image"]
    is_map = isinstance(prediction, np.ndarray) and _is_map(prediction, seen)
    if isinstance(prediction, np.ndarray) and (not is_map or _numbers_at(prediction, clip) <= _MOST):
        prediction = at_size(prediction, size) if is_map else prediction
        image = in_unit_range({"image": with_channels(clip, seen.shape[-1])})["image"]
    twice = jax.tree.map(lambda x: np.stack([x, x]), prediction)
    try:
        picture = task.draw(twice, batch_for(task, twice, image, inputs))[0][0]
    except Exception as error:  # of whatever kind: it may be a task of the user's own
        raise UserError(
            f"task {task.name!r} cannot be drawn without labels: {type(error).__name__}: {error}. Leave it out: tasks."
        ) from error
    if picture.shape[:3] == seen.shape[:3]:  # a place in the image, drawn at the network's size
        picture = nearest(picture, size)
    return picture


def _is_map(prediction: np.ndarray, seen: np.ndarray) -> bool:
    return prediction.ndim == 4 and prediction.shape[:3] == seen.shape[:3]


def _numbers_at(prediction: np.ndarray, clip: np.ndarray) -> int:
    """How many numbers a prediction has at a clip's own size."""
    return clip[..., 0].size * prediction.shape[-1]


def _written(asked: Question, prediction: np.ndarray, frames: int, size: tuple[int, int]) -> np.ndarray:
    """Classes and how likely they are; of other kinds, numbers."""
    told = answer(asked, prediction)[1]
    if "likeliest" in told:
        lines = [(f"{name} {100 * share:.0f} %", share) for name, share in told["likeliest"].items()]
    else:
        lines = [(number_text(float(x)), 0.0) for x in prediction]
    return np.repeat(written(lines, size)[None], frames, axis=0)


def side_by_side(pictures: Mapping[str, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Pictures (h, w, 3) uint8 beside each other, their names above: one (H, W, 3) uint8.

    Args:
        pictures: name -> picture; of the image's size, or of another, where they have no place in it.
        size: (h, w) of the image.

    Example:
        >>> side_by_side({"image": np.zeros((40, 60, 3), np.uint8)}, (40, 60)).shape
        (56, 60, 3)
    """
    from PIL import Image, ImageDraw, ImageFont

    letters = max(10, size[0] // 32)
    title = letters + 6
    widths = [picture.shape[1] for picture in pictures.values()]
    height = title + max(picture.shape[0] for picture in pictures.values())
    whole = np.full((height, sum(widths) + _GAP * (len(widths) - 1), 3), _GROUND, np.uint8)
    lefts = _lefts(widths)
    for left, picture in zip(lefts, pictures.values(), strict=True):
        whole[title : title + picture.shape[0], left : left + picture.shape[1]] = picture
    image = Image.fromarray(whole)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=letters)
    for left, width, name in zip(lefts, widths, pictures, strict=True):
        shown = name
        while shown and pen.textlength(shown, font=font) > width - 4:
            shown = shown[:-1]
        pen.text((left + 2, 1), shown, fill=_TEXT, font=font)
    return np.asarray(image)


def _lefts(widths: Sequence[int]) -> list[int]:
    return [sum(widths[:i]) + _GAP * i for i in range(len(widths))]


def as_bytes(image: np.ndarray) -> np.ndarray:
    """An image (..., C), of 8 bits or floats, as RGB: (..., 3) uint8; floats beyond [0, 1] are stretched to it."""
    if image.dtype != np.uint8:
        low, high = min(0.0, float(image.min())), max(1.0, float(image.max()))
        image = (255 * (image - low) / (high - low)).astype(np.uint8)
    return np.broadcast_to(image[..., :1], (*image.shape[:-1], 3)) if image.shape[-1] != 3 else image
