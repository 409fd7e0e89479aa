"""The parts of a run put together: data, model, state, and what is done with them outside the training loop."""

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
from mtljax.train.config import data_checks, experiment
from mtljax.train.config import default as run_config
from mtljax.train.config.group_table import group_table, task_order
from mtljax.train.config.task_checks import check_labels_there, check_on_host, check_shapes
from mtljax.train.run import evaluate as evaluation
from mtljax.train.run import initial, panel
from mtljax.train.run.checkpoint import Checkpoints, Restored, finished, restore
from mtljax.train.run.workdir import replacing
from mtljax.train.spread import hosts
from mtljax.train.step import state
from mtljax.train.step.step import make_eval_step, make_predict_step, make_train_step

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
        data_checks.check_layout(self.sample["image"][0], "a validation image")
        shapes = self.parts.shapes(self.sample["image"])
        self.optimizer = self.parts.optimizer(shapes["params"])
        self._predictions = self._checked_predictions(shapes, self.sample)
        self._check_augmented(shapes)
        variables = self._start(self.parts.init(self.sample["image"]))
        self.state = self.parts.spread.place_state(state.create(variables, self.parts.balancer, self.optimizer))
        self._eval_step = self.parts.spread.evaluate(
            make_eval_step(self.parts.model, self.parts.tasks, self.parts.spread)
        )
        drawn = [name for name, task in self.parts.tasks.items() if task.draw is not None]
        self._predict_step = self.parts.spread.evaluate(make_predict_step(self.parts.model, drawn))

    def open_checkpoints(self) -> Checkpoints:
        """The checkpoints in the workdir, to add to; for the one run that trains in it."""
        return Checkpoints(self.workdir / CHECKPOINTS, self.config.keep_checkpoints)

    def check(self) -> list[str]:
        """Tries before training what would fail, or mislead, at its end; see `mtljax.train.data_checks`.

        Returns:
            Notes on what may be meant, and more often is not.

        Raises:
            UserError: for what is surely wrong with the data, or with a task on it.
        """
        check_on_host(
            self.parts.tasks, self._predictions, self.sample, draws=self.config.panel_images > 0 and hosts.first()
        )
        indices, examples = data_checks.sampled(self.training, self.config.loader_threads)
        notes = [*self._idle_balancer(), *data_checks.look_at_images(indices, examples)]
        prepare = pipeline.Prepare((*self.parts.labels, "segmentations"))
        examples = [
            self._augmented(prepare.chosen(example), int(i)) for i, example in zip(indices, examples, strict=True)
        ]
        where = f"the training split of data {self.config.data!r}"
        notes += data_checks.look_at_labels(self.parts.tasks, indices, examples, where)
        return [*notes, *data_checks.ask_tasks(self.parts.tasks, self.sample, "the first validation examples")]

    def restore(self) -> Restored | None:
        """The newest checkpoint in the workdir, its state placed as steps want it; the workdir is only read."""
        found = restore(self.workdir / CHECKPOINTS, self.parts.spread.to_disk(self.state))
        return found and found._replace(state=self.parts.spread.place_state(found.state))

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
            raw=True,
        )

    def eval_batches(self, shard: tuple[int, int] | None = None, *, raw: bool = False) -> Iterator[Any]:
        """The validation split once, in order; by default, this host's part of it. Images of 8 bits may stay `raw`."""
        shard = shard or hosts.shard()
        return pipeline.eval_batches(
            self.validation,
            self.config.batch_size // shard[1],
            keep=self.parts.labels,
            num_threads=self.config.loader_threads,
            shard=shard,
            raw=raw,
        )

    def evaluate(self, between: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The figures of the present state on the validation split; what `between` raises ends it."""
        variables = (self.state.params, self.state.model_state)
        return evaluation.evaluate(
            self._eval_step, variables, self.eval_batches(raw=True), self.parts.tasks, self.parts.spread, between
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
        _, predictions = self._predict_step(
            (self.state.params, self.state.model_state), self.parts.spread.place_batch(batch)
        )
        if not hosts.first():
            return
        file = self.workdir / PANEL_FILE
        try:
            with replacing(file) as temporary:
                panel.draw_panel(temporary, batch, self.parts.spread.collect(predictions), self.parts.tasks, number)
        except OSError as error:
            raise UserError(f"cannot write {str(file)!r}: {error.strerror or error}.") from error

    def group_table(self) -> str:
        """Every optimiser group: its number of parameters, its optimiser and schedule, as text."""
        params = self.state.params
        table = group_table(self.parts.model.groups(params), params, self.config.optimizers)
        return f"{table}\n{task_order(self.parts.tasks)}"

    def _start(self, variables: Any) -> Any:
        """The variables that training starts from."""
        notes = []
        self.started_from = ""
        if finished(self.workdir / CHECKPOINTS):
            return variables  # to be replaced by those of the checkpoint
        if self.config.pretrained:
            size = self.sample["image"].shape[-3:-1]
            variables, note = initial.from_file(self.config.pretrained, self.parts.model, variables, size)
            notes.append(note)
        if self.config.init_from:
            there = run_config.load(pathlib.Path(self.config.init_from) / run_config.CONFIG_FILE)
            other = experiment.build(run_config.checked(there)).model
            initial.check_normalised(self.config.init_from, other, self.parts.model, self.config.model)
            variables, note = initial.from_run(self.config.init_from, variables, newest_variables)
            notes.append(note)
        self.started_from = "".join(f"started from {note}\n" for note in notes)
        return variables

    def _checked_predictions(self, variables: Any, sample: Any) -> Mapping[str, jax.ShapeDtypeStruct]:
        """The shapes of the predictions for a batch, when its labels fit them."""

        def predict(variables: Any, batch: Any) -> Any:
            return self.parts.model.apply(variables, batch["image"], camera=batch.get("camera"))

        predictions = jax.eval_shape(predict, variables, dict(sample))
        check_shapes(self.parts.tasks, predictions, sample)
        return predictions

    def _idle_balancer(self) -> Iterator[str]:
        groups = set(jax.tree.leaves(self.parts.model.groups(self.state.params)))
        if self.parts.balancer.sees != "losses" and len(self.parts.tasks) > 1 and groups <= set(self.parts.tasks):
            yield (
                f"balance={self.config.balance!r} balances gradients of what tasks share, and in model "
                f"{self.config.model!r} they share nothing: it changes nothing."
            )

    def _augmented(self, example: Any, index: int) -> Any:
        """A training example, augmented in one of the ways that it may be."""
        if self.parts.augmentation is None:
            return example
        return self.parts.augmentation(example, np.random.default_rng([self.config.seed, index]))

    def _check_augmented(self, variables: Any) -> None:
        """Whether the model fits the size of augmented images, which need not be that of the validation's."""
        if self.parts.augmentation is None:
            return
        first = self._augmented(self.training[0], 0)
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
        for task in self.parts.tasks.values():
            if not set(task.labels) <= set(self.sample):
                check_labels_there(task, self.validation[0], f"data {self.config.data!r}")


def newest_variables(workdir: pathlib.Path) -> tuple[int, dict[str, Any]]:
    """The step and the variables of the newest checkpoint of a run.

    Raises:
        UserError: where there is none.
    """
    run = Run(run_config.checked(run_config.load(workdir / run_config.CONFIG_FILE)), workdir)
    restored = run.restore()
    if restored is None:
        raise UserError(f"no checkpoint in {str(workdir / CHECKPOINTS)!r}; train first.")
    state = run.parts.spread.to_disk(restored.state)
    variables = {"params": state.params, **state.model_state}
    return restored.step, jax.tree.map(np.asarray, variables)


def _vectorised(jacobian: str) -> bool:
    """Whether rows of the Jacobian are computed under `vmap`.

    On the CPU, `vmap` took 1.2 times as long for the quick start's encoder (benchmarks/README.md), with T times the
    memory for what is between the layers. On accelerators it has not been measured; there too memory decides.
    """
    return jacobian == "vmap"
