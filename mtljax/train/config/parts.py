"""The parts of a run, and what they give: splits, batches, variables, the optimiser, the training step."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from mtljax import models
from mtljax.balance import Balancer
from mtljax.data import DataSet, Source, pipeline
from mtljax.data.augment import Augmentation
from mtljax.data.hidden import Hidden
from mtljax.data.kinds import kinds_of
from mtljax.data.tolerant import Tolerant
from mtljax.errors import UserError, told
from mtljax.tasks import Task
from mtljax.train.config import decay
from mtljax.train.config.default import RunConfig
from mtljax.train.config.group_table import group_table, task_order
from mtljax.train.config.labels_read import labels_of
from mtljax.train.config.learning_rates import Rates
from mtljax.train.config.part_of_data import part_of
from mtljax.train.config.seeded import TrainStep, noise_of
from mtljax.train.spread import hosts
from mtljax.train.spread.parallel import ONCE, Spread
from mtljax.train.spread.program import Program
from mtljax.train.step import state, streams
from mtljax.train.step.affinity import make_affinity_step
from mtljax.train.step.ahead import HELD_OUT
from mtljax.train.step.step import make_cosine_step, make_train_step
from mtljax.train.step.streaming import way_of


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The parts of a run.

    Attributes:
        config: the checked config they were made from.
        data: the data set.
        tasks: name -> task, in the order of the losses.
        model: the Flax module.
        balancer: over the tasks.
        transforms: group -> optax transformation.
        spread: how steps run on the devices.
        augmentation: what is done to the training examples, if anything.
        rates: group -> its learning rate, a number or a schedule; of those that the config tells.
        programs: what has been compiled, and found out of shapes, by name; experiments that differ in nothing but their
            seed may share it (`mtljax.train.config.programs.Programs`).
    """

    config: RunConfig
    data: DataSet
    tasks: Mapping[str, Task]
    model: Any
    balancer: Balancer
    transforms: Mapping[str, optax.GradientTransformation]
    spread: Spread
    augmentation: Augmentation | None
    rates: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    programs: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    def program(self, name: str, make: Callable[[], Any]) -> Program:
        """The program of a name; where there is none yet, of the jitted or mapped function that is made."""
        if name not in self.programs:
            self.programs[name] = Program(make())
        return self.programs[name]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that any task reads, and that in the place of the image, if any."""
        own = (self.config.input,) if self.config.input else ()
        return tuple(dict.fromkeys((*labels_of(self.tasks), *own)))

    @functools.cached_property
    def training(self) -> Tolerant:
        """The training split without unreadable records: a part of it, and labels hidden, where the config wants it.

        Without those that are kept aside for the balancer, if it needs a validation batch.

        Raises:
            UserError: where a part is less than a batch.
        """
        split = self.data.split("train")
        if self.balancer.needs:
            split = part_of(split, self.config, "validation_share", rest=True)
        if self.config.train_share < 1:
            split = part_of(split, self.config, "train_share")
        return self._as_trained(split)

    @functools.cached_property
    def held_out(self) -> Tolerant:
        """The part of the training split that is kept aside for a balancer that needs a validation batch.

        Raises:
            UserError: where it is less than a batch.
        """
        return self._as_trained(part_of(self.data.split("train"), self.config, "validation_share"))

    def _as_trained(self, split: Source) -> Tolerant:
        if self.config.missing:
            split = Hidden(split, self.config.missing, self.config.seed, shown=(self.config.input,))
        return Tolerant(split, self.config.unreadable_share)

    @functools.cached_property
    def validation(self) -> Source:
        """The validation split."""
        return self.data.split("validation")

    def train_batches(self, start: int = 0) -> Any:
        """This host's training batches, without end, after `start` examples of all hosts.

        For a balancer that needs one, each with a validation batch, as `held_out`.
        """
        found = self._batches(self.training, self.config.seed, start)
        if not self.balancer.needs:
            return found
        others = self._batches(self.held_out, streams.seed_of(self.config.seed, HELD_OUT), start)
        return ({**batch, HELD_OUT: other} for batch, other in zip(found, others, strict=True))

    def _batches(self, split: Source, seed: int, start: int) -> Iterator[Any]:
        return pipeline.train_batches(
            split,
            self.config.batch_size // hosts.shard()[1],
            seed,
            keep=self.labels,
            num_threads=self.config.loader_threads,
            shard=hosts.shard(),
            start=start,
            augment=self.augmentation,
            kinds=kinds_of(self.data),
            raw=True,
            label=self.config.input,
        )

    def eval_batches(self, shard: tuple[int, int] | None = None, *, raw: bool = False) -> Iterator[Any]:
        """The validation split once, in order; by default, this host's part of it. Images of 8 bits may stay `raw`."""
        shard = shard or hosts.shard()
        return pipeline.eval_batches(
            self.validation,
            self.config.batch_size // shard[1],
            keep=self.labels,
            num_threads=self.config.loader_threads,
            shard=shard,
            raw=raw,
            label=self.config.input,
        )

    def batch_of(self, source: Source, indices: Sequence[int] | np.ndarray) -> Any:
        """Some examples of a split as one batch of NumPy arrays."""
        return pipeline.stack([source[int(i)] for i in indices], keep=self.labels, label=self.config.input)

    def augmented(self, example: Any, index: int) -> Any:
        """A training example, augmented in one of the ways that it may be."""
        if self.augmentation is None:
            return example
        return self.augmentation(example, np.random.default_rng([self.config.seed, index]), kinds_of(self.data))

    def optimizer(self, params: Any) -> optax.GradientTransformationExtraArgs:
        """The optax partition over the model's groups of parameters.

        A special group, such as `stitch`, that the config does not name has the optimiser of `shared`; which stands
        idle where the model shares nothing.
        """
        groups = self.model.groups(params)
        found = set(jax.tree.leaves(groups))
        transforms = {g: t for g, t in self.transforms.items() if g in found or g != models.SHARED}
        if models.SHARED in self.transforms:
            for special in found.intersection(self.model.special_groups):
                transforms.setdefault(special, self.transforms[models.SHARED])
        if self.config.no_decay:
            decay.check(self.config.no_decay, params, self.config.optimizers)
        return state.partition(transforms, groups, self.config.clip_norm)

    def train_step(self, optimizer: optax.GradientTransformation) -> TrainStep:
        """The training step, `(state, batch) -> (state, report)`, spread over the devices.

        Args:
            optimizer: over all parameters, as the method `optimizer` gives it.
        """

        def made() -> Any:
            step = make_train_step(
                self.model,
                self.tasks,
                self.balancer,
                optimizer,
                measure=self.config.measure,
                spread=self.spread,
                accumulate=self.config.accumulate,
                affinity=self._sees_first_order,
                **way_of(self.config.jacobian),
            )
            return self.spread.train(step, 1)

        return TrainStep(self.program("train", made), self.config.seed, self.spread.place_state)

    def cosines(self) -> Callable[[Any, Any], Any] | None:
        """`(state, batch) -> {"cosines": (T, T)}` of gradients on the shared parameters, before the step on that batch.

        None where the config does not ask for it, or the balancer sees them in its own step.
        """
        if not self.config.cosines_every or self.balancer.sees != "losses":
            return None
        options: dict[str, Any] = {"accumulate": self.config.accumulate, **way_of(self.config.jacobian)}
        options["streamed"] = self.config.accumulate == 1 and options["streamed"]  # else parts are held to be added up

        def made() -> Any:
            return self.spread.evaluate(make_cosine_step(self.model, self.tasks, self.spread, **options))

        program = self.program("cosines", made)
        noise = self.spread.place_state(noise_of(self.config.seed))
        return lambda state, batch: program((state.params, state.model_state, state.step, noise), batch)[0]

    @property
    def measures_affinity(self) -> bool:
        """Whether the config asks for affinities, and there are tasks that may have some."""
        return self.config.affinity_every > 0 and len(self.tasks) > 1

    @property
    def _sees_first_order(self) -> bool:
        """Whether the training step has all that the affinity to first order takes, and is to report it."""
        return self.measures_affinity and self.balancer.sees != "losses"

    def affinity(self) -> Callable[[Any, Any], Any] | None:
        """`(state, batch) -> affinities` on the shared parameters, before the step on that batch; see `step.affinity`.

        None where the config does not ask for them, or the training step reports all that it asks for.
        """
        exact, first = self.config.affinity_step > 0, not self._sees_first_order
        if not self.measures_affinity or not (exact or first):
            return None
        parts = max(self.config.accumulate, self.balancer.samples)
        options = {"accumulate": parts, "exact": exact, "first": first}

        def made() -> Any:
            return self.spread.evaluate(make_affinity_step(self.model, self.tasks, self.spread, **options))

        program = self.program("affinity", made)
        known = self.spread.place_state((noise_of(self.config.seed), np.float32(self.config.affinity_step)))
        return lambda state, batch: program((state.params, state.model_state, state.step, *known), batch)[0]

    def shapes(self, images: Any) -> Any:
        """The shapes of the model's variables, without computing any.

        Args:
            images: of a batch, or the tree of arrays that the model is given for them.

        Raises:
            UserError: where the model does not fit the images.
        """
        try:
            return jax.eval_shape(self.model.init, jax.random.key(self.config.seed), images)
        except Exception as error:  # of whatever kind: Flax has its own, and modules theirs
            given = f"images of shape {images.shape}" if hasattr(images, "shape") else f"inputs {_shown(images)}"
            raise UserError(f"model {self.config.model!r} on {given}: {told(error)}") from error

    def init(self, images: Any) -> Any:
        """The model's variables, from the config's seed."""
        init = self.program("init", lambda: jax.jit(self.model.init, compiler_options=ONCE))
        return init(jax.random.key(self.config.seed), images)

    def first_state(self, images: Any, optimizer: optax.GradientTransformation) -> state.TrainState:
        """The state before the first step, from the config's seed, made in one program and where the steps want it.

        Args:
            images: of a batch, or the tree of arrays that the model is given for them.
            optimizer: over all parameters, as the method `optimizer` gives it.
        """

        def made(key: jax.Array, images: Any) -> state.TrainState:
            return state.without_balance(self.model.init(key, images), optimizer)

        begin = self.program("begin", lambda: self.spread.begin(made))
        unbalanced = begin(jax.random.key(self.config.seed), images)
        # A balancer may keep the seed, which no program that others share may hold.
        return unbalanced.replace(balance=self.spread.place_state(self.balancer.init(unbalanced.params)))

    def learning_rates(self, updates: int) -> dict[str, float]:
        """Group -> its learning rate after so many updates, as far as the config tells; one that stood still lags."""
        return self._rates.after(updates)

    @functools.cached_property
    def _rates(self) -> Rates:
        return Rates(self.rates)

    def group_table(self, params: Any) -> str:
        """Every optimiser group: its number of parameters, its optimiser and schedule; and the tasks' order."""
        table = group_table(self.model.groups(params), params, self.config.optimizers)
        return f"{table}\n{task_order(self.tasks)}"


def _shown(tree: Any) -> str:
    """The shapes of a tree of arrays, by their names."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return ", ".join(f"{jax.tree_util.keystr(path)} {leaf.shape}" for path, leaf in leaves)
