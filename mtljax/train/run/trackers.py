"""Where else a run's figures go: Weights & Biases, MLflow, or a writer of one's own; each imported when it is named."""

import dataclasses
import importlib
import pathlib
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from mtljax.errors import UserError
from mtljax.train.config import callstring, objects
from mtljax.train.run.workdir import replace_text


@runtime_checkable
class Tracker(Protocol):
    """A writer of figures beside `metrics.jsonl` and TensorBoard. On the first host alone; nothing is called in `eval`.

    What it raises in `begin` ends the run, as a mistake in what was given; later, it is told once, and the run goes on
    without this writer. One that has a method `fail(error)` is told before `close` of what ended a run before its last
    step: an exception of whatever kind, a `SystemExit` after a signal.
    """

    def begin(self, workdir: pathlib.Path, settings: Mapping[str, Any]) -> None:
        """After the first step: the run's workdir, and its config as one dict of dotted keys."""

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Finite figures after a step: `train/depth/loss`, `validation/depth/AbsRel`, `speed/steps_per_second`."""

    def picture(self, step: int, name: str, file: pathlib.Path) -> None:
        """A PNG, such as `panel`."""

    def close(self) -> None:
        """At the end, however it comes; without `begin`, too."""


def trackers_of(text: str, given: objects.Objects = objects.NONE) -> tuple[Tracker, ...]:
    """The writers that call-strings name, commas between them, or that are given.

    Raises:
        UserError: for an unknown name or argument, a library that is not there, or what is no writer.

    Example:
        >>> trackers_of("mlflw('mine')")
        Traceback (most recent call last):
        mtljax.errors.UserError: unknown name in writer 'writers(mlflw('mine'))': 'mlflw'; did you mean 'mlflow'? ...
    """
    found = given.get("writers", text)
    if isinstance(found, str):
        if objects.is_mark(found):
            raise UserError(f"config.writers={found}: stands for objects that mtl.fit was given; expected them again.")
        known = {"wandb": wandb, "mlflow": mlflow}
        text = f"writers({found})"
        found = callstring.resolve(text, {"writers": _together}, kind="writer", nested=known) if found.strip() else ()
    found = tuple(found) if isinstance(found, Sequence) else (found,)
    for one in found:
        if not isinstance(one, Tracker) or isinstance(one, type):
            raise UserError(
                f"writers: something of type {type(one).__name__}; expected begin, write, picture and close, or a "
                "call-string: 'wandb(project=\"mine\")'."
            )
    return found


def _together(*trackers: Any) -> tuple[Any, ...]:
    return tuple(one() if callable(one) and not isinstance(one, Tracker) else one for one in trackers)


def wandb(project: str, name: str = "", entity: str = "", mode: str = "", group: str = "") -> Tracker:
    """Weights & Biases; `pip install 'mtljax[wandb]'`. A run that goes on goes on there, too.

    Args:
        project: the run's project there.
        name: of the run; by default, that of the workdir.
        entity: user or team; by default, one's own.
        mode: `online`, `offline` or `disabled`; by default, what WANDB_MODE says.
        group: of runs that belong together.
    """
    given = {"project": project, "name": name, "entity": entity, "mode": mode, "group": group}
    return _Wandb(_library("wandb", "wandb"), {key: value for key, value in given.items() if value})


def mlflow(experiment: str = "mtljax", uri: str = "", name: str = "") -> Tracker:
    """MLflow; `pip install 'mtljax[mlflow]'`. A run that goes on goes on there, too.

    Args:
        experiment: made where there is none of the name.
        uri: of the tracking server or store; by default, what MLFLOW_TRACKING_URI says.
        name: of the run; by default, that of the workdir.
    """
    return _MLflow(_library("mlflow", "mlflow"), experiment, uri or None, name)


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"writer {name}: {error}; pip install 'mtljax[{extra}]'") from error


def _identity(workdir: pathlib.Path, name: str) -> tuple[str, bool]:
    """Under which id a run is known elsewhere, and whether it was before; '' of a new one."""
    file = workdir / f"{name}.id"
    return (file.read_text().strip(), True) if file.exists() else ("", False)


def _remember(workdir: pathlib.Path, name: str, identity: str) -> None:
    replace_text(workdir / f"{name}.id", identity + "\n")


@dataclasses.dataclass
class _Wandb:
    library: Any
    given: Mapping[str, str]
    run: Any = None
    status: int = 0

    def begin(self, workdir: pathlib.Path, settings: Mapping[str, Any]) -> None:
        identity, known = _identity(workdir, "wandb")
        identity = identity or uuid.uuid4().hex[:8]
        options = {"name": workdir.name, "dir": str(workdir), "config": dict(settings), "id": identity, **self.given}
        self.run = self.library.init(**options, resume="allow" if known else None)
        _remember(workdir, "wandb", identity)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self.run.log(dict(figures), step=step)

    def picture(self, step: int, name: str, file: pathlib.Path) -> None:
        self.run.log({name: self.library.Image(str(file))}, step=step)

    def fail(self, error: BaseException) -> None:
        del error
        self.status = 1

    def close(self) -> None:
        if self.run is not None:
            self.run.finish(exit_code=self.status)


@dataclasses.dataclass
class _MLflow:
    library: Any
    experiment: str
    uri: str | None
    name: str
    client: Any = None
    run: str = ""
    status: str = "FINISHED"

    def begin(self, workdir: pathlib.Path, settings: Mapping[str, Any]) -> None:
        self.client = self.library.MlflowClient(tracking_uri=self.uri)
        self.run, known = _identity(workdir, "mlflow")
        if known:
            self.client.update_run(self.run, status="RUNNING")
            return
        there = self.client.get_experiment_by_name(self.experiment)
        experiment = there.experiment_id if there else self.client.create_experiment(self.experiment)
        self.run = self.client.create_run(experiment, run_name=self.name or workdir.name).info.run_id
        for key, value in settings.items():
            self.client.log_param(self.run, key, str(value)[:6000])  # so long a text may be there
        _remember(workdir, "mlflow", self.run)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [self.library.entities.Metric(key, value, now, step) for key, value in figures.items()]
        self.client.log_batch(self.run, metrics=metrics)

    def picture(self, step: int, name: str, file: pathlib.Path) -> None:
        self.client.log_artifact(self.run, str(file))

    def fail(self, error: BaseException) -> None:
        self.status = "KILLED" if isinstance(error, SystemExit | KeyboardInterrupt) else "FAILED"

    def close(self) -> None:
        if self.client is not None and self.run:
            self.client.set_terminated(self.run, status=self.status)


class Together:
    """Several writers as one: each until it fails.

    Args:
        trackers: to write to.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = list(trackers)

    def begin(self, workdir: pathlib.Path, settings: Mapping[str, Any]) -> None:
        """Begins all.

        Raises:
            UserError: where one cannot.
        """
        for tracker in self._trackers:
            try:
                tracker.begin(workdir, settings)
            except Exception as error:  # of whatever kind: it is another's code
                raise UserError(f"writer {_named(tracker)}: {type(error).__name__}: {error}") from error

    def ask(self, method: str, *arguments: Any) -> None:
        """Calls a method of all that have it; one that fails is told and left alone from then on."""
        for tracker in [one for one in self._trackers if hasattr(one, method)]:
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:
                self._trackers.remove(tracker)
                told = f"writer {_named(tracker)}: {type(error).__name__}: {error}"
                print(f"\nwarning: {told}; nothing more is written there.", file=sys.stderr, flush=True)


def _named(tracker: Tracker) -> str:
    return type(tracker).__name__.removeprefix("_").lower()
