"""The parts of a run put together: data, model, state, and what is done with them outside the training loop."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from mtljax.data import pipeline
from mtljax.data.hidden import Hidden
from mtljax.data.tolerant import Tolerant
from mtljax.errors import UserError
from mtljax.train import config as run_config
from mtljax.train import evaluate as evaluation
from mtljax.train import experiment, hosts, initial, panel, state
from mtljax.train.checkpoint import Checkpoints
from mtljax.train.group_table import group_table
from mtljax.train.step import make_eval_step, make_train_step

CHECKPOINTS = "checkpoints"
PANEL_FILE = "panel.png"


class Run:
    """The parts of a run put together: data, steps, state.

    Args:
        config: of the run, checked.
        workdir: where it reads and leaves things.
    """

    def __init__(self, config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
        self.config, self.workdir = config, workdir
        self.parts = experiment.build(config)
        training = self.parts.data.split("train")
        if config.missing:
            training = Hidden(training, config.missing, config.seed)
        self.training = Tolerant(training, config.unreadable_share)
        self.validation = self.parts.data.split("validation")
        self.sample = next(iter(self.eval_batches()))
        self._check_labels()
        shapes = self.parts.shapes(self.sample["image"])
        self.optimizer = self.parts.optimizer(shapes["params"])
        self._predictions = self._checked_predictions(shapes, self.sample)
        self._check_augmented(shapes)
        variables = self._start(self.parts.init(self.sample["image"]))
        self.state = self.parts.spread.place_state(state.create(variables, self.parts.balancer, self.optimizer))
        self._eval_step = self.parts.spread.evaluate(
            make_eval_step(self.parts.model, self.parts.tasks, self.parts.spread)
        )

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
            spread=self.parts.spread,
            accumulate=self.config.accumulate,
            vectorised=_vectorised(self.config.jacobian),
        )
        return self.parts.spread.train(step)

    def train_batches(self, start: int = 0) -> Any:
        """A grain iterator over this host's training batches, without end, after `start` examples of all hosts."""
        return pipeline.train_batches(
            self.training,
            self.config.batch_size // hosts.shard()[1],
            self.config.seed,
            keep=self.parts.labels,
            num_threads=self.config.loader_threads,
            shard=hosts.shard(),
            start=start,
            augment=self.parts.augmentation,
        )

    def eval_batches(self, shard: tuple[int, int] | None = None) -> Iterator[Any]:
        """The validation split once, in order; by default, this host's part of it."""
        shard = shard or hosts.shard()
        return pipeline.eval_batches(
            self.validation, self.config.batch_size // shard[1], keep=self.parts.labels, shard=shard
        )

    def evaluate(self, between: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The figures of the present state on the validation split; what `between` raises ends it."""
        variables = (self.state.params, self.state.model_state)
        return evaluation.evaluate(
            self._eval_step, variables, self.eval_batches(), self.parts.tasks, self.parts.spread, between
        )

    def evaluate_constant(self) -> dict[str, float]:
        """The figures of the best constant predictor on the validation split."""
        number = min(self.config.baseline_examples, len(self.training))
        chosen = np.linspace(0, len(self.training) - 1, number).astype(int)
        labels = pipeline.stack([self.training[int(i)] for i in chosen], keep=self.parts.labels)
        shapes = {
            name: (self.config.batch_size, *prediction.shape[1:])
            for name, prediction in self._predictions.items()
            if self.parts.tasks[name].constant is not None
        }
        return evaluation.evaluate_constant(labels, self.eval_batches((0, 1)), self.parts.tasks, shapes)

    def draw(self) -> None:
        """Writes the panel, if one is wanted: images spread over the validation split."""
        number = self.config.panel_images
        if number == 0:
            return
        index, count = hosts.shard()
        chosen = np.linspace(0, len(self.validation) - 1, self.config.batch_size).astype(int)[index::count]
        batch = pipeline.stack([self.validation[int(i)] for i in chosen], keep=self.parts.labels)
        _, predictions = self._eval_step(
            (self.state.params, self.state.model_state), self.parts.spread.place_batch(batch)
        )
        if not hosts.first():
            return
        file = self.workdir / PANEL_FILE
        try:
            panel.draw_panel(file, batch, self.parts.spread.collect(predictions), self.parts.tasks, number)
        except OSError as error:
            raise UserError(f"cannot write {str(file)!r}: {error.strerror or error}.") from error

    def group_table(self) -> str:
        """Every optimiser group: its number of parameters, its optimiser and schedule, as text."""
        params = self.state.params
        return group_table(self.parts.model.groups(params), params, self.config.optimizers)

    def _start(self, variables: Any) -> Any:
        """The variables that training starts from."""
        notes = []
        self.started_from = ""
        if any((self.workdir / CHECKPOINTS).glob("[0-9]*")):
            return variables  # to be replaced by those of the checkpoint
        if self.config.pretrained:
            variables, note = initial.from_file(self.config.pretrained, self.parts.model, variables)
            notes.append(note)
        if self.config.init_from:
            variables, note = initial.from_run(self.config.init_from, variables, newest_variables)
            notes.append(note)
        self.started_from = "".join(f"started from {note}\n" for note in notes)
        return variables

    def _checked_predictions(self, variables: Any, sample: Any) -> Mapping[str, jax.ShapeDtypeStruct]:
        """The shapes of the predictions for a batch, when its labels fit them."""

        def predict(variables: Any, batch: Any) -> Any:
            return self.parts.model.apply(variables, batch["image"], camera=batch.get("camera"))

        predictions = jax.eval_shape(predict, variables, dict(sample))
        self._check_predictions(predictions, sample)
        return predictions

    def _check_augmented(self, variables: Any) -> None:
        """Whether the model fits the size of augmented images, which need not be that of the validation's."""
        if self.parts.augmentation is None:
            return
        first = self.parts.augmentation(self.training[0], np.random.default_rng(self.config.seed))
        one = pipeline.stack([first], keep=self.parts.labels)
        sample = jax.tree.map(lambda x: jax.ShapeDtypeStruct((self.config.batch_size, *x.shape[1:]), x.dtype), one)
        found, before = sample["image"].shape, self.sample["image"].shape
        if found == before:
            return
        if self.parts.shapes(sample["image"]) != variables:
            raise UserError(
                f"augment={self.config.augment!r} makes images of shape {found[1:]}; those of validation have shape "
                f"{before[1:]}, and the parameters of model {self.config.model!r} depend on it. Expected an "
                "augmentation that keeps it."
            )
        self._checked_predictions(variables, sample)

    def _check_labels(self) -> None:
        there = [key for key in self.sample if f"{key}_valid" in self.sample]
        for name, task in self.parts.tasks.items():
            for label in task.labels:
                if label not in self.sample:
                    raise UserError(
                        f"task {name!r} reads the label {label!r}, which data {self.config.data!r} does not have "
                        f"(it has {', '.join(there) or 'none'})."
                    )

    def _check_predictions(self, predictions: Any, sample: Any) -> None:
        for name, prediction in predictions.items():
            task = self.parts.tasks[name]
            for label in task.labels:
                found = sample[label].shape
                if len(found) > 3 and found[:-1] != prediction.shape[:-1]:
                    raise UserError(
                        f"task {name!r} predicts shape {prediction.shape}, but its label {label!r} has shape {found}: "
                        "head and label must agree in all axes but the last."
                    )
            try:
                jax.eval_shape(task.loss, prediction, dict(sample))
            except (TypeError, ValueError, KeyError) as error:
                shapes = jax.tree.map(lambda x: x.shape, prediction)
                raise UserError(f"task {name!r}, prediction of shape {shapes}: {error}") from error


def newest_variables(workdir: pathlib.Path) -> tuple[int, dict[str, Any]]:
    """The step and the variables of the newest checkpoint of a run.

    Raises:
        UserError: where there is none.
    """
    run = Run(run_config.checked(run_config.load(workdir / run_config.CONFIG_FILE)), workdir)
    with contextlib.closing(run.open_checkpoints()) as checkpoints:
        restored = checkpoints.restore(run.parts.spread.to_disk(run.state))
    if restored is None:
        raise UserError(f"no checkpoint in {str(workdir / CHECKPOINTS)!r}; train first.")
    state = run.parts.spread.to_disk(run.parts.spread.place_state(restored.state))
    variables = {"params": state.params, **state.model_state}
    return restored.step, jax.tree.map(np.asarray, variables)


def _vectorised(jacobian: str) -> bool:
    """Whether rows of the Jacobian are computed under `vmap`.

    On the CPU, `vmap` took 1.2 times as long for the quick start's encoder (benchmarks/README.md), with T times the
    memory for what is between the layers. On accelerators it has not been measured; there too memory decides.
    """
    return jacobian == "vmap"
