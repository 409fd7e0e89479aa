"""Labels of one's own are kept true by the kind that their data set says."""

import numpy as np
import pytest

from mtljax.data import augment
from mtljax.data.kinds import KINDS, kinds_of
from mtljax.data.pipeline import train_batches
from mtljax.errors import UserError
from tests.data.augment.clips import GEOMETRIC, SIZE


class Faces(list):
    name = "faces"

    def __init__(self, examples=(), **kinds):
        super().__init__(examples)
        self.kinds = kinds or OWN


OWN = {"face": "boxes", "corner": "points", "surface": "normals", "instances/mask": "masks", "motion": "flow"}
KNOWN = kinds_of(Faces())


def with_own(clip):
    """Labels of one's own that are those of the house by other names: boxes and corners of objects, masks, normals."""
    boxes = np.moveaxis(clip["instances"]["bboxes"], 0, 1)
    seen = np.any(boxes != 0, axis=-1, keepdims=True)
    ids = np.arange(1, 11)[:, None, None, None]
    return clip | {
        "face": boxes,
        "face_valid": seen,
        "corner": (boxes[..., [1, 0]] + 1e-3) * SIZE * seen,
        "corner_valid": seen,
        "surface": clip["normal"],
        "surface_valid": clip["normal_valid"],
        "motion": clip["forward_flow"],
        "motion_valid": clip["forward_flow_valid"],
        "instances": clip["instances"] | {"mask": clip["segmentations"][..., 0] == ids},
    }


@pytest.mark.parametrize("name", GEOMETRIC)
def test_own_labels_stay_what_the_house_has_by_other_names(clips, name):
    change, shown = GEOMETRIC[name], 0
    for seed, clip in enumerate(clips):
        alone = {key: value for key, value in with_own(clip).items() if key != "segmentations"}
        for example in (with_own(clip), alone):
            found = change(example, np.random.default_rng(seed), KNOWN)
            for mine, theirs in (("surface", "normal"), ("motion", "forward_flow")):
                np.testing.assert_array_equal(found[mine], found[theirs])
        boxes = np.moveaxis(found["instances"]["bboxes"], 0, 1)  # without a map: cut as boxes are
        np.testing.assert_array_equal(found["face"], boxes)
        np.testing.assert_array_equal(found["face_valid"][..., 0], np.any(boxes != 0, axis=-1))
        ids = change(clip, np.random.default_rng(seed))["segmentations"][..., 0]
        np.testing.assert_array_equal(found["instances"]["mask"], ids == np.arange(1, 11)[:, None, None, None])
        size = np.array(ids.shape[:0:-1])
        there = found["corner_valid"][..., 0]
        assert np.all((found["corner"][there] >= 0) & (found["corner"][there] < size))
        assert not found["corner"][~there].any()
        shown += there.sum()
    assert shown > 3


def test_what_is_not_said_moves_as_values_do(clips):
    found = GEOMETRIC["flip"](with_own(clips[0]), np.random.default_rng(0))
    np.testing.assert_array_equal(found["surface"], clips[0]["normal"][:, :, ::-1])
    np.testing.assert_array_equal(found["face"], with_own(clips[0])["face"])


def test_the_pipeline_hands_the_kinds_on(clips):
    source = Faces([{key: with_own(clips[0])[key] for key in ("image", "face", "face_valid")}] * 2)
    left, right = (
        next(train_batches(source, 1, 0, augment=augment.flip(p=1.0), kinds=kinds))["face"] for kinds in (KINDS, KNOWN)
    )
    np.testing.assert_array_equal(left[0], source[0]["face"])
    valid = source[0]["face_valid"][..., 0]
    np.testing.assert_allclose(right[0][valid][:, 1], 1 - source[0]["face"][valid][:, 3])


def test_unknown_and_other_kinds_are_named():
    with pytest.raises(UserError, match=r"kind of 'face' of faces: 'box'; did you mean 'boxes'"):
        kinds_of(Faces(face="box"))
    with pytest.raises(UserError, match=r"faces has 'depth' of the kind 'map'; it is 'depth' in all data sets"):
        kinds_of(Faces(depth="map"))
