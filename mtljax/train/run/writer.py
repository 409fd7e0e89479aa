"""What a run leaves behind as it goes: metrics.jsonl and TensorBoard events."""

import contextlib
import json
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from mtljax.errors import UserError
from mtljax.train.run.trackers import Together, Tracker
from mtljax.train.run.workdir import replacing

METRICS_FILE = "metrics.jsonl"


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`; none where there is no such file. One that a run was killed at is left out."""
    file = workdir / METRICS_FILE
    rows = []
    for line in file.read_text().splitlines() if file.is_file() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


class MetricWriter:
    """Writes figures to `metrics.jsonl`, one object a line, and to TensorBoard.

    A resumed run first drops the lines after the step it starts from, so that no step is told twice; until it begins,
    nothing is changed.

    Args:
        workdir: of the run.
        start: the step that the run starts from.
        trackers: where else figures go.
        settings: the config as one dict of dotted keys, for those.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        start: int,
        trackers: Sequence[Tracker] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._file, self._start = workdir / METRICS_FILE, start
        self._events: SummaryWriter | None = None
        self._others, self._settings = Together(trackers), settings or {}

    def begin(self) -> None:
        """Drops what is told of later steps; the first `write` does so too.

        Raises:
            UserError: where the workdir cannot be written.
        """
        try:
            self._opened()
        except OSError as error:
            raise self._unwritable(error) from error

    def write(
        self, step: int, split: str, figures: Mapping[str, float], passing: Mapping[str, float] | None = None
    ) -> None:
        """Writes one line and its scalars; figures that are not finite are null in the file.

        Args:
            step: after which.
            split: of the examples.
            figures: by name.
            passing: figures that stand in no line, since they tell of this machine today, such as steps a second.

        Raises:
            UserError: where the workdir cannot be written.
        """
        rounded = {key: value if math.isfinite(value) else None for key, value in figures.items()}
        line = json.dumps({"step": step, "split": split, "time": time.time(), **rounded})
        try:
            events = self._opened()
            with self._file.open("a") as file:
                file.write(line + "\n")
            told = {f"{split}/{key}": value for key, value in figures.items()} | dict(passing or {})
            told = {key: value for key, value in told.items() if math.isfinite(value)}
            for key, value in told.items():
                events.add_scalar(key, value, step)
        except OSError as error:
            raise self._unwritable(error) from error
        self._others.ask("write", step, told)

    def picture(self, step: int, name: str, file: pathlib.Path) -> None:
        """Shows a picture that stands in a file.

        Raises:
            UserError: where the workdir cannot be read or written.
        """
        try:
            with Image.open(file) as opened:
                pixels = np.asarray(opened.convert("RGB"))
            self._opened().add_image(name, pixels, step, dataformats="HWC")
        except OSError as error:
            raise self._unwritable(error) from error
        self._others.ask("picture", step, name, file)

    def settings(self, values: Mapping[str, Any]) -> None:
        """Tells TensorBoard's HParams view of this run: one line, with the scalars that were written.

        Only the run's own session is told, in its own folder, and no experiment: of several that declare one, as in a
        tree of runs of different tasks, the view would take any, and hide what the others have. Without one it gathers
        the settings and scalars of all runs.

        Args:
            values: numbers, bools and texts by name; anything else is left out.

        Raises:
            UserError: where the workdir cannot be written.
        """
        flat = {key: value for key, value in values.items() if isinstance(value, str | bool | int | float)}
        _, begin, end = hparams(flat, {})
        try:
            for summary in (begin, end):
                self._opened()._get_file_writer().add_summary(summary)
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if error is not None:
            self._others.ask("fail", error)
        self.close()

    def close(self) -> None:
        """Flushes the events."""
        if self._events is not None:
            self._events.close()
        self._others.ask("close")

    def _opened(self) -> SummaryWriter:
        if self._events is None:
            self._drop_later_lines()
            self._events = SummaryWriter(str(self._file.parent / "tensorboard"), purge_step=self._start + 1)
            self._others.begin(self._file.parent, self._settings)
        return self._events

    def _drop_later_lines(self) -> None:
        if not self._file.exists():
            return
        with self._file.open() as lines, replacing(self._file) as temporary, temporary.open("w") as kept:
            kept.writelines(line for line in lines if _step(line) <= self._start)

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"cannot write {str(self._file)!r}: {error.strerror or error}.")


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf  # The last line of a run that was killed while it wrote.


class Silent(contextlib.AbstractContextManager):
    """A writer for hosts that leave the writing to the first."""

    def __exit__(self, *_: object) -> None:
        """Does nothing."""

    def begin(self) -> None:
        """Does nothing."""

    def write(
        self, step: int, split: str, figures: Mapping[str, float], passing: Mapping[str, float] | None = None
    ) -> None:
        """Does nothing."""

    def picture(self, step: int, name: str, file: pathlib.Path) -> None:
        """Does nothing."""

    def settings(self, values: Mapping[str, Any]) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""
