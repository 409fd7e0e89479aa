"""What a frozen encoder makes of every example of a data set: computed once, kept beside the run that it is of.

A frozen encoder gets no gradient and no update, and its normalisation uses the statistics that it was left with: it is
a part of the data. `frozen_features` is a data set for any config, as a call-string:
`mtljax.train.run.features:frozen_features(scenes('tiny'), ['runs/depth'])`.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex, cast

import jax
import numpy as np

from mtljax.data import pipeline
from mtljax.data.dataset import DataSet, Example, Source
from mtljax.data.meanings import Meaning
from mtljax.data.shares import Within
from mtljax.errors import UserError
from mtljax.models.parts.pyramid import levels_of
from mtljax.models.readout import Shape, packed
from mtljax.train.config import experiment
from mtljax.train.config.checks import fit
from mtljax.train.config.default import checked
from mtljax.train.config.parts import Experiment
from mtljax.train.run.checkpoint import CHECKPOINTS, finished
from mtljax.train.run.config_file import CONFIG_FILE, load
from mtljax.train.run.start import newest_variables
from mtljax.train.run.workdir import in_turn, read_json, replace_text, replacing, unwritable
from mtljax.train.spread import hosts

FOLDER, ABOUT = "features", "about.json"
_BATCH = 32  # examples at once


@dataclasses.dataclass(frozen=True)
class FrozenFeatures:
    """See `frozen_features`."""

    data: DataSet
    runs: tuple[str, ...]
    untrained: bool
    _splits: dict[str, Source] = dataclasses.field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The data set's, and whose features."""
        return f"features({self.data.name}, {', '.join(self.runs)})"

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What labels mean, which are those of the data set."""
        return getattr(self.data, "meanings", {})

    @property
    def kinds(self) -> dict[str, str]:
        """Of what kind labels of its own are, which are those of the data set."""
        return getattr(self.data, "kinds", {})

    def of_labels(self, labels: Iterable[str]) -> "FrozenFeatures":
        """The same for one who reads these labels alone, of which a `mix` wants to know."""
        of_labels = getattr(self.data, "of_labels", None)
        return self if of_labels is None else dataclasses.replace(self, data=of_labels(labels))

    def split(self, name: str) -> Source:
        """The examples of a split, with features in the place of images; computed on first use.

        Of several hosts, all must ask for the first time.

        Raises:
            UserError: where a run is not there, has other levels than the others, or its features were of another
                state of it, or of other data.
        """
        if name not in self._splits:
            self._splits[name] = self._split(name)
        return self._splits[name]

    def readout(self) -> tuple[tuple[Shape, ...], tuple[int, int] | None]:
        """What a `Readout` of the features is told: shapes of their levels, and (H, W) of the images, if of pixels."""
        examples = cast(_Examples, self.split("validation"))
        return examples.shapes, examples.size

    def _split(self, name: str) -> Source:
        source = self.data.split(name)
        runs = [pathlib.Path(run).expanduser() for run in self.runs]
        known = {"data": self.data.name, **_seen(source)}
        found = [features_of(run, source, name, known, untrained=self.untrained) for run in runs]
        shapes = [[level.shape for level in levels] for levels in found]
        for run, theirs in zip(self.runs, shapes, strict=True):
            if theirs != shapes[0]:
                raise UserError(
                    f"frozen encoders differ: the features of {self.runs[0]!r} have shapes {shapes[0]}, those of "
                    f"{run!r} {theirs}; expected runs of one architecture."
                )
        return _Examples(source, tuple(zip(*found, strict=True)))


def frozen_features(data: Any, runs: Sequence[str], untrained: bool = False) -> FrozenFeatures:
    """A data set whose images are the packed features of frozen encoders, concatenated; labels stay as they are.

    What is packed has the size of the images, of which labels tell places in pixels.

    Args:
        data: the data set that encoders look at.
        runs: workdirs of training runs, whose encoders have one architecture.
        untrained: whether encoders are as they were before the first step.

    Raises:
        UserError: for no run.

    Example:
        >>> import mtljax as mtl
        >>> frozen_features(mtl.data.scenes("tiny"), ["runs/depth"]).name
        'features(scenes/tiny, runs/depth)'
    """
    if isinstance(runs, str) or not runs:
        raise UserError(f"frozen_features(runs={runs!r}): expected a list of one workdir or more.")
    return FrozenFeatures(cast(DataSet, data), tuple(runs), bool(untrained))


class _Examples(Within):
    """Examples of a source with features in the place of images; which of them show the same, the source tells.

    Args:
        source: of examples.
        levels: of each level, of each encoder, (N, s, h, w, C), or vectors.
    """

    def __init__(self, source: Source, levels: tuple[tuple[np.ndarray, ...], ...]) -> None:
        self._source, self.levels = source, levels

    def __len__(self) -> int:
        return len(self._source)

    def original(self, index: int) -> int:
        """The index that stands for the same example, where a source shows it several times."""
        return getattr(self._source, "original", int)(index)

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the images, if they have pixels."""
        shape = self._source[0]["image"].shape
        return None if len(shape) == 1 else (int(shape[-3]), int(shape[-2]))

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of the levels of one image, of all encoders together."""
        return tuple((*level[0].shape[2:-1], sum(one.shape[-1] for one in level)) for level in self.levels)

    def __getitem__(self, index: SupportsIndex) -> Example:
        index = int(index)
        joined = [np.concatenate([one[index] for one in level], axis=-1) for level in self.levels]
        example = dict(self._source[index])
        image = example["image"]
        here = packed(joined, image.shape[-3:-1] if image.ndim > 2 else None)
        return example | {"image": here if image.ndim == 4 else here[0]}


def features_of(
    run: pathlib.Path, source: Source, split: str, known: Mapping[str, Any], *, untrained: bool = False
) -> tuple[np.ndarray, ...]:
    """The levels of the features of a split, (N, s, h, w, C) each, read from the disk as they are used.

    Of several hosts all must ask: to read the network takes all of them, so whether it is read is the first one's to
    say. All compute, so that none waits for long, and the first writes.

    Args:
        run: workdir of the encoder's run.
        source: of the examples that it looks at.
        split: its name.
        known: what is known of the examples, by which they are told from others.
        untrained: whether it is as it was before the first step.
    """
    folder = run / (f"{FOLDER}-untrained" if untrained else FOLDER) / split
    about = {**known, **_about(run, untrained)}
    with in_turn(folder):
        there: dict[str, Any] = read_json(folder / ABOUT)
        missing = bool(hosts.of_first(not there))
        error = None
        if not (there or missing):
            error = UserError(
                f"the first host has found features in {str(folder)!r}, and this one has not; expected a folder that "
                "all hosts see."
            )
        elif there and there["about"] != about:
            error = UserError(
                f"the features in {str(folder)!r} are of {_told(there['about'])}, but the frozen network is now "
                f"{_told(about)}; take that folder away, and what was trained on it, or restore the network."
            )
        hosts.raised_by_all(error)
        if missing:
            there = hosts.agreed(lambda: _kept(run, source, folder, about, untrained))  # and others wait for the first
    return tuple(np.load(folder / f"{i}.npy", mmap_mode="r") for i in range(int(there["levels"])))


def level_shapes(parts: Experiment) -> tuple[tuple[Shape, ...], tuple[int, int] | None]:
    """Shapes of the levels of features of one image, and (H, W) of the image, if it has pixels; nothing is computed."""
    fitted = fit(parts)
    image = fitted.sample["image"]
    levels = jax.eval_shape(lambda variables: _levels(parts, variables, image), fitted.shapes)
    size = None if image.ndim == 2 else (int(image.shape[-3]), int(image.shape[-2]))
    return tuple(tuple(map(int, level.shape[1:])) for level in levels), size


def _levels(parts: Experiment, variables: Any, images: Any) -> list[Any]:
    """The levels of a model's features, of its first task where each has its own."""
    images = pipeline.in_unit_range({"image": images})["image"]
    found = parts.model.apply(variables, images, method="encode")
    own = found[next(iter(parts.tasks))] if parts.model.own_features else found
    return [level.astype(np.float32) for level in levels_of(own)]


