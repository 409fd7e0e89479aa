"""Losses of objects' tasks: what is exact has none, and what lies behind the clip is found at its place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.objects.frames import in_frames
from mtljax.objects.poses import MEAN_LOG_DEPTH, ray, ray_rotation
from mtljax.objects.symmetry import CUBE, CYLINDER, NONE, SPHERE
from mtljax.objects.views import seen_by
from mtljax.tasks.losses import objects as losses
from tests.objects import made

BATCH = made.batch()


IN_FRAMES = jax.jit(in_frames, static_argnums=1)  # compiled at once, which takes less time than step by step
FUTURES = jax.jit(losses.futures, static_argnums=(2, 3, 4))


@jax.jit
def exact(batch):
    """What a perfect `Pose` would say of the objects."""
    objects = in_frames(batch, 4)
    view = seen_by(batch["camera"], objects, "pose")
    centre = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
    direction = ray(view.image, batch["camera"]["intrinsics"][:, None, None])
    turn = jnp.swapaxes(ray_rotation(direction), -1, -2) @ view.rotation
    six = jnp.concatenate([turn[..., 0], turn[..., 1]], axis=-1) - jnp.array([1, 0, 0, 0, 1, 0])
    depth = jnp.log(view.translation[..., 2:]) - MEAN_LOG_DEPTH
    return jnp.concatenate([six, view.image / 4 - centre, depth, jnp.log(objects.half_sizes)], axis=-1)


@pytest.fixture(scope="module")
def pose_loss():
    kinds = jax.jit(lambda numbers, batch: losses.pose_of(4, (SPHERE, CYLINDER))({"numbers": numbers}, batch))
    return kinds


def test_an_exact_pose_costs_nothing_and_a_wrong_one_does(pose_loss):
    numbers = np.asarray(exact(BATCH))
    total, count = pose_loss(numbers, BATCH)
    assert count == 12
    assert total < 1e-3
    deeper = numbers + np.eye(12, dtype=np.float32)[8] * 0.1
    np.testing.assert_allclose(pose_loss(deeper, BATCH)[0], 12 * 3 * 0.1, rtol=1e-3)


def test_an_object_behind_the_camera_counts_for_no_pose(pose_loss):
    batch = jax.tree.map(np.copy, BATCH)
    batch["instances"]["positions"][0, 0, 1, 2] = -9
    total, count = pose_loss(np.asarray(exact(BATCH)), batch)
    assert count == 11
    assert total < 1e-3


def test_kinds_go_by_class_from_1_in_the_data():
    kinds = losses.kind_of(jnp.array([-1, 0, 1, 2, 9]), (SPHERE, CUBE))
    assert kinds.tolist() == [NONE, SPHERE, CUBE, NONE, NONE]


def test_the_future_of_a_frame_is_the_clips_next_frames_and_then_what_lies_behind():
    batch = {**BATCH, "future_valid": BATCH["future_valid"].copy()}
    batch["future_valid"][0, 0, 1] = False
    places, known = FUTURES(batch, IN_FRAMES(batch, 4), 3, 4)
    world = batch["instances"]["positions"][0, 0, :, :2]
    np.testing.assert_array_equal(places[0, 0, 0], [world[1], world[2], batch["future"][0, 0, 0]])
    np.testing.assert_array_equal(places[0, 2, 0], batch["future"][0, 0, :3])
    assert known[0, :, 0, :, 0].tolist() == [[True] * 3, [True, True, False], [True, False, True]]
    assert not known[:, :, 2].any()  # an object that is none
    del batch["future"]
    _, known = FUTURES(batch, IN_FRAMES(batch, 4), 3, 4)
    assert known[0, :, 0, :, 0].tolist() == [[True, True, False], [True, False, False], [False] * 3]


def test_in_the_image_nothing_is_known_behind_a_clip_since_what_is_told_there_is_in_metres():
    objects = IN_FRAMES(BATCH, 4)
    places, known = FUTURES(BATCH, objects, 3, 4, "image")
    middle = 4 * (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
    np.testing.assert_allclose(places[:, 0, :, :2], jnp.swapaxes(middle[:, 1:], 1, 2))
    assert known[0, :, 0, :, 0].tolist() == [[True, True, False], [True, False, False], [False] * 3]


def test_objects_of_a_set_that_tells_no_places_have_no_future_and_no_pose(pose_loss):
    """In a mix they stand beside others, with zeros for what is not known."""
    batch = jax.tree.map(np.copy, BATCH)
    batch["camera"]["positions"][0] = [0, 0, -3]  # the world's origin lies in front of it
    for key in ("positions", "quaternions", "scale"):
        batch["instances"][key][0, 0] = 0
    _, known = FUTURES(batch, IN_FRAMES(batch, 4), 3, 4)
    assert not known[0, :, 0].any()
    assert known[0, :, 1].any()
    total, count = pose_loss(np.zeros((2, 3, 3, 12), np.float32), batch)
    assert (count, np.isfinite(total)) == (9, True)


def test_masks_are_learned_where_a_clip_has_a_map():
    """Beside them stand clips of a set that lists boxes alone."""
    batch = jax.tree.map(np.copy, BATCH)
    batch["segmentations"][1] = 0
    batch["instances"]["visibility"] = np.full((2, 3, 3), 40, np.int32)
    said = {"features": np.zeros((2, 3, 8, 8, 8), np.float32), "controller": np.zeros((2, 3, 3, 169), np.float32)}
    assert IN_FRAMES(batch, 4).counts[1].any()
    assert jax.jit(losses.instances(4))(said, batch)[1] == 6


def test_a_path_that_meets_the_truth_costs_its_choice_alone():
    objects = IN_FRAMES(BATCH, 4)
    truth, _ = FUTURES(BATCH, objects, 3, 4)
    last = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)
    paths = jnp.repeat((truth - last[..., None, :2])[..., None, :, :], 2, axis=-3)
    found = {"paths": paths, "logits": jnp.zeros((2, 3, 3, 2)), "last": last, "ids": jnp.ones((2, 3, 3), int)}
    loss, of_boxes = losses.trajectory(4), type("Found", (), {"box": 4 * objects.boxes[:, :, ::-1]})  # in another order
    for more, order in (({"object": jnp.broadcast_to(jnp.arange(3), (2, 3, 3))}, 1), ({"detections": of_boxes}, -1)):
        turned = {key: x[:, :, ::order] for key, x in found.items()}
        total, count = jax.jit(lambda said, more=more: loss({**said, **more}, BATCH))(turned)
        assert count == 12
        np.testing.assert_allclose(total, 12 * 0.2 * np.log(2), rtol=1e-4)
    assert loss({**found, "ids": found["ids"] * 0, "object": jnp.zeros((2, 3, 3), int)}, BATCH) == (0, 0)


def test_what_the_batch_lacks_is_told():
    without = {
        **BATCH,
        "instances": {key: x for key, x in BATCH["instances"].items() if key not in ("positions", "scale")},
    }
    with pytest.raises(UserError, match="trajectory reads 'positions' of 'instances'"):
        losses.futures(without, in_frames(without, 4), 3, 4)
    with pytest.raises(UserError, match="pose reads 'scale' of 'instances'"):
        losses.pose_of(4)({"numbers": jnp.zeros((2, 3, 3, 12))}, without)
