"""What the command line does with a trained run: `--mode=predict` and `--mode=export`."""

import collections
import pathlib
import sys
from collections.abc import Iterator, Sequence

import ml_collections
import numpy as np
from tqdm import tqdm

from mtljax.errors import UserError
from mtljax.serving.files import Clip, clips_of, found, leave, names_of, read_ahead, refuse_over
from mtljax.serving.following import Following, shared
from mtljax.serving.images import check_photographs
from mtljax.serving.loaded import answers_of, loaded, look, pictures_of
from mtljax.serving.network import Network

PREDICTIONS, EXPORTED = "predictions", "exported"  # folders in the workdir
_BATCH = 8


def predict(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    images: str | None,
    out: pathlib.Path | None = None,
    tasks: Sequence[str] | None = None,
    checkpoint: str = "newest",
) -> int:
    """Leaves a picture, arrays and plain values for each of some image files.

    Args:
        config: of the run.
        workdir: of the run.
        images: patterns of files, or folders, ; between them.
        out: folder; by default `predictions` in the workdir.
        tasks: names; by default all that the files are enough for: what is left out is told.
        checkpoint: `newest`, or `best`.

    Returns:
        The exit status: 1 where files could not be read, which are told and left out.

    Raises:
        UserError: for files that are not there, a run that cannot be loaded, one that takes no photographs, or a task
            that was asked for and wants more than they tell; where a picture would be left in the place of one of the
            files.
    """
    files = found(images or "")
    run = loaded(config, workdir, {}, checkpoint)
    network = _enough(run.network.asked(tasks), files, tasks)
    check_photographs(network)
    out = out or workdir / PREDICTIONS
    print(f"predicting with step {run.step} of {workdir}", flush=True)
    with tqdm(total=len(files), unit="image", desc="compiling") as bar:
        told = _Predictions(network, out, files, bar).leave_all()
    for name, number in told.not_finite.items():
        print(f"warning: {name}: predictions of {number} images are not finite.", file=sys.stderr)
    if told.unread:
        print(f"{told.unread} of {len(files)} images could not be read and are left out.", file=sys.stderr)
    print(f"predictions: {out}", flush=True)
    return 1 if told.unread else 0


def _enough(network: Network, files: Sequence[pathlib.Path], tasks: Sequence[str] | None) -> Network:
    """The network asked for what files are enough for: without clips, for no task that compares frames."""
    if not tasks:
        _tell_untold(network)
    frames, those = network.frames or 1, network.comparing
    most = max(collections.Counter(file.parent for file in files).values())
    if most >= frames or not those:
        return network
    wants = f"wants clips of {frames} frames of a video, a folder each, and there are at most {most} in one"
    others = [name for name in network.names if name not in those]
    if tasks or not others:
        without = f"; photographs are enough for --tasks={','.join(others)}" if others else ""
        raise UserError(f"task {those[0]!r} {wants}{without}.")
    for name in those:
        print(f"left out: task {name!r}, which {wants}.", file=sys.stderr)
    return network.asked(others)


def _tell_untold(network: Network) -> None:
    for name, why in network.untold.items():
        print(f"left out: task {name!r}, which cannot be asked of images alone: {why}", file=sys.stderr)


class _Predictions:
    """Leaves what is predicted for files.

    Args:
        network: that predicts.
        out: folder.
        files: of images.
        bar: of progress.

    Attributes:
        unread: how many files could not be read.
        not_finite: task -> of how many images a prediction is not finite.
    """

    def __init__(self, network: Network, out: pathlib.Path, files: Sequence[pathlib.Path], bar: tqdm) -> None:
        self._network, self._out, self._bar = network, out, bar
        self._clips = clips_of(files, network.frames or 1, shared(network), ahead=bool(network.looking_ahead))
        self._names = names_of(files)
        refuse_over(out, self._names)
        self._waiting: collections.deque[Clip] = collections.deque()
        self.unread, self.not_finite = 0, collections.Counter[str]()

    def leave_all(self) -> "_Predictions":
        """Leaves them; says how it went."""
        following = Following()
        for clip, seen, prediction in look(self._network, self._read(), min(_BATCH, len(self._clips))):
            self._bar.set_description("predicting", refresh=False)
            of = self._waiting.popleft()
            prediction = following.named(of.files, prediction)
            pictures = pictures_of(self._network, clip, seen, prediction)
            for i in range(len(of.files) - of.told, len(of.files)):  # the others were left with the clip before
                answers = answers_of(self._network, prediction, clip, i)
                self.not_finite.update(name for name, (_, told) in answers.items() if "not_finite" in told)
                leave(self._out, self._names[of.files[i]], pictures[i], answers, of.files, i)
            self._bar.update(of.new)
        return self

    def _read(self) -> Iterator[np.ndarray]:
        for clip, frames in read_ahead(self._clips):
            if isinstance(frames, UserError):
                self._bar.write(f"left out: {frames}", file=sys.stderr)
                self.unread += clip.new
                self._bar.update(clip.new)
                continue
            self._waiting.append(clip)
            yield frames


def export(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    format: str | None,
    out: pathlib.Path | None = None,
    tasks: Sequence[str] | None = None,
    checkpoint: str = "newest",
) -> int:
    """Writes the network of a run into a folder, with all that is needed to use it; returns the exit status.

    Args:
        config: of the run.
        workdir: of the run.
        format: `stablehlo`, the default, or `onnx`.
        out: folder; by default `exported` in the workdir.
        tasks: names; by default all that can be asked of images alone.
        checkpoint: `newest`, or `best`.

    Raises:
        UserError: as `Loaded.export`.
    """
    run = loaded(config, workdir, {}, checkpoint)
    if not tasks:
        _tell_untold(run.network)
    file = run.export(out or workdir / EXPORTED, format or "stablehlo", tasks)
    print(f"exported: {file}", flush=True)
    return 0
