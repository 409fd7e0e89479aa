"""A training run from start to end, and the evaluation of one that is there."""

import contextlib
import json
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging
from tqdm import tqdm

from mtljax.data import pipeline
from mtljax.errors import UserError
from mtljax.train import config as run_config
from mtljax.train import evaluate as evaluation
from mtljax.train import experiment, panel, state
from mtljax.train.checkpoint import Checkpoints
from mtljax.train.step import make_eval_step, make_train_step
from mtljax.train.writer import MetricWriter

CHECKPOINTS = "checkpoints"
PANEL_FILE = "panel.png"


class Stopped(SystemExit):
    """A run that was asked to stop, and saved its state first."""


class Run:
    """The parts of a run put together: data, steps, state.

    Args:
        config: of the run, checked.
        workdir: where it reads and leaves things.
    """

    def __init__(self, config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
        self.config, self.workdir = config, workdir
        self.parts = experiment.build(config)
        self.validation = self.parts.data.split("validation")
        self.sample = next(iter(self.eval_batches()))
        self._check_labels()
        variables = self.parts.init(self.sample["image"])
        self.optimizer = self.parts.optimizer(variables["params"])
        self.state = self.parts.spread.place_state(state.create(variables, self.parts.balancer, self.optimizer))
        self._check_shapes()
        self._eval_step = self.parts.spread.evaluate(make_eval_step(self.parts.model, self.parts.tasks))

    def open_checkpoints(self) -> Checkpoints:
        """The checkpoints in the workdir."""
        return Checkpoints(self.workdir / CHECKPOINTS, self.config.keep_checkpoints)

    def train_step(self) -> Any:
        """The training step, spread over the devices."""
        step = make_train_step(
            self.parts.model,
            self.parts.tasks,
            self.parts.balancer,
            self.optimizer,
            measure=self.config.measure,
            seed=self.config.seed,
        )
        return self.parts.spread.train(step)

    def train_batches(self) -> Any:
        """A grain iterator over training batches, without end."""
        return pipeline.train_batches(
            self.parts.data.split("train"),
            self.config.batch_size,
            self.config.seed,
            keep=self.parts.labels,
            num_threads=self.config.loader_threads,
        )

    def eval_batches(self) -> Iterator[Any]:
        """The validation split once, in order."""
        return pipeline.eval_batches(self.validation, self.config.batch_size, keep=self.parts.labels)

    def evaluate(self) -> dict[str, float]:
        """The figures of the present state on the validation split."""
        variables = (self.state.params, self.state.model_state)
        return evaluation.evaluate(self._eval_step, variables, self.eval_batches(), self.parts.tasks, self.parts.spread)

    def evaluate_constant(self) -> dict[str, float]:
        """The figures of the best constant predictor on the validation split."""
        train = self.parts.data.split("train")
        number = min(self.config.baseline_examples, len(train))
        chosen = np.linspace(0, len(train) - 1, number).astype(int)
        labels = pipeline.stack([train[int(i)] for i in chosen], keep=self.parts.labels)
        shapes = {name: p.shape for name, p in self._predictions().items()}
        return evaluation.evaluate_constant(labels, self.eval_batches(), self.parts.tasks, shapes)

    def draw(self) -> None:
        """Writes the panel: images spread over the validation split."""
        number = max(1, self.config.panel_images)
        chosen = np.linspace(0, len(self.validation) - 1, self.config.batch_size).astype(int)
        batch = pipeline.stack([self.validation[int(i)] for i in chosen], keep=self.parts.labels)
        _, predictions = self._eval_step(
            (self.state.params, self.state.model_state), self.parts.spread.place_batch(batch)
        )
        file = self.workdir / PANEL_FILE
        try:
            panel.draw_panel(file, batch, self.parts.spread.collect(predictions), self.parts.tasks, number)
        except OSError as error:
            raise UserError(f"cannot write {str(file)!r}: {error.strerror or error}.") from error

    def group_table(self) -> str:
        """Every optimiser group: its number of parameters and its optimiser, as text."""
        counts: dict[str, int] = {}
        labels = self.parts.model.groups(self.state.params)
        for label, leaf in zip(jax.tree.leaves(labels), jax.tree.leaves(self.state.params), strict=True):
            counts[label] = counts.get(label, 0) + leaf.size
        width = max(map(len, counts))
        return "\n".join(f"{g:<{width}}  {n:>12,}  {self.config.optimizers[g]}" for g, n in counts.items())

    def _predictions(self) -> Mapping[str, Any]:
        def predict(variables: Any, batch: Any) -> Any:
            params, model_state = variables
            return self.parts.model.apply({"params": params, **model_state}, batch["image"], camera=batch.get("camera"))

        return jax.eval_shape(predict, (self.state.params, self.state.model_state), dict(self.sample))

    def _check_labels(self) -> None:
        there = [key for key in self.sample if f"{key}_valid" in self.sample]
        for name, task in self.parts.tasks.items():
            for label in task.labels:
                if label not in self.sample:
                    raise UserError(
                        f"task {name!r} reads the label {label!r}, which data {self.config.data!r} does not have "
                        f"(it has {', '.join(there) or 'none'})."
                    )

    def _check_shapes(self) -> None:
        for name, prediction in self._predictions().items():
            task = self.parts.tasks[name]
            for label in task.labels:
                found = self.sample[label].shape
                if len(found) > 3 and found[:-1] != prediction.shape[:-1]:
                    raise UserError(
                        f"task {name!r} predicts shape {prediction.shape}, but its label {label!r} has shape {found}: "
                        "head and label must agree in all axes but the last."
                    )
            try:
                jax.eval_shape(task.loss, prediction, dict(self.sample))
            except (TypeError, ValueError, KeyError) as error:
                raise UserError(f"task {name!r}, prediction of shape {prediction.shape}: {error}") from error


def train(config: ml_collections.ConfigDict, workdir: pathlib.Path, *, allow_config_change: bool = False) -> None:
    """Trains as the config says, from the newest checkpoint in the workdir if there is one.

    Raises:
        UserError: for any mistake in the input, a workdir that cannot be written, or a run of non-finite updates.
        Stopped: after SIGTERM (status 0) or SIGINT (status 130), when the state is saved.
    """
    config = run_config.checked(config)
    run = Run(config, workdir)  # Before the workdir is touched, so that a mistake leaves nothing behind.
    run_config.settle(config, workdir, allow_change=allow_config_change)
    batches = run.train_batches()
    with contextlib.closing(run.open_checkpoints()) as checkpoints:
        restored = checkpoints.restore(run.state, batches)
        start = 0
        if restored is not None:
            run.state, start = restored
            print(f"resuming {workdir} at step {start}", flush=True)
        print(run.group_table(), flush=True)
        writer = MetricWriter(workdir, start)
        with contextlib.closing(writer):
            _Loop(run, batches, checkpoints, writer, start).run()
            _finish(run, writer)


class _Loop:
    def __init__(self, run: Run, batches: Any, checkpoints: Checkpoints, writer: MetricWriter, start: int) -> None:
        self._run, self._batches, self._checkpoints = run, batches, checkpoints
        self._writer, self._start = writer, start
        self._signal: int | None = None
        self._waited = self._began = 0.0

    def run(self) -> None:
        config = self._run.config
        step_fn = self._run.train_step()
        pending: tuple[int, Any] | None = None
        bar = tqdm(total=config.steps, initial=self._start, unit="step", dynamic_ncols=True, disable=None)
        with _on_signals(self._ask_to_stop), bar:
            for step in range(self._start + 1, config.steps + 1):
                batch = self._next_batch(step)
                self._run.state, report = step_fn(self._run.state, batch)
                # One step late, so that reading the figures never holds up the device.
                self._note(pending, bar)
                pending = (step, report)
                bar.update()
                if self._signal is not None:
                    self._note(pending, bar)
                    self._stop(step)
                if step % config.checkpoint_every == 0 and step != config.steps:
                    self._note(pending, bar)
                    pending = None
                    self._checkpoints.save(step, self._run.state, self._batches)
                if step % config.eval_every == 0 and step != config.steps:
                    self._evaluate(step)
            self._note(pending, bar)
        if self._start < config.steps:
            self._checkpoints.save(config.steps, self._run.state, self._batches, wait=True)

    def _next_batch(self, step: int) -> Any:
        begin = time.perf_counter()
        batch = next(self._batches)
        if step == self._start + 2:  # The first step compiles, and the loader fills up meanwhile.
            self._began, self._waited = begin, 0.0
        self._waited += time.perf_counter() - begin
        return self._run.parts.spread.place_batch(batch)

    def _note(self, pending: tuple[int, Any] | None, bar: tqdm) -> None:
        """Reads a step's report: shows it, writes it, and stops the run when too many updates were skipped."""
        if pending is None:
            return
        step, report = pending
        report = jax.tree.map(np.asarray, report)
        names = list(self._run.parts.tasks)
        config = self._run.config
        if not report["finite"]:
            bad = [n for n, loss in zip(names, report["losses"], strict=True) if not np.isfinite(loss)]
            what = f"loss of {', '.join(bad)}" if bad else "gradient"
            bar.write(f"step {step}: non-finite {what}; update skipped ({report['skipped']} in all).", file=sys.stderr)
            if report["skipped_in_row"] >= config.max_skipped_in_row:
                self._give_up(step, int(report["skipped_in_row"]))
        if step % config.log_every == 0 or step == config.steps:
            shown = {n: f"{loss:.3g}" for n, loss in zip(names, report["losses"], strict=True)}
            bar.set_postfix(shown, refresh=False)
            self._writer.write(step, "train", self._figures(names, report))

    def _figures(self, names: list[str], report: Mapping[str, Any]) -> dict[str, float]:
        elapsed = time.perf_counter() - self._began
        present = zip(names, report["losses"], report["present"], strict=True)
        figures = {f"{n}/loss": float(loss) for n, loss, there in present if there}
        figures |= {f"balance/weight/{n}": float(w) for n, w in zip(names, report["weights"], strict=True)}
        if "cosines" in report:
            for i, a in enumerate(names):
                for j, b in enumerate(names[i + 1 :], i + 1):
                    figures[f"balance/cosine/{a}/{b}"] = float(report["cosines"][i, j])
        if self._began and elapsed > 0:
            figures["input/wait_share"] = self._waited / elapsed
        return figures | {"skipped": float(report["skipped"])}

    def _evaluate(self, step: int) -> None:
        self._writer.write(step, "validation", self._run.evaluate())
        self._began = self._waited = 0.0

    def _ask_to_stop(self, number: int, _: Any) -> None:
        self._signal = number

    def _stop(self, step: int) -> None:
        self._checkpoints.save(step, self._run.state, self._batches, wait=True)
        name = signal.Signals(self._signal).name
        print(f"\n{name}: saved step {step} in {self._run.workdir}; the same command resumes it.", flush=True)
        raise Stopped(0 if self._signal == signal.SIGTERM else 130)

    def _give_up(self, step: int, in_row: int) -> None:
        self._checkpoints.save(step, self._run.state, self._batches, wait=True)
        raise UserError(
            f"{in_row} updates in a row were not finite (max_skipped_in_row), the last at step {step}; the last good "
            f"state is saved in {self._run.workdir}. A lower learning rate or gradient clipping may help."
        )


def _finish(run: Run, writer: MetricWriter) -> None:
    steps = run.config.steps
    figures, constant = run.evaluate(), run.evaluate_constant()
    writer.write(steps, "validation", figures)
    writer.write(steps, "constant", constant)
    run.draw()
    print(evaluation.table(run.parts.tasks, figures, constant), flush=True)


def evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> dict[str, float]:
    """Evaluates the newest checkpoint of a workdir and writes the panel.

    Raises:
        UserError: where the workdir has no checkpoint, or the config does not fit it.
    """
    config = run_config.checked(config)
    run = Run(config, workdir)
    with contextlib.closing(run.open_checkpoints()) as checkpoints:
        restored = checkpoints.restore(run.state)
        if restored is None:
            raise UserError(f"no checkpoint in {str(workdir / CHECKPOINTS)!r}; train first.")
        run.state, step = restored
        logging.info("evaluating step %d of %s", step, workdir)
        figures = run.evaluate()
        run.draw()
    return {"step": step, **figures}


def as_json(figures: Mapping[str, float]) -> str:
    """One JSON object on one line; figures that are not finite are null."""
    return json.dumps({key: value if np.isfinite(value) else None for key, value in figures.items()})


@contextlib.contextmanager
def _on_signals(handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
