"""A training run from start to end, and the evaluation of one that is there."""

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections
import numpy as np

from mtljax.data.meanings import described
from mtljax.train.config import checks, experiment, objects
from mtljax.train.config.best_by import best_by
from mtljax.train.config.default import checked, flat
from mtljax.train.config.parts import Experiment
from mtljax.train.config.programs import Programs
from mtljax.train.run import config_file, signals
from mtljax.train.run import evaluate as evaluation
from mtljax.train.run.best import Best
from mtljax.train.run.checkpoint import CHECKPOINTS, Checkpoints, Restored
from mtljax.train.run.inference import seconds_of_prediction
from mtljax.train.run.looks import Looks
from mtljax.train.run.panel import PANEL_FILE, leave_panel
from mtljax.train.run.record import EVALUATION, Record
from mtljax.train.run.start import newest, resume, start
from mtljax.train.run.steps import Loop, Stopped, settle
from mtljax.train.run.trackers import trackers_of
from mtljax.train.run.workdir import sole_use_by_all
from mtljax.train.run.writer import MetricWriter, Silent
from mtljax.train.spread import hosts

__all__ = ["Stopped", "as_json", "evaluate", "train"]


def train(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    given: objects.Objects = objects.NONE,
    *,
    allow_config_change: bool = False,
    programs: Programs | None = None,
    times_predictions: bool = False,
) -> dict[str, float]:
    """Trains as the config says, from the newest checkpoint in the workdir if there is one.

    Args:
        config: of the run.
        workdir: where it leaves everything.
        given: objects in the place of call-strings of the config, by their keys.
        allow_config_change: whether to go on in a workdir of another config.
        programs: where several runs follow each other, one for all of them: seeds of one config are compiled once.
        times_predictions: whether the record is to say how long a prediction takes; see `inference`.

    Returns:
        The figures on the validation split at the end.

    Raises:
        UserError: for any mistake in the input, a workdir that cannot be written, or a run of non-finite updates.
        Stopped: after SIGTERM (status 0) or SIGINT (status 130), when the state is saved.
        KeyboardInterrupt: after a second of them, at once.
    """
    called = time.perf_counter()
    # Before the workdir is touched, so that a mistake leaves nothing behind; where one host lacks something, all end.
    parts = hosts.agreed(lambda: (programs or Programs()).build(checked(config), given))
    others = hosts.agreed(lambda: trackers_of(parts.config.writers, given) if hosts.first() else ())
    fitted = hosts.agreed(lambda: checks.fit(parts))
    state, started_from = start(parts, fitted, workdir)
    for note in hosts.agreed(lambda: checks.notes(parts, fitted)):
        if hosts.first():
            print(f"warning: {note}", file=sys.stderr, flush=True)
    known = (workdir / config_file.CONFIG_FILE).exists()
    with hosts.watched(workdir), contextlib.ExitStack() as until_the_end:
        until_the_end.enter_context(sole_use_by_all(workdir))
        hosts.agreed(lambda: config_file.refuse_change(parts.config, workdir, allow_change=allow_config_change))
        if hosts.first():
            print(f"workdir: {workdir}", flush=True)
        restored = resume(parts, state, workdir)
        begun = restored or Restored(state, step=0, examples=0)
        del state  # where a run resumes, it takes no memory
        batches = parts.train_batches(begun.examples)
        if not known:
            settle(parts, workdir)
        checkpoints = Checkpoints(workdir / CHECKPOINTS, parts.config.keep_checkpoints)
        until_the_end.enter_context(contextlib.closing(checkpoints))
        if hosts.first():
            if restored is not None:
                signals.keeps(f"step {begun.step} is kept in {workdir}")
                started_from = f"resuming {workdir} at step {begun.step}\n{started_from}"
            print(started_from + _told_of(parts, begun.state.params), flush=True)
        writer = MetricWriter(workdir, begun.step, others, flat(parts.config)) if hosts.first() else Silent()
        with writer:
            step = parts.train_step(fitted.optimizer)
            record = Record(parts, fitted, workdir, begun.step, step, called)
            evaluate, looks = evaluation.evaluator(parts), Looks(parts, begun.affinity)
            best = until_the_end.enter_context(_keeping_best(parts, fitted, workdir))
            loop = Loop(parts, workdir, begun, step, evaluate, batches, checkpoints, writer, record, looks, best)
            del restored, begun  # the loop alone holds the state, which each step replaces
            with record.watching():
                if not known:
                    record.begin()
                loop.run()
                return _finish(loop, fitted, times_predictions)


