"""The loop over steps: it reads each step's report one step late, and saves, evaluates and stops when it is time."""

import contextlib
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import jax

from mtljax.errors import UserError
from mtljax.train.config.parts import Experiment
from mtljax.train.run import config_file, frozen_networks, inputs_file, signals
from mtljax.train.run.bar import Bar
from mtljax.train.run.best import Best
from mtljax.train.run.checkpoint import Checkpoints, Restored
from mtljax.train.run.divergence import Divergence
from mtljax.train.run.looks import Looks
from mtljax.train.run.profile import Profile
from mtljax.train.run.record import EVALUATION, TRAINING, Record
from mtljax.train.run.report import check_losses, figures_of, not_finite
from mtljax.train.run.writer import MetricWriter, Silent
from mtljax.train.spread import hosts, program


class Stopped(SystemExit):
    """A run that was asked to stop, and saved its state first."""


def settle(parts: Experiment, workdir: pathlib.Path) -> None:
    """Writes the config into the workdir: where it changes one that is there, only when what it asks for has worked.

    And what the model is given and taught, so that it predicts without the data.
    """
    if hosts.first():
        frozen_networks.note(parts, workdir)
        config_file.write(parts.config, workdir)
        inputs_file.leave(parts, workdir)


class _Asked(Exception):
    """A signal has come in the middle of an evaluation, or while something compiles."""


