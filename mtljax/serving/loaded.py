"""A trained run in Python: its model, its figures, its predictions."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from mtljax.errors import UserError
from mtljax.serving.answers import Told, answer, question
from mtljax.serving.images import arrays_in, at_size, clips_in, example_of
from mtljax.serving.network import Network, network_of
from mtljax.serving.objects import OBJECTS, at_own_size
from mtljax.serving.pictures import as_bytes, drawn, side_by_side
from mtljax.tasks import Task
from mtljax.train.run import config_file
from mtljax.train.run.writer import read_metrics

_LAST = "no frame comes after it"


def load(workdir: str | os.PathLike, checkpoint: str = "newest", **objects: Any) -> "Loaded":
    """A run as it stands in its workdir: a checkpoint, on the first device. Its data need not be there.

    Args:
        workdir: of the run.
        checkpoint: `newest`, or the `best` by `config.keep_best`.
        objects: `data`, `tasks`, `model`, `balancer`, `optimizers` that the run was given as objects which its config
            cannot name.

    Returns:
        What can be asked.

    Raises:
        UserError: where there is no run, no checkpoint that can be read, or none that fits the config.
    """
    folder = pathlib.Path(workdir).expanduser()
    return loaded(config_file.load(folder / config_file.CONFIG_FILE), folder, objects, checkpoint)


def loaded(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, objects: Mapping[str, Any], checkpoint: str = "newest"
) -> "Loaded":
    """As `load`, with a config that may differ from the workdir's in what does not change the model."""
    return Loaded(workdir, config, network_of(config, workdir, objects, checkpoint))


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A trained run.

    Attributes:
        workdir: where it stands.
        config: of the run.
        network: its model with all that is needed to ask it.
    """

    workdir: pathlib.Path
    config: ml_collections.ConfigDict = dataclasses.field(repr=False)
    network: Network = dataclasses.field(repr=False)

    @property
    def model(self) -> Any:
        """The Flax module, pure `init` and `apply`."""
        return self.network.model

    @property
    def variables(self) -> Mapping[str, Any]:
        """What `model.apply` takes: `params`, and other collections where there are any."""
        return self.network.variables

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Name -> task."""
        return self.network.tasks

    @property
    def step(self) -> int:
        """After which the parameters were saved."""
        return self.network.step

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`: `step`, `split` (train, validation, constant), and figures, None for no number.

        `pandas.DataFrame(run.metrics)` makes a table of it.
        """
        return read_metrics(self.workdir)

    def predict(self, images: Any, tasks: Sequence[str] | None = None, batch_size: int = 8) -> dict[str, Any]:
        """Predictions as the heads give them, maps at the images' own size; of objects, what is read from those.

        Args:
            images: (N, H, W, C) uint8, or floats in [0, 1]; (N, s, H, W, C) of clips; a list of arrays, Pillow's
                images or file names, of any sizes. Of a run without images, vectors (N, F) or a tree of arrays.
            tasks: names; by default all that images alone are enough for.
            batch_size: of the compiled program.

        Returns:
            Task -> (N, ...) float32, a list of N arrays where images differ in size. Of the kind `objects` a dict of
            arrays, by slots: `boxes` (N, K, 4) in pixels of the image, `score`, and so on, see `Task.decode`.

        Raises:
            UserError: for images that are not such as the run was given, none at all, or an unknown task.
        """
        network, size = self._asked(images, tasks), batch_size
        given = jax.tree.leaves(images)[:1] if isinstance(images, Mapping) else [images]
        if given and hasattr(given[0], "__len__"):
            size = max(1, min(batch_size, len(given[0])))
        if network.frames is None:
            found = list(_each(network, arrays_in(network, images), size))
        else:
            looked = look(network, clips_in(network, images), size)
            found = [{n: _own_size(network, n, tree, clip) for n, tree in them.items()} for clip, _, them in looked]
        if not found:
            raise UserError("no images were given to predict for; expected one at least.")
        return {name: _together([one[name] for one in found]) for name in network.names}

    def answers(self, images: Any, tasks: Sequence[str] | None = None) -> list[dict[str, Told]]:
        """What predictions mean, in plain values: for each image task -> classes, numbers, points, objects.

        Args:
            images: as `predict` takes them; of clips the first frame is told.
            tasks: names; as in `predict`.
        """
        network = self._asked(images, tasks)
        if network.frames is None:
            each = ((None, found) for found in _each(network, arrays_in(network, images), 8))
        else:
            each = ((clip, found) for clip, _, found in look(network, clips_in(network, images)))
        return [{n: told for n, (_, told) in answers_of(network, found, clip, 0).items()} for clip, found in each]

    def draw(self, images: Any, tasks: Sequence[str] | None = None) -> list[np.ndarray]:
        """Pictures of every task side by side, at each image's own size: N arrays (h, w, 3) uint8.

        Args:
            images: as `predict` takes them; of clips the first frame is drawn.
            tasks: names; as in `predict`.
        """
        network = self._asked(images, tasks)
        return [pictures_of(network, *one)[0] for one in look(network, clips_in(network, images))]

    def _asked(self, images: Any, tasks: Sequence[str] | None) -> Network:
        return self.network.asked(tasks, clips=getattr(images, "ndim", 0) == 5)

    def export(
        self, folder: str | os.PathLike, format: str = "stablehlo", tasks: Sequence[str] | None = None
    ) -> pathlib.Path:
        """Writes the network, its parameters, how its inputs are prepared and a model card into a folder.

        Args:
            folder: made where there is none.
            format: `stablehlo`, for `jax.export`, or `onnx`.
            tasks: names; as in `predict`. What they do not need is left out.

        Returns:
            The file of the network.

        Raises:
            UserError: for an unknown format or task, what the format cannot hold, or a library that is not there.
        """
        from mtljax.serving.export.folder import write

        return write(self.network.asked(tasks), self.config, self.workdir, pathlib.Path(folder).expanduser(), format)


def look(
    network: Network, clips: Iterator[np.ndarray], batch_size: int = 8
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """Each clip (s, h, w, C), as the network saw it (s, H, W, C), and its predictions at that size."""
    waiting: collections.deque[tuple[np.ndarray, np.ndarray]] = collections.deque()

    def examples() -> Iterator[Any]:
        for clip in clips:
            example = example_of(network, clip)
            waiting.append((clip, example["image"]))
            yield example

    for prediction in _each(network, examples(), batch_size):
        yield (*waiting.popleft(), prediction)


def answers_of(network: Network, prediction: Mapping[str, Any], clip: np.ndarray | None, frame: int) -> dict[str, Any]:
    """Task -> arrays and plain values of what is predicted for one frame; those of a whole clip count for each."""
    size = None if clip is None else (clip.shape[1], clip.shape[2])
    answers = {}
    for name, found in prediction.items():
        task = network.tasks[name]
        asked = question(task, network.inputs["labels"], size)
        if clip is not None and frame == len(clip) - 1 and name in network.looking_ahead:
            answers[name] = {}, {"untold": _LAST}
        elif isinstance(found, np.ndarray):
            answers[name] = answer(asked, found if found.ndim == 1 else found[frame])
        elif task.kind == OBJECTS:  # what ties other tasks together says nothing of its own
            if size is not None:
                found = at_own_size(task, found, seen_size(network), size)
                found = jax.tree.map(lambda x: x[frame], found)
            answers[name] = answer(asked, found)
    return answers


def pictures_of(
    network: Network, clip: np.ndarray, seen: np.ndarray, prediction: Mapping[str, Any]
) -> list[np.ndarray]:
    """For each frame of a clip, the pictures of all tasks side by side."""
    pictures = {"image": as_bytes(clip)}
    for name, found in prediction.items():
        picture = drawn(network.tasks[name], found, clip, seen, network.inputs)
        if picture is not None:
            pictures[name] = picture
    size = (clip.shape[1], clip.shape[2])
    return [side_by_side({name: them[i] for name, them in pictures.items()}, size) for i in range(len(clip))]


def _each(network: Network, examples: Any, batch_size: int) -> Iterator[dict[str, Any]]:
    for batch in network.predict(examples, batch_size):
        for i in range(len(jax.tree.leaves(batch)[0])):
            yield jax.tree.map(lambda x, i=i: x[i], batch)


def _own_size(network: Network, name: str, tree: Any, clip: np.ndarray) -> Any:
    """Maps and boxes at a clip's own size; of single images, without the axis of frames."""
    seen, size, task = seen_size(network), (clip.shape[1], clip.shape[2]), network.tasks[name]

    def sized(x: np.ndarray) -> np.ndarray:
        is_map = task.kind != OBJECTS and x.ndim == 4 and x.shape[1:3] == seen
        x = at_size(x, size) if is_map and seen != size else x
        return x[0] if network.frames == 1 and x.ndim > 1 and len(x) == 1 else x

    found = at_own_size(task, tree, seen, size) if task.kind == OBJECTS else tree
    return jax.tree.map(sized, found)


def seen_size(network: Network) -> tuple[int, int]:
    """(H, W) of images as the network takes them."""
    height, width = network.given["image"].shape[1:3]
    return height, width


def _together(found: list[Any]) -> Any:
    """Arrays, or trees of them, with a first axis for images; a list where they differ in size."""
    shapes = {tuple(x.shape for x in jax.tree.leaves(one)) for one in found}
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found) if len(shapes) == 1 else found
