"""Instances: which pixels are whose."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.objects.decoding import read
from mtljax.objects.frames import PIXELS
from mtljax.objects.masks import id_map, mask_logits
from mtljax.tasks.drawing.masks import draw_ids
from mtljax.tasks.losses import objects as losses
from mtljax.tasks.metrics.objects.overlap import mask_areas, mask_overlap, pack
from mtljax.tasks.metrics.objects.panoptic import Segments, panoptic_counts, panoptic_figures
from mtljax.tasks.metrics.objects.precision import AREAS, Found, Truth, precision_figures
from mtljax.tasks.metrics.objects.slots import rows_by_class
from mtljax.tasks.objects.rows import BESIDE, CLIPS, FRAME, Listed, check_limits, clips_of, objects_of, once, rows_where
from mtljax.tasks.task import PLACE, Baseline, Batch, Metric, Rows, Task

MASK_FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
PANOPTIC = ("PQ", "SQ", "RQ")


def instances(
    detect: str = "detect",
    head: Any = None,
    name: str = "instances",
    width: int = 48,
    stride: int = 4,
    least: int = PIXELS,
    areas: tuple[float, float] = AREAS,
) -> Task:
    """Tells which pixels are whose: a mask of each object that `detect` finds (CondInst: Tian 2020, section 3).

    The loss is the dice loss of the objects' masks. Metrics: COCO's AP of masks, and panoptic quality PQ with its parts
    SQ and RQ, means over the classes of objects, on one map of ids in which no pixel has two. The baseline fills the
    boxes that were found.

    Args:
        detect: name of the task whose detections it reads.
        head: features -> what masks are made of, see `heads.Instances`; default `heads.Instances(width, stride)`.
        name: of the task.
        width: of the default head.
        stride: pixels of a cell's side.
        least: pixels in which an object must be seen to be wanted; seen in fewer it is ignored.
        areas: square pixels up to which objects are small, and from which they are large.

    Returns:
        The task; its primary metric is AP.

    Raises:
        UserError: for a negative number of pixels, or areas that fall.

    Example:
        >>> import mtljax as mtl
        >>> mtl.tasks.instances().parents
        {'boxes': 'detect'}
    """
    check_limits("instances", least, areas)
    it = _Instances(name, stride, least, areas)
    return Task(
        name=name,
        head=head or heads.Instances(width=width, stride=stride, least=least),
        labels=("instances", "segmentations"),
        optional_labels=BESIDE,
        parents={"boxes": detect},
        loss=losses.instances(stride, least),
        metrics=tuple(Metric(key, True, lambda sums, key=key: sums[key]) for key in (*MASK_FIGURES, *PANOPTIC)),
        sums=lambda decoded, batch: {},
        decode=it.decode,
        host_rows=it.host_rows,
        figures=it.figures,
        constant=None,
        baseline=it.baseline,
        draw=it.draw,
        fits=it.fits,
        kind="objects",
    )


@dataclasses.dataclass(frozen=True)
class _Instances:
    name: str
    stride: int
    least: int
    areas: tuple[float, float]

    def decode(self, prediction: Mapping[str, Any], batch: Batch) -> dict[str, jax.Array]:
        found = prediction["detections"]
        middle = read(prediction["centres"], found.cell) if "centres" in prediction else found.cell
        logits = mask_logits(prediction["features"], read(prediction["controller"], found.cell), middle, self.stride)
        finite = jnp.isfinite(logits).all(axis=(-2, -1))
        return _shown(logits > 0, found.box, jnp.where(finite, found.score, jnp.nan), found.classes)

    def fits(self, prediction: Mapping[str, Any], batch: Batch) -> None:
        size = tuple(self.stride * n for n in prediction["features"].shape[-3:-1])
        if size != tuple(batch["segmentations"].shape[2:4]):
            raise UserError(
                f"masks have {size[0]} x {size[1]} pixels; 'segmentations' has shape {batch['segmentations'].shape}."
            )

    def host_rows(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> Rows:
        objects = _with_masks(objects_of(batch, self.least), batch)
        clip, frame = np.nonzero(objects.labelled)
        at, score = np.arange(len(clip)), decoded["score"]
        every, slot = rows_by_class(
            at, decoded["boxes"][clip, frame], score[clip, frame], decoded["probability"][clip, frame]
        )
        packed = decoded["masks"][clip, frame].reshape(-1, decoded["masks"].shape[-1])
        place = np.asarray(batch[PLACE])
        return {
            CLIPS: clips_of(batch),
            "found": {
                PLACE: place[clip][every.image], FRAME: frame[every.image],
                "category": every.category, "mask": packed[slot], "score": every.score,
            },
            "truth": _true_rows(objects, batch),
            "panoptic": {
                PLACE: place[clip], FRAME: frame,
                "counts": np.array([_panoptic(objects, decoded, batch, (int(c), int(f)))
                                    for c, f in zip(clip, frame, strict=True)])
                if len(clip) else np.zeros((0, 4, decoded["probability"].shape[-1] + 1)),
                "broken": np.isnan(score[clip, frame]).any(axis=1),
            },
        }  # fmt: skip

    def figures(self, tables: Rows) -> dict[str, float]:
        truth, found, panoptic = (once(tables[name], tables[CLIPS]) for name in ("truth", "found", "panoptic"))
        area = truth["area"].astype(np.float64)
        figures = precision_figures(
            Truth(truth["image"], truth["category"], truth["mask"], area, truth["ignored"]),
            Found(found["image"], found["category"], found["mask"], mask_areas(found["mask"]), found["score"]),
            mask_overlap,
            self.areas,
        )
        quality = panoptic_figures(panoptic["counts"].sum(axis=0)[:, 1:])
        return figures | (dict.fromkeys(PANOPTIC, np.nan) if panoptic["broken"].any() else quality)

    def baseline(self, labels: Batch) -> Baseline:
        def predict(predictions: Mapping[str, Any], batch: Batch) -> dict[str, np.ndarray]:
            own = predictions[self.name]
            return jax.tree.map(
                np.asarray, _filled(own["boxes"], own["score"], own["probability"], own["ids"].shape[2:4])
            )

        return predict

    def draw(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        return draw_ids(batch["image"], decoded["ids"]), draw_ids(batch["image"], batch["segmentations"][..., 0])


def _shown(masks: jax.Array, boxes: jax.Array, score: jax.Array, probability: jax.Array) -> dict[str, jax.Array]:
    """What rows and pictures read: masks (B, s, K, H, W) bit by bit, and one map of ids."""
    bits = jnp.packbits(masks.reshape(*masks.shape[:-2], -1), axis=-1)
    ids = id_map(masks, score)
    return {"masks": bits, "ids": ids, "boxes": boxes, "score": score, "probability": probability}


def _filled_in(boxes: jax.Array, score: jax.Array, probability: jax.Array, size: tuple[int, int]) -> Any:
    y, x = (jnp.arange(n) + 0.5 for n in size)
    across = (x >= boxes[..., :1]) & (x < boxes[..., 2:3])
    down = (y >= boxes[..., 1:2]) & (y < boxes[..., 3:])
    return _shown(down[..., :, None] & across[..., None, :], boxes, score, probability)


_filled = jax.jit(_filled_in, static_argnums=3)


def _with_masks(objects: Listed, batch: Batch) -> Listed:
    """The objects of clips that have a map of them; elsewhere, of a set that lists boxes alone, nothing is judged."""
    drawn = np.asarray(batch["segmentations"]).any(axis=(1, 2, 3, 4))
    judged = np.asarray(drawn | ~(objects.counts | objects.ignored).any(axis=(1, 2)))
    there = judged[:, None, None]
    return objects._replace(
        labelled=objects.labelled & judged[:, None], counts=objects.counts & there, ignored=objects.ignored & there
    )


def _true_rows(objects: Listed, batch: Batch) -> dict[str, np.ndarray]:
    which = objects.counts | objects.ignored
    ids = np.asarray(batch["segmentations"])[..., 0]
    clip, frame, one = np.nonzero(which)
    masks = pack(ids[clip, frame] == one[:, None, None] + 1)
    rows = rows_where(which, batch, category=objects.category + 1, ignored=objects.ignored, area=objects.pixels)
    return {**rows, "mask": masks}


def _panoptic(objects: Listed, decoded: Mapping[str, np.ndarray], batch: Batch, at: tuple[int, int]) -> np.ndarray:
    """What a frame adds to panoptic quality, (4, C + 1); the ground is a segment of a class of its own, left out."""
    probability = decoded["probability"][at]
    classes, slots = probability.shape[-1], len(probability)
    wanted, ignored = objects.counts[at], objects.ignored[at]
    ids = np.asarray(batch["segmentations"])[at][..., 0].astype(np.int64)
    known = np.concatenate([[False], wanted | ignored])
    true = Segments(
        np.where(known[ids], ids, len(wanted) + 1),
        np.concatenate([[0], objects.category[at] + 1, [classes + 1]]),
        np.concatenate([[False], ignored, [False]]),
    )
    shown = decoded["ids"][at]
    category = np.argmax(np.nan_to_num(probability), axis=-1) + 1
    found = Segments(np.where(shown > 0, shown, slots + 1), np.concatenate([[0], category, [classes + 1]]))
    return panoptic_counts(true, found, classes + 1)[:, : classes + 1]