class Loop:
    """The loop over steps, and the state that it moves.

    Args:
        parts: of the run.
        workdir: of the run.
        begun: what the run starts or goes on from.
        step: `(state, batch) -> (state, report)`.
        evaluate: `(state, between) -> figures`, as `evaluation.evaluator` makes it.
        batches: to train on.
        checkpoints: to add to.
        writer: of figures.
        record: of the run.
        looks: what is measured beside the steps, if anything.
        best: what keeps the best checkpoint, if anything.
    """

    def __init__(
        self,
        parts: Experiment,
        workdir: pathlib.Path,
        begun: Restored,
        step: Callable[..., tuple[Any, Any]],
        evaluate: Callable[..., dict[str, float]],
        batches: Iterator[Any],
        checkpoints: Checkpoints,
        writer: MetricWriter | Silent,
        record: Record,
        looks: Looks | None = None,
        best: Best | None = None,
    ) -> None:
        self.parts, self.workdir, self.writer, self.record = parts, workdir, writer, record
        self.state, self._start = begun.state, begun.step
        self.evaluate, self._step, self._looks = evaluate, step, looks
        self._profile = Profile(parts.config.profile, begun.step, workdir)
        self._batches, self._checkpoints, self._best = batches, checkpoints, best
        # More or less where the batch size was another before.
        self._seen = begun.examples - begun.step * parts.config.batch_size
        self._latest: tuple[int, Any] = (begun.step, None)  # the step that the state is of, and its report
        self._pending: tuple[int, Any] | None = None  # a step and its report, which has not been read
        self._signal: int | None = None
        self._divergence = Divergence(parts.tasks, parts.config.dtype)
        self._waited = 0.0  # seconds for data, since
        self._timed_from: float | None = None
        self._timed_after = 0  # the step that was taken by then

    def run(self) -> None:
        """Takes the steps that are left, and saves the state at the end."""
        bar = Bar(self.parts.config.steps, self._start, silent=not hosts.first())
        with signals.saving(self._ask_to_stop) as something_to_save, bar, self.record.clock.spent(TRAINING):
            try:
                with self._profile.closing(), program.watching(lambda seconds: self._compiling(seconds, bar)):
                    self._steps(bar, something_to_save)
            except _Asked:
                self._note_pending(bar)
                self._stop(self._latest[0])
            except Exception as error:
                self._save_before(error, bar)
                raise

    def _steps(self, bar: Bar, something_to_save: Callable[[], None]) -> None:
        config = self.parts.config
        for step in range(self._start + 1, config.steps + 1):
            batch = self._next_batch(step)
            report = self._take(step, batch)
            if step == self._start + 1:
                self.record.dispatched()
                self._begin()
                something_to_save()
            # One step late, so that reading the figures never holds up the device.
            self._note_pending(bar)
            self._pending = (step, report)
            bar.step()
            if self._stops(step):
                self._note_pending(bar)
                self._stop(step)
            saves, evaluates = (
                step != config.steps and step % n == 0 for n in (config.checkpoint_every, config.eval_every)
            )
            if saves or evaluates:
                self._note_pending(bar)
                with bar.aside():
                    self._save_and_evaluate(step, saves, evaluates)
        self._note_pending(bar)
        if self._start < config.steps:
            self._save(config.steps, wait=True)
        if self._signal is not None and hosts.shard()[1] == 1:
            self._leave(config.steps)
        signals.keeps(f"step {config.steps}, the last, is kept in {self.workdir}")

    def _save_and_evaluate(self, step: int, saves: bool, evaluates: bool) -> None:
        if saves:
            self._save(step)
        if evaluates:
            self._evaluate(step)

    def _compiling(self, seconds: float, bar: Bar) -> None:
        bar.compiling(seconds)
        self._leave_if_asked()

    def _save_before(self, error: Exception, bar: Bar) -> None:
        """Saves what there is before an error ends the run; one of the input says itself what is left."""
        step = self._latest[0]
        gone = any(leaf.is_deleted() for leaf in jax.tree.leaves(self.state) if isinstance(leaf, jax.Array))
        if isinstance(error, UserError) or step == self._start or gone or hosts.shard()[1] > 1:
            return
        with contextlib.suppress(Exception):  # it is the first error that counts
            self._note_pending(bar)
            self._save(step, wait=True)
            print(f"\n{type(error).__name__}: saved step {step} in {self.workdir}.", file=sys.stderr, flush=True)

    def _next_batch(self, step: int) -> Any:
        begin = time.perf_counter()
        batch = next(self._batches)
        if self._timed_from is None and step > self._start + 1:  # The first step compiles.
            self._timed_from, self._timed_after, self._waited = begin, step - 1, 0.0
        self._waited += time.perf_counter() - begin
        return self.parts.spread.place_batch(batch)

    def _take(self, step: int, batch: Any) -> Mapping[str, Any]:
        # Before the step, which gives up the state.
        seen = {} if self._looks is None else self._looks.before(step, self.state, batch)
        self.state, report = self._profile.take(step, lambda: self._step(self.state, batch))
        self._latest = (step, {**report, **seen})
        return self._latest[1]

    def _note_pending(self, bar: Bar) -> None:
        """Reads a step's report: shows it, writes it, and stops the run when too many updates were skipped."""
        if self._pending is None:
            return
        (step, report), self._pending = self._pending, None
        report = jax.device_get(report)
        looked = self._looks is not None and self._looks.due(step)
        if looked:
            self.record.pause()
        self.record.read(step, report, writes=self._writes(step) or looked)
        self._tell(step, report, bar)
        if told := self._divergence.note(step, report):
            bar.write(told)
        check_losses(self.parts, step, report)
        if report["skipped_in_row"] >= self.parts.config.max_skipped_in_row:
            self._give_up(step, int(report["skipped_in_row"]), bar)

    def _tell(self, step: int, report: Mapping[str, Any], bar: Bar) -> None:
        names = list(self.parts.tasks)
        if not report["finite"]:
            what = not_finite(names, report)
            bar.write(f"step {step}: non-finite {what}; update skipped ({report['skipped']} in all).")
        beside = {} if self._looks is None else self._looks.read(step, report)
        if self._writes(step):
            shown = {n: f"{loss:.3g}" for n, loss in zip(names, report["losses"], strict=True)}
            bar.losses(shown)
            self.writer.write(step, "train", self._figures(step, report) | beside, self._speed(step))
        elif beside:
            self.writer.write(step, "train", beside)

    def _writes(self, step: int) -> bool:
        return step % self.parts.config.log_every == 0 or step == self.parts.config.steps

    def _figures(self, step: int, report: Mapping[str, Any]) -> dict[str, float]:
        """What is written of a step: of its report, learning rates, and of the reading of data."""
        figures = figures_of(list(self.parts.tasks), report)
        before = int(report["skipped"]) - (not report["finite"])  # updates that were left out before this one
        rates = self.parts.learning_rates(step - 1 - before)
        figures |= {f"learning_rate/{group}": rate for group, rate in rates.items()}
        if self._timed_from is not None:
            figures["input/wait_share"] = self._waited / (time.perf_counter() - self._timed_from)
        counts = {"skipped": report["skipped"], "input/unreadable": self.parts.training.unreadable}
        return figures | {name: float(count) for name, count in counts.items()}

    def _speed(self, step: int) -> dict[str, float]:
        """Steps a second since the last evaluation, and at this rate the time that is left."""
        if self._timed_from is None or step <= self._timed_after:
            return {}
        rate = (step - self._timed_after) / (time.perf_counter() - self._timed_from)
        return {"speed/steps_per_second": rate, "speed/seconds_left": (self.parts.config.steps - step) / rate}

    def _save(self, step: int, *, wait: bool = False) -> None:
        self._save_to(self._checkpoints, step, wait=wait, **({} if self._looks is None else self._looks.kept()))
        if self._looks is not None:
            self._looks.write(self.workdir, step)
        self.record.pause()
        self.record.write()

    def _save_to(self, checkpoints: Checkpoints, step: int, **how: Any) -> None:
        examples = self._seen + step * self.parts.config.batch_size
        state = self.parts.spread.to_disk(frozen_networks.without(self.state))
        checkpoints.save(step, state, examples, **how)

    def keep_if_best(self, step: int, figures: Mapping[str, float]) -> None:
        """Keeps the state, which is that of a step, where these figures of it are the best so far."""
        if self._best is not None:
            self._best.note(step, figures, self._save_to)

    def _stops(self, step: int) -> bool:
        """Whether a signal has come. All hosts stop at one step: they ask each other, but not at every step."""
        if hosts.shard()[1] == 1:
            return self._signal is not None
        return step % self.parts.config.log_every == 0 and hosts.anywhere(self._signal is not None)

    def _evaluate(self, step: int) -> None:
        try:
            with self.record.clock.spent(EVALUATION):
                figures = self.evaluate(self.state, self._leave_if_asked)
        except _Asked:
            self._stop(step)
        self.keep_if_best(step, figures)
        self.writer.write(step, "validation", figures)
        self._timed_from = None
        self.record.pause()
        self.record.write()

    def _begin(self) -> None:
        """Changes the workdir of an earlier run: not before a step has shown that this one can go on from it."""
        settle(self.parts, self.workdir)
        self.writer.begin()
        self.record.begin()

    def _leave_if_asked(self) -> None:
        """Ends an evaluation or a wait where a signal has come; not with other hosts, whose devices wait for ours."""
        if self._signal is not None and hosts.shard()[1] == 1:
            raise _Asked

    def _ask_to_stop(self, number: int) -> None:
        self._signal = number

    def _stop(self, step: int) -> NoReturn:
        if step > self._start:
            self._save(step, wait=True)
        self._leave(step)

    def _leave(self, step: int) -> NoReturn:
        number = self._signal or signal.SIGTERM  # another host's
        name = signal.Signals(number).name
        if hosts.first() and step == self._start:
            kept = f"step {step} is kept in {self.workdir}" if step else "nothing is to be saved"
            print(f"\n{name}: {kept}; the same command starts it again or goes on.", flush=True)
        elif hosts.first():
            print(f"\n{name}: saved step {step} in {self.workdir}; the same command resumes it.", flush=True)
        raise Stopped(0 if number == signal.SIGTERM else 130)

    def _give_up(self, step: int, in_row: int, bar: Bar) -> None:
        """Saves the state as that of the step it is of: the loop is one step ahead of what it has read."""
        taken, report = self._latest
        if taken > step:
            self._tell(taken, jax.device_get(report), bar)
        self._save(taken, wait=True)
        error = UserError(
            f"{in_row} updates in a row were not finite (max_skipped_in_row), the last at step {step}; the last "
            f"good state is saved in {self.workdir} as step {taken}. {self._divergence.advice()}"
        )
        hosts.raised_by_all(error)  # which all have seen
        raise error
