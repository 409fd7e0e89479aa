"""What a task is: its head, the labels it reads, its loss, its metrics, and how it is drawn."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mtljax.errors import UserError, unknown

Batch = Mapping[str, Any]
Sums = Mapping[str, Any]
KINDS = ("numbers", "gaussian", "classes", "tags", "probability", "points", "directions", "flow")
Prediction = Any  # of a head: an array; of a task that ties others together, it may be a dict of arrays


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure computed once, at the end, from sums that add over batches and devices.

    Attributes:
        name: as it appears in `metrics.jsonl`, such as `mIoU`.
        higher_is_better: the metric's direction.
        value: maps a task's accumulated sums (NumPy) to a float; NaN where nothing was counted, or where a
            judged prediction is no number.
    """

    name: str
    higher_is_better: bool
    value: Callable[[Sums], float]


@dataclasses.dataclass(frozen=True)
class Task:
    """One task of a multi-task model.

    Predictions and dense labels are `(B, s, H, W, C)`: a batch of clips of s frames. A label `k` comes
    with its mask `k_valid`, boolean, `(B, s, H, W, 1)`: False where there is no label. The prediction of a task that
    ties others together may be a dict of arrays.

    Attributes:
        name: the task's name, as in `losses`, `optimizers` and the metrics' keys.
        head: a Flax Linen module, or any object with pure `init` and `apply`; features in, prediction out.
        labels: the batch keys the task reads, without their masks.
        loss: `(prediction, batch) -> (total, count)`, two float32 scalars: the sum of the loss over what it
            was computed on, and how much that was. Pure and differentiable; `(0, 0)` where nothing is labelled.
        metrics: the task's metrics, the primary one first.
        sums: `(prediction, batch) -> dict of arrays`, pure and jit-able, that add over batches and devices. Counts are
            int32, exact up to 2^31 in a batch of all devices; the host adds up batches in float64.
        host_sums: as `sums`, for what does not run on a device: NumPy in, NumPy out. The two dicts are merged.
        constant: `labels -> (C,) float32`, the constant prediction that does best on the given batch of labels
            (NumPy, with masks): the baseline every model must beat; (H, W, C) where it depends on the place. Or None,
            where a constant means nothing.
        draw: `(prediction, batch) -> (prediction_rgb, label_rgb)`, both `(B, s, H, W, 3)` uint8 (NumPy); None for
            a task that is no picture.
        parents: names of tasks whose predictions the head takes as well; or role -> task, the role being the name by
            which the head knows a prediction: `{"boxes": "detect"}`.
        optional_labels: batch keys, without their masks, that the task reads where they are there.
        told: figures of the labels, from the same sums: reported, and nothing to be judged by.
        check: `batch of labels (NumPy, with masks) -> a sentence to tell, or nothing`, called at the start of a run on
            training examples; it raises a `UserError` for labels that the task would leave out in silence.
        one_by_one: whether `host_sums` takes so long that it is given one example at a time, so that a run which is
            asked to stop does so between them.
        kind: what a prediction says, for those who read it without a label. `numbers`, of which the first channels are
            meant, as many as the label has; `gaussian`, means and then as many logarithms of variances; `classes`,
            logits, the largest of which counts; `tags`, a logit for each; `probability`, one logit; `points`, a heat
            map of logits for each; `directions`, vectors whose length means nothing; `flow`, pixels along x and y.
        unit: of its numbers, such as `metres`; nothing for that of the label.
    """

    name: str
    head: Any
    labels: tuple[str, ...]
    loss: Callable[[Prediction, Batch], tuple[jax.Array, jax.Array]]
    metrics: tuple[Metric, ...]
    sums: Callable[[Prediction, Batch], dict[str, jax.Array]]
    constant: Callable[[Batch], np.ndarray] | None
    draw: Callable[[Prediction, Batch], tuple[np.ndarray, np.ndarray]] | None
    host_sums: Callable[[Prediction, Batch], dict[str, np.ndarray]] | None = None
    parents: tuple[str, ...] | Mapping[str, str] = ()
    optional_labels: tuple[str, ...] = ()
    told: tuple[Metric, ...] = ()
    check: Callable[[Batch], str | None] | None = None
    one_by_one: bool = False
    kind: str = "numbers"
    unit: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown(f"kind of task {self.name!r}:", self.kind, KINDS)
        if not self.metrics:
            raise UserError(f"task {self.name!r} has no metrics; expected one or more, the primary one first.")

    @property
    def parent_names(self) -> tuple[str, ...]:
        """The tasks whose predictions the head takes, whatever their roles."""
        return tuple(self.parents.values() if isinstance(self.parents, Mapping) else self.parents)

    @property
    def primary(self) -> Metric:
        """The metric by which the task is judged."""
        return self.metrics[0]
