"""Files in COCO's form: boxes, polygons, both forms of run lengths, crowds, and what is said of faults."""

import numpy as np
import pytest

from mtljax.data import check
from mtljax.data.labels.outlines import numbers_of, polygon_mask, run_mask
from mtljax.data.sources.coco import coco
from mtljax.errors import UserError
from tests.data.sources.objects import RUNS, SQUARE, H, W, text_of, write_coco


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("made"))


def test_images_come_by_id_and_every_tenth_is_held_out(made):
    data = coco(*made, size=(H, W), objects=4)
    shades = [[one["image"][0, 0, 0, 0] - 10 for one in data.split(name)] for name in ("train", "validation")]
    assert shades == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12], [10]]
    assert data.name == "coco/instances"
    assert data.meanings["category"] == ("background", "dog", "kite")
    check(data)
    both = coco(*made, validation=made)
    assert [len(both.split(name)) for name in ("train", "validation")] == [12, 12]


def test_objects(made):
    source = coco(*made, size=(H, W), objects=4).split("train")
    example, empty = source[0], source[1]
    instances = example["instances"]
    assert instances["category"].tolist() == [2, 1, 1, 0]
    assert instances["ignored"][:, 0].tolist() == [False, True, False, False]
    np.testing.assert_allclose(instances["bboxes"][0, 0] * [H, W, H, W], [2, 4, 10, 12])
    np.testing.assert_allclose(instances["bboxes"][2, 0] * [H, W, H, W], [4, 20, 12, 22])
    assert instances["visibility"][0, 0] == 64
    assert example["instances_valid"].tolist() == [True, False, True, False]  # the crowd is behind another of its size
    assert empty["objects_valid"].all()
    assert not empty["instances_valid"].any()


def test_without_masks_boxes_are_clipped(tmp_path):
    def change(told):
        del told["annotations"][1]["segmentation"]
        told["annotations"][0]["bbox"] = [-4, 2, 8, 80]
        told["annotations"][2]["bbox"] = [W, 2, 8, 8]

    example = coco(*write_coco(tmp_path, change), size=(H, W), objects=4).split("train")[0]
    assert "segmentations" not in example
    np.testing.assert_allclose(example["instances"]["bboxes"][0, 0] * [H, W, H, W], [2, 0, H, 4])
    assert example["instances_valid"].tolist() == [True, True, False, False]


def test_outlines():
    mask = np.zeros((H, W), bool)
    mask[2:10, 4:12] = True
    np.testing.assert_array_equal(polygon_mask([SQUARE], H, W), mask)
    np.testing.assert_array_equal(polygon_mask([SQUARE, SQUARE], H, W), mask)
    strip = np.zeros((H, W), bool)
    strip[4:12, 20:22] = True
    np.testing.assert_array_equal(run_mask(RUNS, H, W), strip)
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = rng.integers(0, 10 ** rng.integers(1, 6), rng.integers(1, 12)).tolist()
        assert numbers_of(text_of(counts)) == counts


def test_text_is_as_pycocotools_has_it():
    library = pytest.importorskip("pycocotools.mask")
    masks = np.random.default_rng(1).random((10, H, W)) < np.linspace(0.02, 0.9, 10)[:, None, None]
    for mask in masks:
        text = library.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        np.testing.assert_array_equal(run_mask(text, H, W), mask)


def test_an_image_that_lacks_is_an_unreadable_record(tmp_path):
    folder, file = write_coco(tmp_path)
    (tmp_path / "images" / "5.png").unlink()
    source = coco(folder, file).split("train")
    with pytest.raises(UserError, match=r"5.png' does not decode"):
        source[4]


def of(place, **change):
    return lambda told: told["annotations"][place].update(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: "{", "is no JSON"),
        (lambda told: told.pop("categories") and None, "has no list 'categories'"),
        (lambda told: told["images"][2].pop("width") and None, r"images\[2\] has no 'width'"),
        (lambda told: told["images"][2].update(id=12), r"images\[2\] has id 12, as images\[0\] has"),
        (lambda told: told["categories"][1].update(id=9), r"categories\[1\] has id 9, as categories\[0\] has"),
        (of(0, image_id=99), "annotation 17: image 99 is not among the 12 images"),
        (of(1, category_id=4), "annotation 18: category 4 is not among 3, 9"),
        (of(2, bbox=[1, 2, 0, 4]), r"annotation 19: bbox \[1, 2, 0, 4\] has no area"),
        (of(2, bbox="big"), "annotation 19: bbox 'big'; expected"),
        (
            lambda told: told["images"].append({"id": 0, "file_name": "0.png", "width": 1, "height": 1}),
            "lists '0.png', which is not in",
        ),
    ],
)
def test_faults_of_files(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        coco(*write_coco(tmp_path, change)).split("train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of(1, segmentation={"size": [H, W], "counts": [5, 5]}), "annotation 18: run lengths add up to 10; expected 24 x 40 = 960"),
        (of(1, segmentation={"size": [W, H], "counts": [H * W]}), r"annotation 18: a mask of \[40, 24\]; its image is 24 x 40"),
        (of(0, segmentation=[[1, 2, 3, 4]]), "annotation 17: a polygon of 4 numbers"),
        (of(2, segmentation={"counts": "\u00e9"}), "annotation 19: the character '\u00e9'"),
        (lambda told: told["images"][-1].update(width=W + 1), "is 40 x 24 pixels; .* says 41 x 24"),
        (lambda told: None, "image 1: 3 objects; expected at most 2: objects=3 takes them"),
    ],
)  # fmt: skip
def test_faults_of_images(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        coco(*write_coco(tmp_path, change), objects=2 if "3 objects" in message else 9).split("train")[0]
