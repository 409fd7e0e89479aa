"""What a run leaves behind as it goes: metrics.jsonl and TensorBoard events."""

import json
import math
import pathlib
import time
from collections.abc import Mapping

from tensorboardX import SummaryWriter

from mtljax.errors import UserError

METRICS_FILE = "metrics.jsonl"


class MetricWriter:
    """Writes figures to `metrics.jsonl`, one object a line, and to TensorBoard.

    A resumed run first drops the lines after the step it starts from, so that no step is told twice.

    Args:
        workdir: of the run.
        start: the step that the run starts from.
    """

    def __init__(self, workdir: pathlib.Path, start: int) -> None:
        self._file = workdir / METRICS_FILE
        try:
            if self._file.exists():
                kept = [line for line in self._file.read_text().splitlines() if _step(line) <= start]
                self._file.write_text("".join(line + "\n" for line in kept))
            self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, step: int, split: str, figures: Mapping[str, float]) -> None:
        """Writes one line and its scalars; figures that are not finite are null in the file.

        Raises:
            UserError: where the workdir cannot be written.
        """
        rounded = {key: value if math.isfinite(value) else None for key, value in figures.items()}
        line = json.dumps({"step": step, "split": split, "time": time.time(), **rounded})
        try:
            with self._file.open("a") as file:
                file.write(line + "\n")
            for key, value in figures.items():
                if math.isfinite(value):
                    self._events.add_scalar(f"{split}/{key}", value, step)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Flushes the events."""
        self._events.close()

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"cannot write {str(self._file)!r}: {error.strerror or error}.")


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf  # The last line of a run that was killed while it wrote.


class Silent:
    """A writer for hosts that leave the writing to the first."""

    def write(self, step: int, split: str, figures: Mapping[str, float]) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""
