"""Our figures beside those of the libraries that define them, on random input, where they are installed."""

import contextlib
import io

import numpy as np
import pytest

from mtljax.tasks.metrics.objects.overlap import mask_areas, mask_overlap, pack
from mtljax.tasks.metrics.objects.precision import Found, Truth, precision_figures
from mtljax.tasks.metrics.objects.tracking.figures import tracking_figures
from tests.tasks import golden
from tests.tasks.metrics.objects import made

SIZE = (20, 30)
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def described(rows, shapes):
    """Rows as COCO has them; crowds and scores where there are any."""
    for i, row in enumerate(zip(*rows, strict=True)):
        one = {"id": i + 1, "image_id": int(row[0]), "category_id": int(row[1]), "area": float(row[3])} | shapes[i]
        yield one | ({"iscrowd": int(row[4])} if isinstance(rows, Truth) else {"score": float(row[4])})


def judged(coco, evaluation, truth, found, shapes, kind):
    """The twelve figures of a library that has pycocotools' interface."""
    images = np.unique(np.concatenate([truth.image, found.image])).tolist()
    classes = np.unique(np.concatenate([truth.category, found.category])).tolist()
    with contextlib.redirect_stdout(io.StringIO()):
        given = coco()
        given.dataset = {
            "images": [{"id": i, "height": SIZE[0], "width": SIZE[1]} for i in images],
            "categories": [{"id": c} for c in classes],
            "annotations": list(described(truth, shapes[0])),
            "info": {},
        }
        given.createIndex()
        told = evaluation(given, given.loadRes(list(described(found, shapes[1]))), kind)
        told.evaluate()
        told.accumulate()
        told.summarize()
    return dict(zip(NAMES, told.stats[:12], strict=True))


def library(name):
    if name == "pycocotools":
        coco, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
        return coco.COCO, evaluation.COCOeval
    fast = pytest.importorskip("faster_coco_eval")
    return fast.COCO, fast.COCOeval_faster


@pytest.mark.parametrize("name", ["pycocotools", "faster-coco-eval"])
@pytest.mark.parametrize("seed", [0, 1])
def test_boxes(name, seed):
    truth, found = made.detections(np.random.default_rng(seed), images=6, false=300)
    shapes = [[{"bbox": box.tolist()} for box in rows.shape] for rows in (truth, found)]
    golden.equal(precision_figures(truth, found), judged(*library(name), truth, found, shapes, "bbox"))


@pytest.mark.parametrize("name", ["pycocotools", "faster-coco-eval"])
def test_masks(name):
    coding = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(2)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    centre, radius = rng.uniform(0, 1, (60, 2)) * SIZE, rng.uniform(2, 8, 60)
    discs = np.hypot(y - centre[:, :1, None], x - centre[:, 1:, None]) < radius[:, None, None]
    masks = [discs[:40], np.concatenate([discs[:40] & (rng.random((40, *SIZE)) < 0.9), discs[40:]])]
    packed = [pack(one) for one in masks]
    image, category = rng.integers(0, 5, 60), rng.integers(1, 3, 60)
    truth = Truth(image[:40], category[:40], packed[0], mask_areas(packed[0]), rng.random(40) < 0.2)
    found = Found(image, category, packed[1], mask_areas(packed[1]), rng.integers(1, 9, 60) / 10)
    shapes = [[{"segmentation": coding.encode(np.asfortranarray(m, np.uint8))} for m in one] for one in masks]
    figures = precision_figures(truth, found, mask_overlap)
    golden.equal(figures, judged(*library(name), truth, found, shapes, "segm"))


def frames_of(truth, found, frames):
    """A sequence as TrackEval reads it: ids from 0, frame by frame."""
    from mtljax.tasks.metrics.objects.overlap import box_overlap

    names = [np.unique(one.id) for one in (truth, found)]
    at = [[one.frame == frame for frame in range(1, frames + 1)] for one in (truth, found)]
    ids = [
        [np.searchsorted(n, one.id[here]) for here in of] for n, one, of in zip(names, (truth, found), at, strict=True)
    ]
    overlaps = [box_overlap(found.box[d], truth.box[g][:, None]) for g, d in zip(*at, strict=True)]
    return {
        "num_gt_ids": len(names[0]), "num_tracker_ids": len(names[1]), "num_timesteps": frames,
        "num_gt_dets": len(truth.id), "num_tracker_dets": len(found.id),
        "gt_ids": ids[0], "tracker_ids": ids[1], "similarity_scores": overlaps,
    }  # fmt: skip


def test_tracks_beside_trackeval():
    metrics = pytest.importorskip("trackeval").metrics
    rng = np.random.default_rng(3)
    pairs = [made.tracks(rng, ignored=0) for _ in range(6)]
    whole = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for metric in (metrics.HOTA(), metrics.CLEAR(), metrics.Identity()):
            each = {i: metric.eval_sequence(frames_of(*pair, 12)) for i, pair in enumerate(pairs)}
            whole |= metric.combine_sequences(each)
    ours = tracking_figures(pairs)
    names = {name: f"CLR_{name}" if name in ("TP", "FP", "FN") else name for name in ours}
    golden.equal(ours, {name: float(np.mean(whole[told])) for name, told in names.items()})


def test_tracks_beside_motmetrics():
    library = pytest.importorskip("motmetrics")
    rng = np.random.default_rng(4)
    names = {"mota": "MOTA", "idf1": "IDF1", "idp": "IDP", "idr": "IDR", "num_switches": "IDSW", "num_misses": "FN",
             "num_false_positives": "FP", "mostly_lost": "ML"}  # fmt: skip
    for _ in range(6):
        truth, found = made.tracks(rng, ignored=0)
        events, frames = library.MOTAccumulator(auto_id=True), frames_of(truth, found, 12)
        for g, d, overlap in zip(frames["gt_ids"], frames["tracker_ids"], frames["similarity_scores"], strict=True):
            events.update(g, d, np.where(overlap >= 0.5, 1 - overlap, np.nan))
        told = library.metrics.create().compute(events, metrics=[*names], name="all").iloc[0]
        golden.equal(tracking_figures([(truth, found)]), {ours: told[theirs] for theirs, ours in names.items()})
