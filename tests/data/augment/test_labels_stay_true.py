"""Augmented labels are true: what is derived from one augmented label is what another one, augmented, says."""

import copy

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mtljax.data import augment
from mtljax.data.labels.normals import normals_from_depth
from tests.data.augment.clips import CROP, FLIP, FRAMES, GEOMETRIC, LABELS, SIZE, grid, seen_at


def wanted_ego_motion(camera):
    """(s, 6): the next camera's points to this one's."""
    turns = Rotation.from_quat(np.roll(camera["quaternions"].astype(np.float64), -1, axis=-1))
    steps = np.diff(camera["positions"].astype(np.float64), axis=0)
    motion = np.concatenate([turns[:-1].inv().apply(steps), (turns[:-1].inv() * turns[1:]).as_rotvec()], axis=-1)
    return np.append(motion, np.zeros((1, 6)), axis=0).astype(np.float32)


@pytest.fixture(scope="module", params=list(GEOMETRIC))
def pairs(request, clips):
    """Examples before and after an augmentation, under several draws."""
    change = GEOMETRIC[request.param]
    return [(clip, change(clip, np.random.default_rng(seed))) for seed in range(3) for clip in clips]


def rotation(quaternion):
    return Rotation.from_quat(np.roll(quaternion.astype(np.float64), -1, axis=-1))


def wanted_flow(example, rays, shown, t, other):
    """From depth and the poses of the camera and the objects."""
    camera, objects = example["camera"], example["instances"]
    points = (rays * example["depth"][t]).reshape(-1, 3)
    points = rotation(camera["quaternions"][t]).apply(points) + camera["positions"][t]
    ids = example["segmentations"][t].reshape(-1)
    for i in np.unique(ids[ids > 0]) - 1:
        mine = ids == i + 1
        turn = rotation(objects["quaternions"][i, other]) * rotation(objects["quaternions"][i, t]).inv()
        points[mine] = turn.apply(points[mine] - objects["positions"][i, t]) + objects["positions"][i, other]
    points = rotation(camera["quaternions"][other]).inv().apply(points - camera["positions"][other])
    there = points @ camera["intrinsics"].astype(np.float64).T
    return (there[:, :2] / np.where(example["depth_valid"][t].reshape(-1, 1), there[:, 2:], 1)).reshape(
        shown.shape
    ) - shown


def test_labels_come_from_the_nearest_pixel_of_their_own_frame(pairs):
    for before, after in pairs:
        _, shown, _ = seen_at(before, after)
        known = after["place_valid"][0, ..., 0]
        zoom = np.diagonal(after["camera"]["intrinsics"])[:2] / np.diagonal(before["camera"]["intrinsics"])[:2]
        off = np.abs(shown - grid(*known.shape))[known]
        assert np.all(off <= zoom / 2 + 1e-3)
        if np.all(zoom == 1):
            assert off.max() < 1e-4
        place = np.floor(after["place"]).astype(int)
        for t in range(FRAMES):
            x, y = np.moveaxis(place[t], -1, 0)
            edge = after["edge_valid"][t]
            assert (after["edge"][t] >= before["edge"][t, y, x])[edge].all()  # or of another that the pixel covers
            for key in ("semantic", "moving", "segmentations"):
                known = after[f"{key}_valid"][t] if key != "segmentations" else after["semantic_valid"][t]
                np.testing.assert_array_equal(after[key][t][known], before[key][t, y, x][known])


def test_flow_is_what_augmented_depth_and_poses_say(pairs):
    moved = 0
    for before, after in pairs:
        rays, shown, _ = seen_at(before, after)
        zoom = np.abs(after["camera"]["intrinsics"][0, 0] / before["camera"]["intrinsics"][0, 0])
        for t, other, key in ((0, 1, "forward_flow"), (1, 2, "forward_flow"), (1, 0, "backward_flow")):
            known = (after[f"{key}_valid"][t] & after["depth_valid"][t] & after["place_valid"][t])[..., 0]
            error = np.abs(after[key][t] - wanted_flow(after, rays, shown, t, other))[known]
            assert error.max() < 0.01 * max(1, zoom)
            moved += np.count_nonzero(np.abs(after[key][t][known]) > 0.5)
    assert moved > 1000


