"""Pictures of what tasks of objects say of photographs, without labels."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mtljax.data.pipeline import in_unit_range
from mtljax.errors import UserError
from mtljax.serving.images import with_channels
from mtljax.serving.objects import at_own_size
from mtljax.serving.stand_ins import batch_for
from mtljax.tasks import Task
from mtljax.tasks.drawing.futures import draw_futures


def draw_objects(
    task: Task, found: Mapping[str, Any], clip: np.ndarray, seen: tuple[int, int], inputs: Mapping[str, Any]
) -> np.ndarray:
    """What was found in each frame of a clip, as the task draws it: (s, h, w, 3) uint8, enlarged where clips are small.

    Args:
        task: of the kind `objects`.
        found: its decoded prediction of the clip.
        clip: (s, h, w, C) as it was given.
        seen: (H, W) of what the network saw.
        inputs: as `mtljax.train.run.inputs_file.described` has it.

    Raises:
        UserError: where a task of the user's own cannot draw without labels.
    """
    size = (clip.shape[1], clip.shape[2])
    found = at_own_size(task, found, seen, size)
    channels = inputs["given"]["image"]["shape"][-1]
    image = in_unit_range({"image": with_channels(clip, channels)})["image"]
    twice = jax.tree.map(lambda x: np.stack([x, x]), found)
    batch = batch_for(task, twice, image, _scaled(inputs, seen, size))
    try:
        if task.unit == "pixels" and {"paths", "last", "ids"} <= set(found):
            return draw_futures(batch, "image", twice, _nowhere(twice["paths"]))[0][0]
        assert task.draw is not None
        return task.draw(twice, batch)[0][0]
    except Exception as error:  # of whatever kind: it may be a task of the user's own
        raise UserError(
            f"task {task.name!r} cannot be drawn without labels: {type(error).__name__}: {error}. Leave it out: tasks."
        ) from error


def _nowhere(paths: np.ndarray) -> tuple[np.ndarray, ...]:
    """The true path of one object, of which nothing can be drawn, for paths (B, s, K, k, T, 2)."""
    clips, frames, _, _, steps, _ = paths.shape
    path = np.full((clips, frames, 1, steps, 2), np.nan)
    return path[..., 0, :], path, np.ones(path.shape[:-1], bool)


def _scaled(inputs: Mapping[str, Any], seen: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    """The same, with the intrinsics of images of another size; the camera stays where it is."""
    known = inputs["intrinsics"]
    if known is None:
        return dict(inputs)
    ratio = np.array([[size[1] / seen[1]], [size[0] / seen[0]], [1.0]])
    return {**inputs, "intrinsics": (np.asarray(known) * ratio).tolist()}
