"""A training run from start to end, and the evaluation of one that is there."""

import contextlib
import json
import pathlib
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import ml_collections
import numpy as np
from tqdm import tqdm

from mtljax.errors import UserError
from mtljax.train.config import default as run_config
from mtljax.train.run import evaluate as evaluation
from mtljax.train.run import signals
from mtljax.train.run.checkpoint import Checkpoints
from mtljax.train.run.run import CHECKPOINTS, Run
from mtljax.train.run.workdir import sole_use
from mtljax.train.run.writer import MetricWriter, Silent
from mtljax.train.spread import hosts


class Stopped(SystemExit):
    """A run that was asked to stop, and saved its state first."""


def train(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, *, allow_config_change: bool = False
) -> dict[str, float]:
    """Trains as the config says, from the newest checkpoint in the workdir if there is one.

    Returns:
        The figures on the validation split at the end.

    Raises:
        UserError: for any mistake in the input, a workdir that cannot be written, or a run of non-finite updates.
        Stopped: after SIGTERM (status 0) or SIGINT (status 130), when the state is saved.
        KeyboardInterrupt: after a second of them, at once.
    """
    config = run_config.checked(config)
    # Before the workdir is touched, so that a mistake leaves nothing behind.
    run = Run(config, workdir)
    for note in run.check():
        if hosts.first():
            print(f"warning: {note}", file=sys.stderr, flush=True)
    known = (workdir / run_config.CONFIG_FILE).exists()
    with hosts.watched(workdir), contextlib.ExitStack() as until_the_end:
        until_the_end.enter_context(sole_use(workdir))
        if hosts.first():
            run_config.refuse_change(config, workdir, allow_change=allow_config_change)
            print(f"workdir: {workdir}", flush=True)
        start, examples = 0, 0
        restored = run.restore()
        if restored is not None:
            run.state, start, examples = restored
        batches = run.train_batches(examples)
        if not known:
            _settle(run)
        checkpoints = until_the_end.enter_context(contextlib.closing(run.open_checkpoints()))
        if hosts.first():
            if restored is not None:
                print(f"resuming {workdir} at step {start}", flush=True)
            print(run.started_from + run.group_table(), flush=True)
        writer = MetricWriter(workdir, start) if hosts.first() else Silent()
        with contextlib.closing(writer):
            _Loop(run, batches, checkpoints, writer, start, examples).run()
            return _finish(run, writer)


def _settle(run: Run) -> None:
    """Writes the config into the workdir: where it changes one that is there, only when what it asks for has worked."""
    if hosts.first():
        run_config.write(run.config, run.workdir)


class _Asked(Exception):
    """A signal has come in the middle of an evaluation."""