def test_normals_are_those_of_augmented_depth(pairs):
    errors = []
    for before, after in pairs:
        rays, _, _ = seen_at(before, after)
        smooth = (after["edge"] == 0) & after["edge_valid"] & after["depth_valid"] & after["normal_valid"]
        smooth &= after["place_valid"][:1] & (after["segmentations"] == 0)
        for points, normal, known in zip(rays * after["depth"], after["normal"], smooth[..., 0], strict=True):
            for axis in (0, 1):
                here, there = np.arange(points.shape[axis])[:-4], np.arange(points.shape[axis])[4:]
                step = np.take(points, there, axis) - np.take(points, here, axis)
                both = np.take(known, there, axis) & np.take(known, here, axis)
                both &= np.sum(np.take(normal, there, axis) * np.take(normal, here, axis), axis=-1) > 0.999
                length = np.linalg.norm(step, axis=-1)
                sine = np.sum(np.take(normal, here, axis) * step, axis=-1) / np.maximum(length, 1e-9)
                errors.append(np.degrees(np.abs(sine[both])))
    assert sum(map(len, errors)) > 2000
    assert np.quantile(np.concatenate(errors), 0.95) < 0.5


def test_the_ego_motion_is_that_of_the_augmented_camera(pairs):
    for _, after in pairs:
        np.testing.assert_allclose(after["ego_motion"], wanted_ego_motion(after["camera"]), atol=1e-5)
    assert any(np.abs(after["ego_motion"][:-1]).max() > 0.05 for _, after in pairs)


def test_poses_stay_rotations_and_intrinsics_a_camera(pairs):
    for _, after in pairs:
        np.testing.assert_allclose(np.linalg.norm(after["camera"]["quaternions"], axis=-1), 1, atol=1e-6)
        assert np.all(np.diagonal(after["camera"]["intrinsics"]) > 0)
        np.testing.assert_allclose(after["camera"]["intrinsics"][[1, 2, 2], [0, 0, 1]], 0)


def test_no_label_becomes_valid_and_what_is_not_valid_is_zero(pairs):
    for before, after in pairs:
        assert before.keys() == after.keys()
        x, y = np.moveaxis(np.floor(after["place"]).astype(int), -1, 0)
        frame = np.arange(FRAMES)[:, None, None]
        for key in LABELS:
            valid = after[f"{key}_valid"]
            assert after[key].dtype == before[key].dtype
            assert not np.any(valid & ~before[f"{key}_valid"][frame, y, x])
            if key != "place":
                assert not np.any(np.where(valid, 0, after[key]))
            assert valid.any()
        assert after["image"].dtype == np.uint8
        assert after["image"].shape == (*after["depth"].shape[:3], 3)
        np.testing.assert_array_equal(after["frame_index"], before["frame_index"])


def test_an_augmentation_leaves_the_example_and_depends_on_the_draw_alone(clips):
    for change in (*GEOMETRIC.values(), augment.colour(0.2, 0.2, 0.2, 0.1)):
        before = copy.deepcopy(clips[0])
        results = [change(clips[0], np.random.default_rng(5)) for _ in range(2)]
        jax.tree.map(np.testing.assert_array_equal, clips[0], before)
        jax.tree.map(np.testing.assert_array_equal, *results)


@pytest.mark.parametrize("name", ["zoom in", "protocol", "zoom out"])
def test_a_scale_divides_every_length(clips, name):
    for seed in range(3):
        after = GEOMETRIC[name](clips[0], np.random.default_rng(seed))
        r = after["camera"]["intrinsics"][0, 0] / clips[0]["camera"]["intrinsics"][0, 0]
        assert 0.5 <= r <= 2
        x, y = np.moveaxis(np.floor(after["place"]).astype(int), -1, 0)
        known = after["depth_valid"] & after["place_valid"]
        before = clips[0]["depth"][np.arange(FRAMES)[:, None, None], y, x]
        np.testing.assert_allclose(after["depth"][known] * r, before[known], rtol=1e-5)
        for outer, key in (("camera", "positions"), ("instances", "positions"), ("instances", "scale")):
            np.testing.assert_allclose(after[outer][key] * r, clips[0][outer][key], rtol=1e-5)
        np.testing.assert_allclose(after["ego_motion"] * ([r] * 3 + [1] * 3), clips[0]["ego_motion"], rtol=1e-5)


