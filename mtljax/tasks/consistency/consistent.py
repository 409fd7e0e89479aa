"""Depth, normals, edges, flow and ego-motion that must agree with each other by geometry."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.tasks.consistency.relation import RELATIONS, Disagreement, Relation
from mtljax.tasks.labels import fits, labels_of
from mtljax.tasks.losses.masked import number
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.metrics.not_finite import NOT_FINITE, of_numbers
from mtljax.tasks.task import Batch, Metric, Task

_CHANNELS = {"ego_motion": 6, "normals": 3, "edges": 1}  # of others any number
_MOVING = "moving"

Prediction = Mapping[str, Any]


def consistent(
    depth: str | None = None,
    normals: str | None = None,
    edges: str | None = None,
    flow: str | None = None,
    ego_motion: str | None = None,
    where: Sequence[str] = (),
    name: str = "consistent",
) -> tuple[Task, ...]:
    """Holds predictions consistent by geometry: a task, and so a loss, for each relation that the arguments allow.

    - `depth`, `normals`: the normals are those of planes fitted to the depth; 1 - cosine.
    - `depth`, `normals`, `edges`: there is an edge where the surface turns by 30 degrees, or steps by 5 % of the depth
      off both tangent planes; the difference of the probabilities.
    - `depth`, `ego_motion`, `flow`: the flow is that which the camera's motion makes; the distance over 20 pixels. It
      holds of what stands still: pixels of the label `moving` are left out, where it is there.

    No label but that is read: they are losses of unlabelled images too. Of true labels of `scenes` they are 0 but for
    discretisation: below 0.02 (at 64 x 64 below 0.01), 0.01 and 1e-5. Each tie moves the heads of all the tasks that
    it ties, its parents.

    Args:
        depth: name of the task that predicts depth, (B, s, H, W, 1 or more) metres, of which the first is read.
        normals: of the one that predicts normals, (B, s, H, W, 3).
        edges: of the one that predicts edges, logits (B, s, H, W, 1).
        flow: of the one that predicts flow to the next frame, (B, s, H, W, 2 or more), the first two in pixels.
        ego_motion: of the one that predicts motion, (B, s, 6): translation (m) and axis-angle of x_t = R x_{t+1} + t.
        where: labels whose masks say which pixels count, as ('depth',) where there is a sky; by default all do.
        name: with which the tasks' names begin.

    Returns:
        The tasks, named `<name>_depth_normals`, `<name>_depth_normals_edges`, `<name>_depth_motion_flow`. Losses are
        (total, count) over pixels, of predictions that are not finite NaN. They read `camera`. Their metrics are the
        mean disagreement: `angle` in degrees, `difference` of probabilities, `distance` in pixels.

    Raises:
        UserError: where the arguments allow no relation.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> [task] = mtl.tasks.consistent(depth="depth", normals="normals")
        >>> wall = {"depth": jnp.full((1, 1, 4, 4, 1), 2.0), "normals": jnp.ones((1, 1, 4, 4, 3)) * jnp.eye(3)[1]}
        >>> total, count = task.loss(wall, {"camera": {"intrinsics": jnp.eye(3)[None]}})
        >>> task.name, float(total / count)
        ('consistent_depth_normals', 1.0)
    """
    given = {"depth": depth, "normals": normals, "edges": edges, "flow": flow, "ego_motion": ego_motion}
    names = {key: task for key, task in given.items() if task is not None}
    where = (where,) if isinstance(where, str) else tuple(where)
    possible = [relation for relation in RELATIONS if names.keys() >= {*relation.between}]
    if not possible:
        wanted = "; ".join(", ".join(relation.between) for relation in RELATIONS)
        raise UserError(f"{name}({', '.join(names)}): no relation ties these; expected {wanted}.")
    tied = {key for relation in possible for key in relation.between}
    for key in names:
        if key not in tied:
            needs = " or ".join(", ".join(r.between) for r in RELATIONS if key in r.between)
            raise UserError(f"{name}({key}={names[key]!r}) ties nothing to it; it goes with {needs}.")
    return tuple(_Tie(relation, names, where).task(name) for relation in possible)


@dataclasses.dataclass(frozen=True)
class _Tie:
    """A relation of tasks; `names`: what is wanted -> the task it is from."""

    relation: Relation
    names: Mapping[str, str]
    where: tuple[str, ...]

    def task(self, name: str) -> Task:
        figure = self.relation.figure
        return Task(
            name=f"{name}_{self.relation.name}",
            head=heads.Parents(),
            labels=self.where,
            loss=self.loss,
            metrics=of_numbers(Metric(figure, False, ratio(figure, over="pixels"))),
            sums=self.sums,
            constant=None,
            draw=None,
            parents=tuple(dict.fromkeys(self.names[key] for key in self.relation.between)),
            optional_labels=(_MOVING,) if "flow" in self.relation.between else (),
        )

    def loss(self, prediction: Prediction, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """(total, count) over pixels."""
        self._check(prediction)
        if self._too_short(prediction):
            return jnp.zeros(()), jnp.zeros(())
        found, numbers = self._found(prediction, batch)
        total = jnp.sum(jnp.where(found.known, found.loss, 0.0))
        return jnp.where(jnp.all(numbers), total, jnp.nan), number(found.known)

    def sums(self, prediction: Prediction, batch: Batch) -> dict[str, jax.Array]:
        """What the metric is made of."""
        self._check(prediction)
        if self._too_short(prediction):
            return {self.relation.figure: jnp.zeros(()), **dict.fromkeys(("pixels", NOT_FINITE), jnp.int32(0))}
        found, numbers = self._found(prediction, batch)
        return {
            self.relation.figure: jnp.sum(jnp.where(found.known, found.figure, 0.0)),
            "pixels": jnp.sum(found.known, dtype=jnp.int32),
            NOT_FINITE: jnp.sum(~numbers, dtype=jnp.int32),
        }

    def _check(self, prediction: Prediction) -> None:
        """Raises a `UserError` where predictions do not fit each other."""
        of_depth = prediction[self.names["depth"]].shape
        for key in self.relation.between:
            places = of_depth[:2] if key == "ego_motion" else of_depth[:-1]
            x = prediction[self.names[key]]
            fits(x, (*places, 1), f"depth, of the task that predicts {key}", _CHANNELS.get(key))

    def _too_short(self, prediction: Prediction) -> bool:
        return prediction[self.names["depth"]].shape[1] < self.relation.frames

    def _found(self, prediction: Prediction, batch: Batch) -> tuple[Disagreement, jax.Array]:
        """The disagreement at pixels that count, and of each clip whether all that is read of it there is finite."""
        if "camera" not in batch:
            raise UserError("consistency by geometry reads camera intrinsics, and the batch has no 'camera'.")
        depth = prediction[self.names["depth"]]
        counted = jnp.ones((*depth.shape[:-1], 1), bool)
        if "example_valid" in batch:
            counted &= jnp.asarray(batch["example_valid"]).reshape(-1, 1, 1, 1, 1)
        for label in self.where:
            fits(depth, batch[label], label, None)
            counted &= labels_of(batch, label, np.shape(batch[label])[-1])[1]
        read, numbers = {}, jnp.ones(len(depth), bool)
        for key in self.relation.between:
            read[key], finite = _read(key, prediction[self.names[key]], counted)
            numbers &= finite
        found = self.relation.disagreement(read, batch)
        return found._replace(known=found.known & self._still(counted, batch)[..., 0]), numbers

    def _still(self, counted: jax.Array, batch: Batch) -> jax.Array:
        if "flow" not in self.relation.between or _MOVING not in batch:
            return counted
        moves, told = labels_of(batch, _MOVING)
        fits(counted, moves, _MOVING, 1)
        return counted & ~(told & (moves > 0))


def _read(key: str, x: jax.Array, counted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A prediction in float32, of no gradient where it does not count; and whether each clip's is finite, (B,)."""
    x = x.astype(jnp.float32)
    if key == "ego_motion":
        there = (jnp.arange(x.shape[1])[:, None] < x.shape[1] - 1) & jnp.any(counted, axis=(2, 3, 4))[..., None]
    else:
        x, there = x[..., : {"depth": 1, "flow": 2}.get(key)], counted
        if key == "flow":
            there = there & (jnp.arange(x.shape[1])[:, None, None, None] < x.shape[1] - 1)
    finite = jnp.all(jnp.isfinite(x) | ~there, axis=tuple(range(1, x.ndim)))
    return jnp.where(there & jnp.isfinite(x), x, 0.0), finite