class _Loop:
    def __init__(
        self, run: Run, batches: Any, checkpoints: Checkpoints, writer: MetricWriter, start: int, examples: int
    ) -> None:
        self._run, self._batches, self._checkpoints = run, batches, checkpoints
        self._writer, self._start = writer, start
        self._seen = examples - start * run.config.batch_size  # more or less where the batch size was another before
        self._latest: tuple[int, Any] = (start, None)  # the step that the state is of, and its report
        self._signal: int | None = None
        self._waited = 0.0  # seconds for data, since
        self._timed_from: float | None = None

    def run(self) -> None:
        config = self._run.config
        step_fn = self._run.train_step()
        pending: tuple[int, Any] | None = None
        # In a log file, a line every half minute.
        often = 0.1 if sys.stderr.isatty() else 30.0
        bar = tqdm(
            total=config.steps,
            initial=self._start,
            unit="step",
            dynamic_ncols=True,
            mininterval=often,
            disable=not hosts.first(),
        )
        with signals.saving(self._ask_to_stop) as something_to_save, bar:
            for step in range(self._start + 1, config.steps + 1):
                batch = self._next_batch(step)
                self._run.state, report = step_fn(self._run.state, batch)
                self._latest = (step, report)
                if step == self._start + 1:
                    self._begin()
                    something_to_save()
                # One step late, so that reading the figures never holds up the device.
                self._note(pending, bar)
                pending = (step, report)
                bar.update()
                if self._stops(step):
                    self._note(pending, bar)
                    self._stop(step)
                if step % config.checkpoint_every == 0 and step != config.steps:
                    self._note(pending, bar)
                    pending = None
                    self._save(step)
                if step % config.eval_every == 0 and step != config.steps:
                    self._note(pending, bar)
                    pending = None
                    self._evaluate(step)
            self._note(pending, bar)
            if self._start < config.steps:
                self._save(config.steps, wait=True)
            if self._signal is not None and hosts.shard()[1] == 1:
                self._leave(config.steps)

    def _next_batch(self, step: int) -> Any:
        begin = time.perf_counter()
        batch = next(self._batches)
        if self._timed_from is None and step > self._start + 1:  # The first step compiles.
            self._timed_from, self._waited = begin, 0.0
        self._waited += time.perf_counter() - begin
        return self._run.parts.spread.place_batch(batch)

    def _note(self, pending: tuple[int, Any] | None, bar: tqdm) -> None:
        """Reads a step's report: shows it, writes it, and stops the run when too many updates were skipped."""
        if pending is None:
            return
        step, report = pending
        report = jax.tree.map(np.asarray, report)
        self._tell(step, report, bar)
        self._check_losses(step, report)
        if report["skipped_in_row"] >= self._run.config.max_skipped_in_row:
            self._give_up(step, int(report["skipped_in_row"]), bar)

    def _tell(self, step: int, report: Mapping[str, Any], bar: tqdm) -> None:
        names, config = list(self._run.parts.tasks), self._run.config
        if not report["finite"]:
            what = _not_finite(names, report)
            bar.write(f"step {step}: non-finite {what}; update skipped ({report['skipped']} in all).", file=sys.stderr)
        if step % config.log_every == 0 or step == config.steps:
            shown = {n: f"{loss:.3g}" for n, loss in zip(names, report["losses"], strict=True)}
            bar.set_postfix(shown, refresh=False)
            self._writer.write(step, "train", self._figures(names, report))

    def _check_losses(self, step: int, report: Mapping[str, Any]) -> None:
        """Stops at a loss that the balancer cannot take the logarithm of, before it freezes what the tasks share."""
        method, needy = self._run.config.balance, getattr(self._run.parts.balancer, "needs_positive_losses", False)
        for name, loss, there in zip(self._run.parts.tasks, report["losses"], report["present"], strict=True):
            if needy and there and loss <= 0:
                raise UserError(
                    f"step {step}: the loss of task {name!r} is {loss:.4g}, but balance={method!r} takes "
                    "logarithms or quotients of losses; expected losses above 0, or another balancer."
                )

    def _figures(self, names: list[str], report: Mapping[str, Any]) -> dict[str, float]:
        present = zip(names, report["losses"], report["present"], strict=True)
        figures = {f"{n}/loss": float(loss) for n, loss, there in present if there}
        figures |= {f"balance/weight/{n}": float(w) for n, w in zip(names, report["weights"], strict=True)}
        if not report["solved"]:
            figures["balance/unsolved"] = 1.0
        if "cosines" in report:
            for i, a in enumerate(names):
                for j, b in enumerate(names[i + 1 :], i + 1):
                    figures[f"balance/cosine/{a}/{b}"] = float(report["cosines"][i, j])
        if self._timed_from is not None:
            figures["input/wait_share"] = self._waited / (time.perf_counter() - self._timed_from)
        counts = {"skipped": report["skipped"], "input/unreadable": self._run.training.unreadable}
        return figures | {name: float(count) for name, count in counts.items()}

    def _save(self, step: int, *, wait: bool = False) -> None:
        examples = self._seen + step * self._run.config.batch_size
        self._checkpoints.save(step, self._run.parts.spread.to_disk(self._run.state), examples, wait=wait)

    def _stops(self, step: int) -> bool:
        """Whether a signal has come. All hosts stop at one step: they ask each other, but not at every step."""
        if hosts.shard()[1] == 1:
            return self._signal is not None
        return step % self._run.config.log_every == 0 and hosts.anywhere(self._signal is not None)

    def _evaluate(self, step: int) -> None:
        try:
            figures = self._run.evaluate(self._leave_if_asked)
        except _Asked:
            self._stop(step)
        self._writer.write(step, "validation", figures)
        self._timed_from = None

    def _begin(self) -> None:
        """Changes the workdir of an earlier run: not before a step has shown that this one can go on from it."""
        _settle(self._run)
        self._writer.begin()

    def _leave_if_asked(self) -> None:
        """Ends an evaluation where a signal has come; not with other hosts, whose devices wait for this one's."""
        if self._signal is not None and hosts.shard()[1] == 1:
            raise _Asked

    def _ask_to_stop(self, number: int) -> None:
        self._signal = number

    def _stop(self, step: int) -> NoReturn:
        self._save(step, wait=True)
        self._leave(step)

    def _leave(self, step: int) -> NoReturn:
        number = self._signal or signal.SIGTERM  # another host's
        name = signal.Signals(number).name
        if hosts.first():
            print(f"\n{name}: saved step {step} in {self._run.workdir}; the same command resumes it.", flush=True)
        raise Stopped(0 if number == signal.SIGTERM else 130)

    def _give_up(self, step: int, in_row: int, bar: tqdm) -> None:
        """Saves the state as that of the step it is of: the loop is one step ahead of what it has read."""
        taken, report = self._latest
        if taken > step:
            self._tell(taken, jax.tree.map(np.asarray, report), bar)
        self._save(taken, wait=True)
        raise UserError(
            f"{in_row} updates in a row were not finite (max_skipped_in_row), the last at step {step}; the last "
            f"good state is saved in {self._run.workdir} as step {taken}. A lower learning rate or gradient clipping "
            "may help."
        )


def _not_finite(names: list[str], report: Mapping[str, Any]) -> str:
    """What of a skipped update is not finite, in words."""
    bad = [name for name, loss in zip(names, report["losses"], strict=True) if not np.isfinite(loss)]
    if bad:
        return f"loss of {', '.join(bad)}"
    return "parameters or state after the update" if report["finite_gradient"] else "gradient"


def _finish(run: Run, writer: MetricWriter) -> dict[str, float]:
    steps = run.config.steps
    figures, constant = run.evaluate(), run.evaluate_constant()
    _settle(run)
    writer.write(steps, "validation", figures)
    writer.write(steps, "constant", constant)
    run.draw()
    if hosts.first():
        print(evaluation.table(run.parts.tasks, figures, constant), flush=True)
    return figures


def evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> dict[str, float]:
    """Evaluates the newest checkpoint of a workdir and writes the panel. A run may go on in the workdir meanwhile.

    Raises:
        UserError: where the workdir has no checkpoint, or the config does not fit it.
    """
    config = run_config.checked(config)
    run = Run(config, workdir)
    restored = run.restore()
    if restored is None:
        raise UserError(f"no checkpoint in {str(workdir / CHECKPOINTS)!r}; train first.")
    run.state, step = restored.state, restored.step
    print(f"evaluating step {step} of {workdir}", flush=True)
    figures = run.evaluate()
    run.draw()
    return {"step": step, **figures}


def as_json(figures: Mapping[str, float]) -> str:
    """One JSON object on one line; figures that are not finite are null."""
    return json.dumps({key: value if np.isfinite(value) else None for key, value in figures.items()})
