"""Tracking: which object is the same as a frame ago."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.objects.association import BORN, FOUND, UNSEEN
from mtljax.objects.decoding import read
from mtljax.objects.detections import Detections, tracked
from mtljax.objects.frames import PIXELS
from mtljax.tasks.drawing.trails import draw_tracks
from mtljax.tasks.losses import objects as losses
from mtljax.tasks.metrics.objects.slots import sides_of
from mtljax.tasks.metrics.objects.tracking.figures import tracking_figures
from mtljax.tasks.objects.joining import sequences
from mtljax.tasks.objects.rows import BESIDE, CLIPS, check_limits, clips_of, objects_of, rows_where
from mtljax.tasks.task import Baseline, Batch, Metric, Rows, Task

FIGURES = {"HOTA": True, "MOTA": True, "IDF1": True, "DetA": True, "AssA": True, "LocA": True, "IDP": True,
           "IDR": True, "IDSW": False, "Frag": False}  # fmt: skip
TOLD = ("TP", "FP", "FN")


def track(
    detect: str = "detect",
    head: Any = None,
    name: str = "track",
    found: float = FOUND,
    born: float = BORN,
    unseen: int = UNSEEN,
    width: int = 48,
    stride: int = 4,
    least: int = PIXELS,
) -> Task:
    """Tells where each object's centre was a frame before, and so who is who (CenterTrack: Zhou 2020, section 4).

    The loss is the L1 error of that offset in cells, where an object counts in both frames. Metrics over sequences, a
    clip or several that share frames with the next by the label `frame_index`: HOTA with DetA, AssA and LocA, MOTA,
    IDF1 with IDP and IDR, the numbers of switches of ids, IDSW, and of broken tracks, Frag; those of right, false and
    missed detections are told. The baseline looks for each object where it is now: an offset of 0.

    Args:
        detect: name of the task whose detections it reads.
        head: features -> offsets, see `heads.Track`; by default one with the arguments below.
        name: of the task.
        found: least score of a detection that is associated.
        born: a new track has a higher score.
        unseen: a track ends when it is unseen for more frames.
        width: of the default head.
        stride: pixels of a cell's side.
        least: pixels in which an object must be seen to count.

    Returns:
        The task; its primary metric is HOTA.

    Raises:
        UserError: for scores that no detection has, or a negative number of frames or pixels.

    Example:
        >>> import mtljax as mtl
        >>> mtl.tasks.track().parents
        {'boxes': 'detect'}
    """
    for key, value in {"found": found, "born": born}.items():
        if not 0 <= value < 1:
            raise UserError(f"track({key}={value}): expected a score, from 0 to less than 1.")
    if unseen < 0:
        raise UserError(f"track(unseen={unseen}): expected at least 0 frames.")
    check_limits("track", least)
    it = _Track(name, found, born, unseen, stride, least)
    rule = {"found": found, "born": born, "unseen": unseen}
    return Task(
        name=name,
        head=head or heads.Track(**rule, width=width, stride=stride, least=least),
        labels=("instances",),
        optional_labels=BESIDE,
        parents={"boxes": detect},
        loss=losses.track(stride, least),
        metrics=tuple(Metric(key, up, lambda sums, key=key: sums[key]) for key, up in FIGURES.items()),
        told=tuple(Metric(key, key == "TP", lambda sums, key=key: sums[key]) for key in TOLD),
        sums=lambda decoded, batch: {},
        decode=it.decode,
        host_rows=it.host_rows,
        figures=it.figures,
        constant=None,
        baseline=it.baseline,
        draw=it.draw,
        drawn_frame=-1,
        fits=it.fits,
        kind="objects",
    )


@dataclasses.dataclass(frozen=True)
class _Track:
    name: str
    found: float
    born: float
    unseen: int
    stride: int
    least: int

    def decode(self, prediction: Mapping[str, Any], batch: Batch) -> dict[str, jax.Array]:
        found = prediction["detections"]
        offset = read(prediction["offset"], found.cell)
        ids = prediction["ids"] if "ids" in prediction else self._tracked(found, offset)
        # On a clip's first frame an offset means nothing.
        wrong = jnp.any(~jnp.isfinite(offset), axis=-1) & (jnp.arange(offset.shape[1])[:, None] > 0)
        score = jnp.where(wrong, jnp.nan, found.score)
        return {"boxes": found.box, "score": score, "cell": found.cell, "ids": ids, "probability": found.classes}

    def _tracked(self, found: Detections, offset: jax.Array) -> jax.Array:
        return tracked(found, offset, self.stride, self.found, self.born, self.unseen)

    def fits(self, prediction: Mapping[str, Any], batch: Batch) -> None:
        frames = batch["image"].shape[1]
        if frames < 2:
            raise UserError(f"track wants clips of at least 2 frames; the data has {frames}.")

    def host_rows(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> Rows:
        objects = objects_of(batch, self.least)
        listed = objects.labelled[..., None]
        there = objects.counts | objects.ignored
        ids = np.broadcast_to(_ids(batch, there.shape[2])[:, None], there.shape)
        boxes = (sides_of(x.astype(np.float64)) for x in (objects.boxes, decoded["boxes"]))
        true, found = boxes
        return {
            CLIPS: clips_of(batch),
            "truth": rows_where(there, batch, id=ids, box=true, ignored=objects.ignored),
            "found": rows_where(listed & (decoded["ids"] > 0), batch, id=decoded["ids"], box=found),
            "broken": rows_where(listed & np.isnan(decoded["score"]), batch),
        }

    def figures(self, tables: Rows) -> dict[str, float]:
        figures = tracking_figures(sequences(tables["truth"], tables["found"], tables[CLIPS]))
        wanted = {key: figures[key] for key in (*FIGURES, *TOLD)}
        return dict.fromkeys(wanted, float("nan")) if len(tables["broken"]["frame"]) else wanted

    def baseline(self, labels: Batch) -> Baseline:
        def still(boxes: jax.Array, score: jax.Array, cell: jax.Array) -> jax.Array:
            found = Detections(cell, boxes, score, jnp.zeros((*score.shape, 1)))
            return self._tracked(found, jnp.zeros((*score.shape, 2)))

        associated = jax.jit(still)

        def predict(predictions: Mapping[str, Any], batch: Batch) -> dict[str, np.ndarray]:
            own = predictions[self.name]
            return {**own, "ids": np.asarray(associated(own["boxes"], own["score"], own["cell"]))}

        return predict

    def draw(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        objects = objects_of(batch, self.least)
        true = np.where(objects.counts, 1 + np.arange(objects.counts.shape[-1]), 0)
        return draw_tracks(batch["image"], decoded["boxes"], decoded["ids"]), draw_tracks(
            batch["image"], objects.boxes, true
        )


def _ids(batch: Batch, number: int) -> np.ndarray:
    """The ids of a batch's objects, (B, M); their places where none are told, or zeros, as of one set of a mix."""
    places = np.arange(number)
    ids = np.asarray(batch["instances"].get("id", np.zeros((len(batch["instances_valid"]), number), int)))
    return np.where(ids.any(axis=1, keepdims=True), ids, places)
