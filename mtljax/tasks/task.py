"""What a task is: its head, the labels it reads, its loss, its metrics, and how it is drawn."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mtljax.errors import UserError, unknown

Batch = Mapping[str, Any]
Sums = Mapping[str, Any]
KINDS = ("numbers", "gaussian", "classes", "tags", "probability", "points", "directions", "flow", "objects")
NAMES = "names"  # label -> those of its classes by their numbers, in batches that are drawn, where the data tells them
PLACE = "place"  # of each example of a batch in its split, and of rows in it
Prediction = Any  # of a head: an array; of a task that ties others together, it may be a dict of arrays
Rows = Mapping[str, Mapping[str, np.ndarray]]  # table -> column -> array, of as many rows as the table has
Baseline = Callable[[Mapping[str, Prediction], Batch], Prediction]


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
        decode: `(prediction, batch) -> decoded`, pure and jit-able, part of an evaluation's step: where there is one,
            `sums`, `host_sums`, `host_rows` and `draw` read what it gives, a tree of arrays with the batch axis first,
            and the raw prediction stays on its device; `loss` reads the raw one.
        host_rows: `(decoded, batch) -> table -> column -> (N, ...)`, NumPy in and out, with any number of rows: of
            objects, detections or frames. Tables grow over batches and hosts. The batch has `place` (B,) as well, each
            example's in its split; examples that fill up a batch are left out. A table with a column `place` is put in
            the order of it, so that its rows are the same however many hosts and devices there are.
        figures: `tables -> dict of numbers`, computed once, from all rows; metrics find them beside the sums.
        baseline: `batch of training labels (NumPy, with masks) -> (predictions, batch) -> decoded prediction`: a
            trivial predictor on the same detections, where no constant is one. Predictions are those of all tasks with
            rows, decoded, NumPy; its figures stand where those of the constant do.
        constant: `labels -> (C,) float32`, the constant prediction that does best on the given batch of labels
            (NumPy, with masks): the baseline every model must beat; (H, W, C) where it depends on the place. Or None,
            where a constant means nothing.
        draw: `(prediction, batch) -> (prediction_rgb, label_rgb)`, both `(B, s, H, W, 3)` uint8 (NumPy); None for
            a task that is no picture. The batch may have `names`: label -> those of its classes, where data tells them.
        drawn_frame: which frame of a clip its picture shows, in a panel; -1 for the last.
        fits: `(prediction, batch)`, of shapes alone, raises a `UserError` where they do not fit each other. By default
            the labels that are maps and the prediction agree in all axes but the last.
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
            map of logits for each; `directions`, vectors whose length means nothing; `flow`, pixels along x and y;
            `objects`, a dict of what is known of them.
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
    decode: Callable[[Prediction, Batch], Prediction] | None = None
    host_rows: Callable[[Prediction, Batch], Rows] | None = None
    figures: Callable[[Rows], Mapping[str, float]] | None = None
    baseline: Callable[[Batch], Baseline] | None = None
    drawn_frame: int = 0
    fits: Callable[[Prediction, Batch], None] | None = None
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

    @property
    def read_on_host(self) -> bool:
        """Whether metrics are worked out from what is decoded, on the host."""
        return self.host_sums is not None or self.host_rows is not None

    def decoded(self, prediction: Prediction, batch: Batch) -> Prediction:
        """What metrics and pictures read of a prediction: the prediction itself, where there is nothing to decode."""
        return prediction if self.decode is None else self.decode(prediction, batch)
