"""Detection: which objects are where."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.objects.frames import PIXELS
from mtljax.tasks.drawing.boxes import draw_boxes
from mtljax.tasks.losses import objects as losses
from mtljax.tasks.metrics.objects.overlap import box_areas
from mtljax.tasks.metrics.objects.precision import AREAS, Found, Truth, precision_figures
from mtljax.tasks.metrics.objects.slots import LEAST, rows_by_class, sides_of
from mtljax.tasks.objects.boxes import clustered
from mtljax.tasks.objects.rows import (
    BESIDE,
    CLIPS,
    FRAME,
    check_categories,
    check_limits,
    clips_of,
    objects_of,
    once,
    rows_where,
)
from mtljax.tasks.task import NAMES, PLACE, Baseline, Batch, Metric, Rows, Task

FIGURES = ("AP", "AP50", "AP75", "AP50_any", "APs", "APm", "APl", "AR1", "AR10", "AR100")
_TOLD = 20  # classes whose figures are told one by one


def detect(
    classes: int = 4,
    head: Any = None,
    name: str = "detect",
    slots: int = 16,
    by_class: bool = False,
    width: int = 48,
    stride: int = 4,
    least: int = PIXELS,
    areas: tuple[float, float] = AREAS,
    decoupled: bool = False,
) -> Task:
    """Finds objects as peaks of a heat map (CenterNet: Zhou 2019), with their boxes and classes.

    The loss is `mtljax.tasks.losses.detection`'s. Metrics are COCO's: AP, AP50, AP75, APs, APm, APl, AR1, AR10 and
    AR100, and AP50_any, for which all objects are of one class; AP of each class is told. The baseline says the same 25
    boxes of every image: the middles of clusters of the training set's boxes, by how often classes are in them.

    Args:
        classes: C; objects are of 1 to C.
        head: features -> maps and detections, see `heads.Detect`; default `heads.Detect(classes, slots, ...)`.
        name: of the task.
        slots: K, detections that are read from a frame.
        by_class: whether each class has a heat map of its own, as the paper has it.
        width: of the default head.
        stride: pixels of a cell's side.
        least: pixels in which an object must be seen to be wanted; seen in fewer it is ignored.
        areas: square pixels up to which objects are small, and from which they are large.
        decoupled: whether the default head has a branch for classes alone.

    Returns:
        The task; its primary metric is AP.

    Raises:
        UserError: for no class, no slot, areas that fall, or `decoupled` where no logits of classes are.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.detect(classes=1, slots=2)
        >>> task.primary.name, task.labels
        ('AP', ('instances',))
    """
    if classes < 1:
        raise UserError(f"detect(classes={classes}): expected at least 1.")
    if slots < 1:
        raise UserError(f"detect(slots={slots}): expected at least 1.")
    check_limits("detect", least, areas)
    it = _Detect(classes, name, least, areas, getattr(head, "slots", slots))
    branches = {"by_class": by_class, "decoupled": decoupled, "width": width}
    return Task(
        name=name,
        head=head or heads.Detect(classes, slots, stride=stride, **branches),
        labels=("instances",),
        optional_labels=BESIDE,
        loss=losses.detect(stride, least),
        metrics=tuple(Metric(key, True, lambda sums, key=key: sums[key]) for key in FIGURES),
        told=tuple(
            Metric(f"AP_{c}", True, lambda sums, c=c: sums.get(f"AP/{c}", np.nan))
            for c in range(1, classes + 1 if classes <= _TOLD else 1)
        ),
        sums=lambda decoded, batch: {},
        decode=it.decode,
        host_rows=it.host_rows,
        figures=it.figures,
        constant=None,
        baseline=it.baseline,
        draw=it.draw,
        fits=it.fits,
        check=it.check,
        kind="objects",
    )


@dataclasses.dataclass(frozen=True)
class _Detect:
    classes: int
    name: str
    least: int
    areas: tuple[float, float]
    slots: int

    def decode(self, prediction: Mapping[str, Any], batch: Batch) -> dict[str, jax.Array]:
        found = prediction["detections"]
        return {"boxes": found.box, "score": found.score, "probability": found.classes}

    def fits(self, prediction: Mapping[str, Any], batch: Batch) -> None:
        channels = prediction["detections"].classes.shape[-1]
        if channels != self.classes:
            raise UserError(f"the head has {channels} classes; expected {self.classes}, by detect(classes=...).")

    def check(self, batch: Batch) -> str | None:
        self.check_kinds(batch)
        most = _most(batch, self.least)
        if most <= self.slots:
            return None
        return (
            f"there are {most} objects in a frame, and {self.slots} slots are read from one: no more can be found; "
            f"slots={most} reads as many."
        )

    def check_kinds(self, batch: Batch) -> None:
        check_categories(batch, self.classes, f"detect(classes={self.classes}) has")

    def host_rows(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> Rows:
        self.check_kinds(batch)
        objects, (boxes, score) = objects_of(batch, self.least), (decoded["boxes"], decoded["score"])
        clip, frame = np.nonzero(objects.labelled)
        at = np.arange(len(clip))
        every, _ = rows_by_class(at, boxes[clip, frame], score[clip, frame], decoded["probability"][clip, frame])
        listed = objects.labelled[..., None]
        place = np.asarray(batch[PLACE])
        return {
            CLIPS: clips_of(batch),
            "found": {
                PLACE: place[clip][every.image], FRAME: frame[every.image],
                "category": every.category, "box": every.shape, "score": every.score,
            },
            "any": rows_where(listed & ~(score <= LEAST), batch, box=sides_of(boxes.astype(np.float64)), score=score),
            "truth": rows_where(
                objects.counts | objects.ignored, batch, category=objects.category + 1,
                box=sides_of(objects.boxes.astype(np.float64)), area=objects.pixels, ignored=objects.ignored,
            ),
        }  # fmt: skip

    def figures(self, tables: Rows) -> dict[str, float]:
        truth, found, every = (once(tables[name], tables[CLIPS]) for name in ("truth", "found", "any"))
        figures = precision_figures(_true(truth, truth["category"]), _found(found, found["category"]), areas=self.areas)
        one = np.ones(len(truth["image"]), int), np.ones(len(every["image"]), int)
        of_any = precision_figures(_true(truth, one[0]), _found(every, one[1]), areas=self.areas)
        return figures | {"AP50_any": of_any["AP50"]}

    def baseline(self, labels: Batch) -> Baseline:
        middles, shares = clustered(labels, self.classes, self.least)

        def predict(predictions: Mapping[str, Any], batch: Batch) -> dict[str, np.ndarray]:
            frames = predictions[self.name]["score"].shape[:2]
            known = {"boxes": middles, "score": (shares.sum(axis=-1) > 0).astype(np.float32), "probability": shares}
            return {key: np.broadcast_to(value, (*frames, *value.shape)) for key, value in known.items()}

        return predict

    def draw(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        objects = objects_of(batch, self.least)
        wanted = np.where(objects.counts, 1.0, 0.0)
        best = np.argmax(decoded["probability"], axis=-1)
        names = batch.get(NAMES, {}).get("instances", ())
        found = draw_boxes(batch["image"], decoded["boxes"], decoded["score"], best, scores=True, names=names)
        return found, draw_boxes(batch["image"], objects.boxes, wanted, objects.category, names=names)


def _most(batch: Batch, least: int) -> int:
    """The most objects of a frame that are to be found, as far as labels tell without the image."""
    instances = batch["instances"]
    there = np.asarray(batch["instances_valid"], bool)[..., None] & np.asarray(instances["bboxes"]).any(axis=-1)
    if "ignored" in instances:
        there = there & ~np.asarray(instances["ignored"], bool)
    if "visibility" in instances:
        there = there & (np.asarray(instances["visibility"]) >= least)
    return int(there.sum(axis=1).max(initial=0))


def _true(rows: Mapping[str, np.ndarray], category: np.ndarray) -> Truth:
    return Truth(rows["image"], category, rows["box"], rows["area"].astype(np.float64), rows["ignored"])


def _found(rows: Mapping[str, np.ndarray], category: np.ndarray) -> Found:
    return Found(rows["image"], category, rows["box"], box_areas(rows["box"]), rows["score"])