def _seen(source: Source) -> dict[str, Any]:
    """How many examples there are, and a checksum of a few images: sets of one name may be of other arguments."""
    some = sorted({0, len(source) // 2, len(source) - 1} if len(source) else ())
    images = [np.ascontiguousarray(source[i]["image"]) for i in some]
    return {"examples": len(source), "images": zlib.crc32(b"".join(image.tobytes() for image in images))}


def _about(run: pathlib.Path, untrained: bool) -> dict[str, Any]:
    """What features depend on beside the data: the step and the checksum of the newest checkpoint."""
    if untrained:
        return {"step": 0}
    step = max(finished(run / CHECKPOINTS), default=None)
    if step is None:
        raise UserError(f"no checkpoint in {str(run / CHECKPOINTS)!r}: there is no network to freeze.")
    sums = read_json(run / f"{CHECKPOINTS}.crc32.json").get(str(step), {})
    return {"step": step, "checksum": zlib.crc32(json.dumps(sums, sort_keys=True).encode())}


def _told(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in about.items())


def _kept(
    run: pathlib.Path, source: Source, folder: pathlib.Path, about: Mapping[str, Any], untrained: bool
) -> dict[str, Any]:
    """What is noted of features, once they are computed and kept."""
    there = {**_compute(run, source, folder, untrained), "about": about}
    if hosts.first():
        with _writing(folder):
            replace_text(folder / ABOUT, json.dumps(there))
    return there


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from error


def _compute(run: pathlib.Path, source: Source, folder: pathlib.Path, untrained: bool) -> dict[str, Any]:
    """Computes and keeps the features of all examples of a source."""
    parts = experiment.build(checked(load(run / CONFIG_FILE)))
    variables: Any = parts.init(fit(parts).sample["image"]) if untrained else newest_variables(run)[1]
    variables = jax.device_put(variables, jax.local_devices()[0])

    encode = jax.jit(functools.partial(_levels, parts))
    levels: list[list[np.ndarray]] = []
    for batch in pipeline.eval_batches(source, min(_BATCH, len(source)), keep=(), raw=True):
        valid, images = batch["example_valid"], batch["image"]
        frames = images.shape[1] if images.ndim == 5 else 1
        found = [np.asarray(level) for level in encode(variables, images)]
        levels.append([level.reshape(-1, frames, *level.shape[1:])[valid] for level in found])
    for i, level in enumerate(zip(*levels, strict=True) if hosts.first() else ()):
        with _writing(folder), replacing(folder / f"{i}.npy") as file, file.open("wb") as opened:
            np.save(opened, np.concatenate(level))
    return {"levels": len(levels[0]), "examples": len(source)}
