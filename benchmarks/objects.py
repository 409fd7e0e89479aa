"""Figures of objects over a whole split, in CPU time of one core, beside pycocotools' where that is installed.

python benchmarks/objects.py

A split like COCO's: 1,000 images of seven objects of 80 classes, 100 detections each. One like `scenes`: 96 clips of
12 frames, six objects of 4 classes, 16 slots each: boxes and masks of 64 x 64, each slot once for each of its two
likeliest classes, and tracks.
"""

import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import machine
import numpy as np

from mtljax.tasks.metrics.objects.overlap import box_areas, mask_areas, mask_overlap, pack
from mtljax.tasks.metrics.objects.precision import Found, Truth, precision_figures
from mtljax.tasks.metrics.objects.tracking.figures import tracking_figures
from mtljax.tasks.metrics.objects.tracking.sequence import Tracks


def seconds(call: Callable[[], Any]) -> float:
    """The CPU time of a call."""
    begin = time.process_time()
    call()
    return time.process_time() - begin


def split(
    rng: np.random.Generator, images: int, objects: int, slots: int, classes: int, size: float
) -> tuple[Truth, Found]:
    """Objects, and detections: each object is found once, a little off, the others are false."""
    number = images * objects
    box = np.concatenate([rng.uniform(0, size, (number, 2)), rng.uniform(size / 20, size / 2, (number, 2))], axis=1)
    image, category = np.repeat(np.arange(images), objects), rng.integers(1, classes + 1, number)
    truth = Truth(image, category, box, box_areas(box), np.zeros(number, bool))
    rest = images * (slots - objects)
    false = np.concatenate([rng.uniform(0, size, (rest, 2)), rng.uniform(size / 20, size / 2, (rest, 2))], axis=1)
    found = np.concatenate([(box + rng.normal(0, size / 100, box.shape)).clip(1), false])
    images_of = np.concatenate([image, np.repeat(np.arange(images), slots - objects)])
    categories = np.concatenate([category, rng.integers(1, classes + 1, rest)])
    return truth, Found(images_of, categories, found, box_areas(found), rng.uniform(size=len(found)))


def with_pycocotools(truth: Truth, found: Found) -> Callable[[], Any] | None:
    """What pycocotools does from lists of objects and detections on; None where it is not installed."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        return None

    def listed(rows: Any, **more: np.ndarray) -> list[dict[str, Any]]:
        return [
            {"id": i + 1, "image_id": int(rows.image[i]), "category_id": int(rows.category[i]), "iscrowd": 0,
             "bbox": rows.shape[i].tolist(), "area": float(rows.area[i]), **{k: float(v[i]) for k, v in more.items()}}
            for i in range(len(rows.area))
        ]  # fmt: skip

    given = COCO()
    names = {name: [{"id": int(i)} for i in np.unique(getattr(truth, of))] for name, of in
             (("images", "image"), ("categories", "category"))}  # fmt: skip
    given.dataset = {**names, "annotations": listed(truth), "info": {}}
    detections = listed(found, score=found.score)

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            given.createIndex()
            told = COCOeval(given, given.loadRes(detections), "bbox")
            told.evaluate()
            told.accumulate()
            told.summarize()

    return run


def masks_of(box: np.ndarray, size: int) -> np.ndarray:
    """Boxes, filled and packed."""
    x, y = np.arange(size), np.arange(size)[:, None]
    left, top, width, height = np.moveaxis(box, -1, 0)[..., None, None]
    return pack((x >= left) & (x < left + width) & (y >= top) & (y < top + height))


def twice(found: Found, classes: int) -> Found:
    """Each detection for its class and, less surely, for the next."""
    other = found._replace(category=found.category % classes + 1, score=found.score / 3)
    return Found(*(np.concatenate(pair) for pair in zip(found, other, strict=True)))


def main() -> None:
    """Prints the table."""
    rng = np.random.default_rng(0)
    truth, found = split(rng, images=1000, objects=7, slots=100, classes=80, size=400.0)
    theirs = with_pycocotools(truth, found)
    rows = {"AP, 1,000 images, 80 classes": (seconds(lambda: precision_figures(truth, found)), theirs)}
    small, slots = split(rng, images=1152, objects=6, slots=16, classes=4, size=64.0)
    masks = small._replace(shape=masks_of(small.shape, 64)), twice(slots._replace(shape=masks_of(slots.shape, 64)), 4)
    masks = tuple(rows._replace(area=mask_areas(rows.shape)) for rows in masks)

    def both() -> None:
        precision_figures(small, twice(slots, 4))
        precision_figures(*masks, overlap=mask_overlap)

    rows["AP and mask AP, 1,152 frames"] = (seconds(both), None)
    pairs = [
        (Tracks(small.image[own] % 12, np.tile(np.arange(6), 12), small.shape[own]),
         Tracks(slots.image[other] % 12, rng.permuted(np.tile(np.arange(16), (12, 1)), axis=1).ravel(),
                slots.shape[other]))
        for clip in range(96)
        for own, other in [(small.image // 12 == clip, np.argsort(slots.image, kind="stable")[clip * 192 :][:192])]
    ]  # fmt: skip
    rows["HOTA, IDF1 and MOTA, 1,152 frames"] = (seconds(lambda: tracking_figures(pairs)), None)
    print(machine.described())
    print(f"{'':<36}{'s':>8}{'pycocotools':>14}{'ratio':>8}")
    for name, (ours, other) in rows.items():
        line = f"{name:<36}{ours:>8.2f}"
        if other is not None:
            least = seconds(other)
            line += f"{least:>14.2f}{ours / least:>8.2f}"
        print(line)


if __name__ == "__main__":
    main()
