"""Objects frame by frame: who counts, who is ignored, who is absent, and in which units."""

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.objects.frames import in_frames


def batch_of(**changes):
    """A clip of two frames of 16 x 24 pixels with three objects: one large, one small, one that is none."""
    boxes = np.zeros((1, 3, 2, 4), np.float32)
    boxes[0, 0] = 0.25, 0.5, 0.75, 1.0
    boxes[0, 1, 0] = 0, 0, 0.25, 0.125
    ids = np.zeros((1, 2, 16, 24, 1), np.uint8)
    ids[0, :, 4:12, 12:24], ids[0, 0, 0, :3] = 1, 2
    instances = {"bboxes": boxes, "category": np.array([[2, 1, 0]], np.int32)}
    batch = {
        "image": np.zeros((1, 2, 16, 24, 3)),
        "instances": instances,
        "instances_valid": np.array([[True, True, False]]),
        "segmentations": ids,
    }
    return {**batch, **changes}


def test_an_object_seen_in_few_pixels_is_ignored_and_in_none_is_absent():
    found = in_frames(batch_of(), stride=4)
    np.testing.assert_array_equal(found.boxes[0, 1, 0], [3, 1, 6, 3])
    assert found.pixels[0].tolist() == [[96, 3, 0], [96, 0, 0]]
    assert found.counts[0].tolist() == [[True, False, False]] * 2
    assert found.ignored[0].tolist() == [[False, True, False], [False] * 3]
    assert found.category[0, 0].tolist() == [1, 0, -1]
    assert in_frames(batch_of(), 4, least=3).counts[0].tolist() == [[True, True, False], [True, False, False]]


def test_ignored_objects_and_frames_that_list_none_count_for_nothing():
    batch = batch_of(objects_valid=np.array([[True, False]]))
    batch["instances"]["ignored"] = np.array([[[True, True], [False] * 2, [False] * 2]])
    found = in_frames(batch, 4)
    assert not found.counts.any()
    assert found.ignored[0].tolist() == [[True, True, False], [False] * 3]
    assert found.labelled[0].tolist() == [True, False]


def test_clips_without_a_map_are_told_how_much_is_seen():
    two = {key: np.concatenate([x, x]) for key, x in batch_of().items() if key != "instances"}
    two["instances"] = {key: np.concatenate([x, x]) for key, x in batch_of()["instances"].items()}
    two["segmentations"][1] = 0
    assert in_frames(two, 4).pixels[1].tolist() == [[96, 12, 0], [96, 0, 0]]  # of their boxes
    two["instances"]["visibility"] = np.full((2, 3, 2), 7)
    assert in_frames(two, 4).pixels[1].tolist() == [[7] * 3] * 2
    assert in_frames(two, 4).pixels[0].tolist() == [[96, 3, 0], [96, 0, 0]]


def test_a_batch_without_objects_says_so():
    with pytest.raises(UserError, match="no objects beside image; expected 'instances'"):
        in_frames({"image": np.zeros((1, 1, 4, 4, 3))}, 4)