@contextlib.contextmanager
def _keeping_best(parts: Experiment, fitted: checks.Fitted, workdir: pathlib.Path) -> Iterator[Best | None]:
    """What keeps the best checkpoint, if the config asks for it."""
    by = best_by(parts.config.keep_best, parts.tasks)
    if by is None:
        yield None
        return
    with contextlib.closing(Best(by, workdir, lambda: evaluation.figures_of_constant(parts, fitted))) as best:
        yield best


def _told_of(parts: Experiment, params: Any) -> str:
    """What is said of a run before its first step: of its data, the part of them that it sees, and its groups."""
    share, whole = parts.config.train_share, len(parts.training)
    lines = []
    if share < 1 or parts.balancer.needs:
        whole = len(parts.data.split("train"))
    if parts.balancer.needs:
        lines = [
            f"validation_share={parts.config.validation_share}: {len(parts.held_out)} of {whole} training examples are "
            f"kept aside for the {parts.balancer.needs} that {parts.config.balance} needs; it trains on the rest"
        ]
    if share < 1:
        lines.append(f"train_share={share}: {len(parts.training)} of {whole - _aside(parts)} examples")
    found = described(parts.data, parts.labels, {"train": whole, "validation": len(parts.validation)})
    return "\n".join([found, *lines, parts.group_table(params)])


def _aside(parts: Experiment) -> int:
    """How many training examples are kept aside for the balancer."""
    return len(parts.held_out) if parts.balancer.needs else 0


def _finish(loop: Loop, fitted: checks.Fitted, times_predictions: bool) -> dict[str, float]:
    parts, steps = loop.parts, loop.parts.config.steps
    with loop.record.clock.spent(EVALUATION):
        figures = loop.evaluate(loop.state)
        constant = evaluation.figures_to_beat(parts, fitted, loop.evaluate, loop.state)
    settle(parts, loop.workdir)
    loop.keep_if_best(steps, figures)
    loop.writer.write(steps, "validation", figures)
    loop.writer.write(steps, "constant", constant)
    if not loop.record.was_done:
        loop.writer.settings(flat(parts.config))
    leave_panel(parts, loop.state, loop.workdir)
    if parts.config.panel_images and (loop.workdir / PANEL_FILE).exists():
        loop.writer.picture(steps, "panel", loop.workdir / PANEL_FILE)
    if times_predictions:
        loop.record.predicted(seconds_of_prediction(parts, fitted, loop.state))
    loop.record.done(figures, constant)
    if hosts.first():
        print(f"{evaluation.table(parts.tasks, figures, constant)}\n{loop.record.lines()}", flush=True)
    return figures


def evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path, checkpoint: str = "newest") -> dict[str, float]:
    """Evaluates a checkpoint of a workdir and writes the panel. A run may go on in the workdir meanwhile.

    Args:
        config: of the run.
        workdir: of the run.
        checkpoint: `newest`, or the `best` by `config.keep_best`.

    Raises:
        UserError: where the workdir has no such checkpoint, or the config does not fit it.
    """
    parts = experiment.build(checked(config))
    restored = newest(parts, workdir, which=checkpoint)
    print(f"evaluating step {restored.step} of {workdir}", flush=True)
    figures = evaluation.evaluator(parts)(restored.state)
    leave_panel(parts, restored.state, workdir)
    return {"step": restored.step, **figures}


def as_json(figures: Mapping[str, float]) -> str:
    """One JSON object on one line; figures that are not finite are null."""
    return json.dumps({key: value if np.isfinite(value) else None for key, value in figures.items()})
