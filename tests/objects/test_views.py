"""Objects as a camera sees them, and back to the world."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mtljax.errors import UserError
from mtljax.objects.frames import in_frames
from mtljax.objects.matching import best
from mtljax.objects.views import in_world, seen_by
from tests.objects import made

BATCH = made.batch()


@jax.jit
def seen(batch):
    objects = in_frames(batch, 4)
    view = seen_by(batch["camera"], objects, "pose")
    return view, in_world(batch["camera"], view.translation), objects.positions


def test_a_camera_sees_what_scipy_says():
    view, _, _ = seen(BATCH)
    b, m, t = 1, 0, 2
    camera = {key: x[b] if key == "intrinsics" else x[b, t] for key, x in BATCH["camera"].items()}
    own = {key: BATCH["instances"][key][b, m, t] for key in ("positions", "quaternions")}
    turn = {key: Rotation.from_quat(np.roll(x["quaternions"], -1)) for key, x in (("camera", camera), ("own", own))}
    translation = turn["camera"].inv().apply(own["positions"] - camera["positions"])
    pixel = camera["intrinsics"] @ translation
    np.testing.assert_allclose(view.translation[b, t, m], translation, atol=1e-5)
    np.testing.assert_allclose(view.rotation[b, t, m], (turn["camera"].inv() * turn["own"]).as_matrix(), atol=1e-5)
    np.testing.assert_allclose(view.image[b, t, m], pixel[:2] / pixel[2], atol=1e-4)


def test_back_in_the_world_objects_are_where_they_were():
    _, back, positions = seen(BATCH)
    np.testing.assert_allclose(back, positions, atol=1e-5)


def test_an_object_behind_the_camera_is_told_and_its_image_is_finite():
    batch = jax.tree.map(np.copy, BATCH)
    batch["instances"]["positions"][0, 1] = batch["camera"]["positions"][0]
    view, _, _ = seen(batch)
    assert not view.in_front[0, :, 1].any()
    assert view.in_front[1].all()
    assert np.isfinite(view.image).all()


@pytest.mark.parametrize(
    ("key", "message"), [("camera", "pose wants a camera"), ("positions", "pose reads 'positions'")]
)
def test_what_lacks_is_told(key, message):
    batch = {**BATCH, "instances": {name: x for name, x in BATCH["instances"].items() if name != key}}
    with pytest.raises(UserError, match=message):
        seen_by(None if key == "camera" else batch["camera"], in_frames(batch, 4), "pose")


def test_a_box_is_of_the_object_that_counts_with_the_largest_overlap():
    objects = in_frames(BATCH, 4)
    boxes = 4 * np.array(objects.boxes)
    boxes[:, :, 2] = boxes[:, :, 0] + np.array([1, 0, 1, 0])
    at, there = best(boxes, objects, 4)
    assert there.all()
    assert at.tolist() == [[[0, 1, 0]] * 3] * 2
    _, there = best(boxes + 40, objects, 4)
    assert not there.any()
