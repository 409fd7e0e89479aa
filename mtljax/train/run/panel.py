"""The panel: a few validation images with the label and the prediction of every task side by side."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.data.meanings import meanings
from mtljax.data.pipeline import size_of
from mtljax.errors import UserError
from mtljax.tasks import Task
from mtljax.tasks.task import NAMES
from mtljax.train.config.parts import Experiment
from mtljax.train.run import inputs_file
from mtljax.train.run.workdir import replacing
from mtljax.train.spread import hosts
from mtljax.train.step.state import TrainState
from mtljax.train.step.step import make_predict_step

PANEL_FILE = "panel.png"


def leave_panel(parts: Experiment, state: TrainState, workdir: pathlib.Path) -> None:
    """Writes the panel of a state into a workdir, if the config wants one: images spread over the validation split.

    Where there is nothing to draw, vectors and tasks without pictures, there is none.

    Raises:
        UserError: where it cannot be written.
    """
    number = parts.config.panel_images
    if number == 0:
        return
    drawn = [name for name, task in parts.tasks.items() if task.draw is not None]
    step = parts.program("predict", lambda: parts.spread.evaluate(make_predict_step(parts.model, parts.tasks, drawn)))
    index, count = hosts.shard()
    chosen = np.linspace(0, len(parts.validation) - 1, parts.config.batch_size).astype(int)[index::count]
    batch = parts.batch_of(parts.validation, chosen)
    _, predictions = step((state.params, state.model_state), parts.spread.place_batch(batch))
    if not hosts.first() or not (drawn or _shows(batch)):
        return
    file = workdir / PANEL_FILE
    try:
        with replacing(file) as temporary:
            draw_panel(temporary, batch, parts.spread.collect(predictions), parts.tasks, number, names_of(parts, batch))
    except OSError as error:
        raise UserError(f"cannot write {str(file)!r}: {error.strerror or error}.") from error


def names_of(parts: Experiment, batch: Any) -> dict[str, list[str]]:
    """Label -> the names of its classes by their numbers, of those labels of a batch whose names the data tells."""
    said = {key: inputs_file.names(key, batch[key], meanings(parts.data)) for key in parts.labels if key in batch}
    return {key: names for key, names in said.items() if names}


def draw_panel(
    path: pathlib.Path,
    batch: Any,
    predictions: Mapping[str, np.ndarray],
    tasks: Mapping[str, Task],
    images: int,
    names: Mapping[str, Sequence[str]],
) -> None:
    """Writes a picture: a row an image (a clip's first frame, or the one that a task says), a pair of columns a task.

    Args:
        path: of the PNG.
        batch: NumPy arrays, `image` (B, s, H, W, C) float32; in [0, 1], or else stretched to it. Vectors and `inputs`
            are not shown.
        predictions: task -> decoded prediction for the batch.
        tasks: name -> task; those without a `draw` are left out.
        images: number of rows, at most B.
        names: label -> names of its classes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns: list[tuple[str, np.ndarray]] = [("image", _in_unit_range(batch["image"])[:, 0])] if _shows(batch) else []
    drawn_of = {**batch, NAMES: names}
    for name, task in tasks.items():
        if task.draw is not None:
            prediction, label = (pictures[:, task.drawn_frame] for pictures in task.draw(predictions[name], drawn_of))
            columns += [(f"{name}: label", label), (f"{name}: predicted", prediction)]
    rows = max(1, min(images, size_of(batch)))
    height, width = columns[0][1].shape[-3:-1]
    size = 1.5
    figure = Figure(figsize=(len(columns) * size, rows * size * height / width + 0.3), dpi=100, layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    # Images spread over the batch, since neighbours in a video look alike.
    chosen = np.linspace(0, size_of(batch) - 1, rows).astype(int)
    for row, index in zip(axes, chosen, strict=True):
        for axis, (title, pictures) in zip(row, columns, strict=True):
            axis.imshow(pictures[index], interpolation="nearest")
            axis.set_axis_off()
            if index == chosen[0]:
                axis.set_title(title, fontsize=8)
    FigureCanvasAgg(figure).print_png(str(path))


def _shows(batch: Any) -> bool:
    """Whether a batch has images to show."""
    return np.ndim(batch.get("image")) == 5


def _in_unit_range(images: np.ndarray) -> np.ndarray:
    low, high = images.min(), images.max()
    if low < 0 or high > 1:
        images = (images - low) / (high - low)
    images = images if images.shape[-1] in (1, 3) else images[..., :1]  # of a label that takes their place
    return np.broadcast_to(images, (*images.shape[:-1], 3))