def bounds(mask):
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return [0, 0, 0, 0]
    return [rows.min() / len(mask), columns.min() / mask.shape[1], (rows.max() + 1) / len(mask), (columns.max() + 1) / mask.shape[1]]  # fmt: skip


def test_boxes_bound_the_pixels_of_their_objects(pairs):
    seen = 0
    for _, after in pairs:
        for i in range(10):
            for t in range(FRAMES):
                mine = after["segmentations"][t, ..., 0] == i + 1
                np.testing.assert_allclose(after["instances"]["bboxes"][i, t], bounds(mine), atol=1e-6)
                assert after["instances"]["visibility"][i, t] == np.count_nonzero(mine)
                seen += mine.any()
    assert seen > 50


@pytest.mark.parametrize("name", GEOMETRIC)
def test_boxes_without_a_map_of_objects_hold_what_is_left(clips, name):
    tight = 0
    for seed in range(3):
        for clip in clips:
            exact = GEOMETRIC[name](clip, np.random.default_rng(seed))["instances"]
            alone = {k: v for k, v in clip.items() if k != "segmentations"}
            found = GEOMETRIC[name](alone, np.random.default_rng(seed))["instances"]
            there = exact["visibility"] > 0
            for slack in (
                exact["bboxes"][..., :2] - found["bboxes"][..., :2],
                found["bboxes"][..., 2:] - exact["bboxes"][..., 2:],
            ):
                assert np.all(slack[there] > -1e-6)
            assert np.all(found["visibility"] >= exact["visibility"])
            tight += np.count_nonzero(np.all(np.abs(found["bboxes"] - exact["bboxes"])[there] < 1e-6, axis=-1))
    assert tight > 20


@pytest.mark.parametrize("change", [FLIP, CROP], ids=["flip", "crop"])
def test_deriving_normals_and_augmenting_commute(clips, change):
    for seed, clip in enumerate(clips):
        depth, valid = clip["depth"][..., 0].astype(np.float64), clip["depth_valid"][..., 0]
        derived = [normals_from_depth(d, v, clip["camera"]["intrinsics"]) for d, v in zip(depth, valid, strict=True)]
        normal, known = (np.stack(part) for part in zip(*derived, strict=True))
        given = clip | {"normal": normal, "normal_valid": known[..., None]}
        after = change(given, np.random.default_rng(seed))
        inner = np.s_[3:-3, 3:-3]  # a window of the fit reaches no further
        for t in range(FRAMES):
            d, v = after["depth"][t, ..., 0].astype(np.float64), after["depth_valid"][t, ..., 0]
            again, found = normals_from_depth(d, v, after["camera"]["intrinsics"])
            np.testing.assert_array_equal(found[inner], after["normal_valid"][t, ..., 0][inner])
            np.testing.assert_allclose(again[inner], after["normal"][t][inner], atol=1e-3)


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_images_and_labels_stand_at_one_place(name, dtype):
    """An image whose brightness is the column and the row shows, after resampling, where its pixels were."""
    where = np.broadcast_to(grid(SIZE, SIZE), (FRAMES, SIZE, SIZE, 2))
    image = np.append(where, 0 * where[..., :1], axis=-1)
    camera = {"intrinsics": np.array([[40, 0, 20], [0, 40, 30], [0, 0, 1]], np.float32)}
    example = {"image": (4 * image).astype(dtype), "camera": camera, "place": where.astype(np.float32)}
    example["semantic_valid"] = np.ones((FRAMES, SIZE, SIZE, 1), bool)
    for seed in range(3):
        after = GEOMETRIC[name](example, np.random.default_rng(seed))
        _, shown, side = seen_at(example, after)
        for axis in (0, 1):
            found, exact = after["image"][0, ..., axis] / 4, after["place"][0, ..., axis]
            zoom = after["camera"]["intrinsics"][axis, axis] / 40
            step = (grid(*exact.shape) - shown)[..., axis] / zoom  # from the label's centre to the pixel's
            step = side * step if axis == 0 else step
            inner = (exact > 3) & (exact < SIZE - 3)
            error = (found - exact - step)[inner]
            assert np.abs(error).max() < (0.1 if dtype is np.float32 else 0.6)  # bytes are rounded twice
            assert abs(error.mean()) < 0.05
