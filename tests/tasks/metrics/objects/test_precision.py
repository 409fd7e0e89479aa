"""AP and AR: golden figures, laws, a plain-Python matching, faults; masks as well as boxes."""

import numpy as np
import pytest

from mtljax.data.labels.outlines import run_mask
from mtljax.tasks.metrics.objects.matching import Groups, match
from mtljax.tasks.metrics.objects.overlap import box_areas, box_overlap, mask_areas, mask_overlap, pack
from mtljax.tasks.metrics.objects.precision import Found, Truth, precision_figures
from tests.tasks import golden
from tests.tasks.metrics.objects import made

AREAS = {"areas_32_96": (32.0**2, 96.0**2), "areas_24_64": (24.0**2, 64.0**2)}


@pytest.fixture(scope="module")
def split(shared):
    """The golden objects and detections."""
    given = golden.read(shared, "detection.json")
    image, category, box = golden.box_rows(given["truth"])
    truth = Truth(image, category, box, box_areas(box), np.array([row["iscrowd"] for row in given["truth"]]) > 0)
    image, category, box = golden.box_rows(given["detections"])
    found = Found(image, category, box, box_areas(box), np.array([row["score"] for row in given["detections"]]))
    return truth, found, given["expected"]


def named(expected):
    """The golden figures as ours are called."""
    flat = {name: value for name, value in expected.items() if not name.endswith("_by_class")}
    for name in ("AP", "AP50"):
        flat |= {f"{name}/{c}": value for c, value in enumerate(expected.get(f"{name}_by_class", []), 1)}
    return flat


@pytest.mark.parametrize("ranges", AREAS)
def test_golden_figures(split, ranges):
    truth, found, expected = split
    figures = precision_figures(truth, found, areas=AREAS[ranges])
    wanted = named(expected[ranges])
    golden.equal(figures, {name: value for name, value in wanted.items() if name in figures})
    assert all(value is None for name, value in wanted.items() if name not in figures)  # a class that nobody named
    assert len(set(wanted) & set(figures)) >= 18


def test_golden_figures_of_other_orders_and_of_the_truth(split):
    truth, found, expected = split
    other = Found(*(array[::-1] for array in found))
    golden.equal(precision_figures(truth, other), expected["reversed_detections"])
    real = [array[~truth.crowd] for array in truth[:4]]
    golden.equal(precision_figures(truth, Found(*real, np.ones(len(real[0])))), expected["truth_as_detections"])


def test_golden_figures_of_masks(shared):
    given = golden.read(shared, "masks.json")

    def rows(name):
        every = [(i, one) for i, image in enumerate(given["images"]) for one in image[name]]
        every = [(i, one) for i, one in every if one["category_id"] in given["things"]]
        masks = pack(np.stack([run_mask(one["counts"], *given["size"]) for _, one in every]))
        image, category = (np.array(x) for x in zip(*((i, one["category_id"]) for i, one in every), strict=True))
        return (image, category, masks, mask_areas(masks)), [one for _, one in every]

    (objects, of), (detections, scores) = rows("truth"), rows("masks")
    truth = Truth(*objects, np.array([one["iscrowd"] for one in of]) > 0)
    found = Found(*detections, np.array([one["score"] for one in scores]))
    golden.equal(precision_figures(truth, found, mask_overlap), given["expected"]["mask_AP"])


def test_laws():
    truth, found = made.detections(np.random.default_rng(0))
    figures = precision_figures(truth, found)
    assert 0.05 < figures["AP"] < figures["AP50"] < 1
    order = np.random.default_rng(1).permutation(len(truth.area))
    golden.equal(precision_figures(Truth(*(x[order] for x in truth)), found), figures)
    whole = truth._replace(crowd=np.zeros(len(truth.area), bool))
    own = precision_figures(whole, Found(*whole[:4], np.ones(len(whole.area))))
    assert own["AP"] == own["AR100"] == own["APs"] == own["APm"] == 1
    extra = Found(*(np.concatenate([x, x[:1]]) for x in found))  # a worse copy is never better
    extra.score[-1] = 0.01
    assert precision_figures(truth, extra)["AP"] <= figures["AP"]


def plainly(overlap, crowd, ignored, threshold):
    """One group at one threshold, object by object."""
    free, order = [True] * len(crowd), sorted(range(len(crowd)), key=lambda g: ignored[g])
    taken, passed = [], []
    for row in overlap:
        best, at = min(threshold, 1 - 1e-10), -1
        for g in order:
            if not free[g] and not crowd[g]:
                continue
            if at >= 0 and not ignored[at] and ignored[g]:
                break
            if row[g] >= best:
                best, at = row[g], g
        taken.append(at >= 0)
        passed.append(at >= 0 and bool(ignored[at]))
        if at >= 0:
            free[at] = False
    return taken, passed


def test_matching_is_as_object_by_object():
    rng = np.random.default_rng(2)
    overlap = rng.choice([0.0, 0.5, 0.6, 0.7, 0.8, 0.8, 0.9, 1.0], (30, 5, 4))
    crowd, ignored = rng.random((30, 4)) < 0.2, rng.random((30, 2, 4)) < 0.3
    ignored |= crowd[:, None]
    thresholds = np.array([0.5, 0.7, 0.8, 1.0])
    taken, passed = match(Groups(overlap, crowd, ignored), thresholds)
    for n, a, t in np.ndindex(30, 2, 4):
        expected = plainly(overlap[n], crowd[n], ignored[n, a], thresholds[t])
        np.testing.assert_array_equal([taken[n, a, t], passed[n, a, t]], expected)
    assert 0 < passed.sum() < taken.sum() < taken.size


@pytest.mark.parametrize("name", ["score", "shape", "area"])
def test_what_is_no_number_makes_no_figure(name):
    truth, found = made.detections(np.random.default_rng(3))
    getattr(found, name)[5] = np.inf if name == "score" else np.nan
    figures = precision_figures(truth, found)
    assert np.isnan([*figures.values()]).all()
    assert "AP" in figures


def test_a_split_without_objects_has_no_figures():
    truth, found = made.detections(np.random.default_rng(4))
    none = Truth(*(x[:0] for x in truth))
    for detections in (found, Found(*(x[:0] for x in found))):
        figures = precision_figures(none, detections)
        assert np.isnan([*figures.values()]).all()
    assert precision_figures(truth, Found(*(x[:0] for x in found)))["AP"] == 0


def test_overlaps_of_boxes_and_of_their_masks_agree():
    rng = np.random.default_rng(5)
    low = rng.integers(0, 12, (2, 30, 2))
    box = np.concatenate([low, rng.integers(1, 8, (2, 30, 2))], axis=-1)
    y, x = np.mgrid[:21, :21]
    left, top, width, height = np.moveaxis(box, -1, 0)[..., None, None]
    masks = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
    packed = [pack(one) for one in masks]
    crowd = rng.random(30) < 0.5
    np.testing.assert_array_equal(mask_areas(packed[0]), box_areas(box[0]))
    np.testing.assert_allclose(mask_overlap(*packed, crowd), box_overlap(*box.astype(float), crowd))
    assert np.isfinite(box_overlap(np.zeros(4), np.zeros(4)))
