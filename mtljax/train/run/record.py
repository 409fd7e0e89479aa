"""What a run tells of itself in `run.json`: how it goes, its figures, and what it costs. Whole or not there at all."""

import contextlib
import functools
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

import mtljax
from mtljax.errors import UserError, untraced
from mtljax.train.config.checks import Fitted
from mtljax.train.config.parts import Experiment
from mtljax.train.config.seeded import TrainStep
from mtljax.train.run.inference import forward_flops
from mtljax.train.run.memory import PeakMemory
from mtljax.train.run.timing import Clock, StepTimes
from mtljax.train.run.workdir import read_json, replace_text, unwritable
from mtljax.train.spread import hosts

RUN_FILE = "run.json"
VERSION = 1
EVALUATION, TRAINING = "evaluation", "training"


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """The record of a run; empty where there is none that can be read, as of a run of an earlier version."""
    return read_json(workdir / RUN_FILE)


class Record:
    """The record of a run: kept in memory at every step, and written when the loop says so.

    A run that goes on from a checkpoint goes on with its record: seconds and steps add up. Seconds a step are as
    `timing.StepTimes` has them; `compile` is what tracing and compiling the training step took (and what measures
    cosines and affinities beside it), and is no part of `training`, which is the loop without evaluations;
    `to_first_step` is from the call until the newest start's first step was on its way. FLOPs are what XLA counts, of a
    step on all devices, and of one example through all tasks' networks, unoptimised (`forward`); in loops it counts one
    turn. Of several hosts the first writes.

    Args:
        parts: of the run.
        fitted: what is known of them.
        workdir: of the run.
        start: the step that the run goes on from; 0 for a new run, which takes nothing from a record that is there.
        step: the training step.
        called: when the run was called for, as `time.perf_counter` tells it.

    Attributes:
        clock: to which the loop charges its time.
        was_done: whether the run had come to its end before, with as many steps.
    """

    def __init__(
        self, parts: Experiment, fitted: Fitted, workdir: pathlib.Path, start: int, step: TrainStep, called: float
    ) -> None:
        self._parts, self._fitted, self._workdir = parts, fitted, workdir
        self._program, self._called = step.program, called
        self._compiled_before = self._compiled()
        before = read(workdir) if start else {}
        self.was_done = before.get("status") == "done" and before.get("steps") == parts.config.steps
        self._before: dict[str, Any] = before.get("seconds") or {}
        self._memory_before = int((before.get("memory") or {}).get("bytes") or 0)
        known = {name: self._before.get(name) or 0.0 for name in (TRAINING, EVALUATION)}
        self.clock, self._times, self._memory = Clock(known), StepTimes(self._before), PeakMemory()
        self._to_first_step: float | None = None
        self._predictions: dict[str, float] = {}
        self._groups = parts.group_table(fitted.shapes["params"]).splitlines()
        self._finite: tuple[int, Any] | None = None
        self._begins = False
        self._told = {
            "status": "running",
            "message": "",
            "step": start,
            "losses": before.get("losses", {}),
            "losses_step": before.get("losses_step", 0),
            "figures": {},
            "constant": {},
            "began": before.get("began") or time.time(),
            "ended": None,
        }

    def begin(self) -> None:
        """Writes the record of a run that begins, or has shown that it can go on."""
        self._begins = True
        self.write()

    def dispatched(self) -> None:
        """Notes that the first step of this start is on its way."""
        self._to_first_step = time.perf_counter() - self._called

    def read(self, step: int, report: Mapping[str, Any], *, writes: bool) -> None:
        """Notes a step whose report has arrived: when, and its losses where they are finite.

        Args:
            step: its number.
            report: of NumPy arrays.
            writes: whether figures of it are written next.
        """
        self._times.ended(time.perf_counter(), writes=writes)
        self._told["step"] = step
        if np.isfinite(report["losses"]).all():
            self._finite = (step, report)

    def pause(self) -> None:
        """Leaves what is done before the next step out of the seconds a step."""
        self._times.pause()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Writes how the run has ended, where it ends by an error or a signal."""
        try:
            yield
        except BaseException as error:
            stopped = isinstance(error, SystemExit | KeyboardInterrupt)
            # What cannot go on leaves the record of the run that is there.
            if self._begins or not isinstance(error, UserError):
                with contextlib.suppress(UserError):  # it is the first error that counts
                    self._end("stopped" if stopped else "failed", "" if stopped else _one_line(error))
            raise

    def done(self, figures: Mapping[str, float], constant: Mapping[str, float]) -> None:
        """Writes the record of a run that has come to its end.

        Args:
            figures: on the validation split.
            constant: of the constant predictor there.
        """
        self._told |= {"figures": _finite_or_null(figures), "constant": _finite_or_null(constant)}
        self._told["step"] = self._parts.config.steps
        self._end("done", "")

    def predicted(self, seconds: Mapping[str, float]) -> None:
        """Notes how long predictions take, as `inference.seconds_of_prediction` tells it."""
        self._predictions = dict(seconds)

    def _end(self, status: str, message: str) -> None:
        self._told |= {"status": status, "message": message, "ended": time.time()}
        self.write()

    def write(self) -> None:
        """Writes the record as it is now.

        Raises:
            UserError: where it cannot be written.
        """
        if not hosts.first():
            return
        try:
            self._workdir.mkdir(parents=True, exist_ok=True)
            replace_text(self._workdir / RUN_FILE, json.dumps(self.as_dict(), indent=1) + "\n")
        except OSError as error:
            raise unwritable(self._workdir, error) from error

    def as_dict(self) -> dict[str, Any]:
        """What is written."""
        if self._finite is not None:
            step, report = self._finite
            triples = zip(self._parts.tasks, report["losses"], report["present"], strict=True)
            losses = {name: float(loss) for name, loss, there in triples if there}
            self._told |= {"losses": losses, "losses_step": step}
        tasks = {
            name: {"primary": task.primary.name, "metrics": {m.name: m.higher_is_better for m in task.metrics}}
            for name, task in self._parts.tasks.items()
        }
        number = self._parts.spread.num_devices
        return {
            "version": VERSION,
            **self._told,
            "steps": self._parts.config.steps,
            "tasks": tasks,
            "groups": self._groups,
            "seconds": self._seconds(),
            "memory": self._memory.figures(self._memory_before),
            "flops": {"step": self._program.flops and self._program.flops * number, "forward": self._forward()},
            "parameters": sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self._fitted.shapes["params"])),
            "devices": {"kind": jax.devices()[0].device_kind, "number": number},
            "versions": versions(),
            "xla_flags": os.environ.get("XLA_FLAGS", ""),  # by which numbers differ in their last digits
            "commit": commit(),
        }

    def _seconds(self) -> dict[str, Any]:
        self.clock.charge()
        compiled = self._compiled() - self._compiled_before
        return {
            **self._times.figures(),
            "compile": (self._before.get("compile") or 0.0) + compiled,
            "to_first_step": self._to_first_step,
            TRAINING: self.clock.seconds[TRAINING] - compiled,
            EVALUATION: self.clock.seconds[EVALUATION],
            **self._predictions,
        }

    def _compiled(self) -> float:
        """Seconds that tracing and compiling what steps take has taken so far, in all runs that share it."""
        looking = (self._parts.programs.get(name) for name in ("cosines", "affinity"))
        return self._program.seconds + sum(program.seconds for program in looking if program)

    def _forward(self) -> float | None:
        """FLOPs of one example through the networks of all tasks; not before the first step is on its way."""
        known = self._parts.programs
        if "forward" not in known and self._to_first_step is not None:
            known["forward"] = forward_flops(self._parts, self._fitted)
        return known.get("forward")

    def lines(self) -> str:
        """What a run has cost, as text: two lines."""
        told = self.as_dict()
        seconds, memory, flops = told["seconds"], told["memory"], told["flops"]
        number = seconds["steps_timed"]
        step = f"{seconds['step_median']:.3g} s a step (p95 {seconds['step_p95']:.3g}, of {number})" if number else (
            "no step was timed")  # fmt: skip
        of = "on a device" if memory["of"] == "device" else "of the process"
        counted = [f"{_scaled(flops['step'])}FLOPs a step" if flops["step"] else "FLOPs a step unknown"]
        counted += [f"{_scaled(flops['forward'])}FLOPs an example forward"] if flops["forward"] else []
        return (
            f"{step}, {seconds['compile']:.3g} s to compile, {memory['bytes'] / 2**20:,.0f} MiB {of} at most\n"
            f"{', '.join(counted)}, {told['parameters']:,} parameters"
        )


@functools.cache
def versions() -> dict[str, str]:
    """Of mtljax, of Python, and of the libraries that decide what comes out."""
    known = {"mtljax": mtljax.__version__}
    for name in ("jax", "jaxlib", "flax", "optax"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            known[name] = importlib.metadata.version(name)
    return known | {"python": platform.python_version()}


@functools.cache
def commit() -> str:
    """The commit of the checkout that mtljax stands in, its first digits; empty where it stands in none."""
    folder = pathlib.Path(mtljax.__file__).parent.parent
    if not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _finite_or_null(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {key: float(value) if math.isfinite(value) else None for key, value in figures.items()}


def _one_line(error: BaseException) -> str:
    """The first line of what an error says; of one that is not for users, its name too."""
    said = next((line.strip() for line in untraced(str(error)).splitlines() if line.strip()), "")
    name = "" if isinstance(error, UserError) else type(error).__name__
    return ": ".join(part for part in (name, said) if part)[:1000]


def _scaled(number: float) -> str:
    """A number with a prefix: 12.3 G."""
    power = max(0, min(5, int(math.log10(number)) // 3)) if number > 0 else 0
    return f"{number / 1000**power:.3g} {('', 'k', 'M', 'G', 'T', 'P')[power]}"
