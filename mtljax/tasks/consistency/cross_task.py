"""Perceptual losses: a prediction must look as its label does through networks to other labels."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mtljax.errors import UserError, unknown
from mtljax.models.heads.frozen import FROZEN, Frozen
from mtljax.tasks.consistency.network import Finder, LabelNetwork
from mtljax.tasks.labels import fits, labels_of
from mtljax.tasks.losses.masked import number
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.metrics.not_finite import NOT_FINITE, of_numbers
from mtljax.tasks.task import Batch, Metric, Task

_STREAM = zlib.crc32(b"cross_task") >> 1  # of random numbers; a key takes 31 bits

Prediction = Mapping[str, Any]


def cross_task(
    target: str,
    through: Mapping[str, str],
    k: int | None = None,
    every: int = 100,
    activation: Callable[[jax.Array], jax.Array] | None = None,
    name: str = "cross_task",
    networks: Finder | None = None,
) -> tuple[Task, ...]:
    """Perceptual losses of cross-task consistency (Zamir et al. 2020): a task for each network that is looked through.

    A network f was trained from a label y to another one (`config.input`, such as 'normal') and stands still. The loss
    is `|f(p) - f(y)|` of a prediction p of y: both pass through the same network, so that it need not be right, and not
    against the other label. It is a mean over pixels with a label, and over the channels of f. Balance them with
    `xtc(direct=target)`.

    Networks are no parameters: no optimiser moves them and no checkpoint holds them. A run knows them by the step and
    the checksum that they had when it started, in `frozen.json` of its workdir.

    Args:
        target: name of the task that predicts p, a map (B, s, H, W, C); more channels than the label's are left out.
        through: name of a task of f -> workdir of f's run.
        k: how many of the losses are active at a time, drawn at random; by default all of them. Others count 0.
        every: training steps after which others are drawn, such as those of an epoch.
        activation: what makes a label of a prediction: `sigmoid` of the logits of edges.
        name: with which the tasks' names begin.
        networks: finds a network by its workdir; a run gives it.

    Returns:
        The tasks, named `<name>_<task of f>`; their metric is `distance`, the mean of the loss.

    Raises:
        UserError: for no network, one that was trained from images or another label than the others, a task that it
            does not have, or k out of range.
    """
    if networks is None:
        raise UserError(f"{name}(through=...) reads networks from workdirs, which a run does; give networks=.")
    if not isinstance(through, Mapping) or not through:
        raise UserError(f"{name}(through={through!r}): expected a dict, such as {{'edges': 'runs/normals_to_edges'}}.")
    if k is not None and not (isinstance(k, int) and 1 <= k <= len(through)):
        raise UserError(f"{name}(k={k!r}): expected 1 to {len(through)}, the networks to choose from.")
    if every < 1:
        raise UserError(f"{name}(every={every}): expected at least 1.")
    found = {task: networks(workdir) for task, workdir in through.items()}
    for task, network in found.items():
        if not network.label:
            raise UserError(f"{name}: {network.workdir!r} was trained from images; expected a run with config.input.")
        if task not in network.predicts:
            raise unknown(f"task of {network.workdir!r} in {name}(through=...):", task, network.predicts)
    if len({network.label for network in found.values()}) > 1:
        labels = ", ".join(f"{network.label!r} ({network.workdir})" for network in found.values())
        raise UserError(f"{name}: networks are from the labels {labels}; expected one label, that of {target!r}.")
    return tuple(
        _Path(network, task, target, activation, place, len(found), k or len(found), every).task(name)
        for place, (task, network) in enumerate(found.items())
    )


@dataclasses.dataclass(frozen=True)
class _Path:
    """One network, and its place among those of which k are active."""

    network: LabelNetwork
    predicts: str
    target: str
    activation: Callable[[jax.Array], jax.Array] | None
    place: int
    of: int
    k: int
    every: int

    def task(self, name: str) -> Task:
        return Task(
            name=f"{name}_{self.predicts}",
            head=Frozen(self.network),
            labels=(self.network.label,),
            loss=self.loss,
            metrics=of_numbers(Metric("distance", False, ratio("distance", over="pixels"))),
            sums=self.sums,
            constant=None,
            draw=None,
            parents=(self.target,),
        )

    def loss(self, prediction: Prediction, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """(total, count) over pixels."""
        distance, valid = self._distance(prediction, batch)
        active = self._active(batch)
        total = jnp.sum(jnp.where(valid, distance, 0.0))
        return jnp.where(active, total, 0.0), jnp.where(active, number(valid), 0.0)

    def sums(self, prediction: Prediction, batch: Batch) -> dict[str, jax.Array]:
        """What the metric is made of."""
        distance, valid = self._distance(prediction, batch)
        return {
            "distance": jnp.sum(jnp.where(valid, distance, 0.0)),
            "pixels": jnp.sum(valid, dtype=jnp.int32),
            NOT_FINITE: jnp.sum(valid & ~jnp.isfinite(distance), dtype=jnp.int32),
        }

    def _distance(self, prediction: Prediction, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """`|f(p) - f(y)|`, the mean over channels, and where y is known: (B, s, H, W, 1) each."""
        label = self.network.label
        channels = jnp.shape(batch[label])[-1]
        y, valid = labels_of(batch, label, channels)
        p = prediction[self.target][..., :channels]
        fits(p, y, label, channels)
        p = p.astype(jnp.float32) if self.activation is None else self.activation(p.astype(jnp.float32))

        def seen(x: jax.Array) -> jax.Array:
            found = self.network.apply(prediction[FROZEN], x, batch.get("camera"), self.predicts)
            if getattr(found, "shape", ())[:-1] != y.shape[:-1]:
                raise UserError(
                    f"task {self.predicts!r} of {self.network.workdir!r} is no map of the pixels of {label}."
                )
            return found.astype(jnp.float32)

        of_label = jax.lax.stop_gradient(seen(y.astype(jnp.float32)))
        distance = jnp.mean(jnp.abs(seen(jnp.where(valid, p, 0.0)) - of_label), axis=-1, keepdims=True)
        return distance, valid

    def _active(self, batch: Batch) -> jax.Array:
        """Whether this one is among the k that the number of the step draws; all are in evaluation."""
        if self.k == self.of or "step" not in batch:
            return jnp.array(True)
        key = jax.random.fold_in(jax.random.key(_STREAM), jnp.asarray(batch["step"])[0] // self.every)
        return jnp.any(jax.random.permutation(key, self.of)[: self.k] == self.place)
