"""The properties of `scenes` in its specification, each computed from a rendered clip's labels alone."""

import numpy as np
import pytest
from scipy import ndimage

from mtljax.data.scenes.render import render_clip
from mtljax.data.scenes.world import CLASSES, HEIGHT, MAX_OBJECTS, ROOM, clip_rng, sample_world

DENSE = ("depth", "normal", "segmentations", "semantic", "edge", "forward_flow", "backward_flow")


@pytest.fixture(scope="module")
def clips():
    return [render_clip(64, 4, 0, "train", index) for index in range(8)]


def matrix(quaternion):
    w, x, y, z = np.moveaxis(quaternion.astype(np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def pixel_grid(clip):
    return np.stack(np.meshgrid(np.arange(clip["depth"].shape[2]), np.arange(clip["depth"].shape[1])), axis=-1) + 0.5


def rays(clip):
    k = clip["camera"]["intrinsics"].astype(np.float64)
    uv = pixel_grid(clip)
    return np.concatenate([(uv - k[:2, 2]) / np.diagonal(k)[:2], np.ones((*uv.shape[:2], 1))], axis=-1)


def camera_points(clip, t):
    return rays(clip) * clip["depth"][t].astype(np.float64)


def world_points(clip, t):
    camera = clip["camera"]
    return camera_points(clip, t) @ matrix(camera["quaternions"][t]).T + camera["positions"][t].astype(np.float64)


def projected(clip, world, t):
    camera = clip["camera"]
    k = camera["intrinsics"].astype(np.float64)
    local = (world - camera["positions"][t].astype(np.float64)) @ matrix(camera["quaternions"][t])
    return local[..., :2] / local[..., 2:] * np.diagonal(k)[:2] + k[:2, 2]


def in_object_frame(clip, points, i, t):
    instances = clip["instances"]
    return (points - instances["positions"][i, t].astype(np.float64)) @ matrix(instances["quaternions"][i, t])


def expected_flow(clip, t, other):
    """(h, w, 2) from the depth at t and the poses at t and another frame."""
    points, ids, instances = world_points(clip, t), clip["segmentations"][t, ..., 0], clip["instances"]
    for i in range(len(instances["category"])):
        mine = ids == i + 1
        turned = in_object_frame(clip, points[mine], i, t) @ matrix(instances["quaternions"][i, other]).T
        points[mine] = turned + instances["positions"][i, other].astype(np.float64)
    return projected(clip, points, other) - pixel_grid(clip)


def away_from_edges(clip, t):
    edge = np.pad(clip["edge"][t, ..., 0] > 0, 1, constant_values=True)
    return ~(edge[1:-1, 1:-1] | edge[:-2, 1:-1] | edge[2:, 1:-1] | edge[1:-1, :-2] | edge[1:-1, 2:])


def test_differentiated_depth_gives_the_normals(clips):
    errors, on_object = [], []
    for clip in clips:
        for t in range(4):
            points = camera_points(clip, t)
            normal = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
            normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
            angle = np.degrees(np.arccos(np.clip(np.sum(normal * clip["normal"][t], axis=-1), -1, 1)))
            smooth = away_from_edges(clip, t)
            errors.append(angle[smooth])
            on_object.append(clip["segmentations"][t, ..., 0][smooth] > 0)
    errors, on_object = np.concatenate(errors), np.concatenate(on_object)
    assert np.median(errors) < 1
    assert np.median(errors[on_object]) < 1
    assert np.quantile(errors[~on_object], 0.99) < 1


def test_normals_are_unit_vectors_towards_the_camera(clips):
    for clip in clips:
        np.testing.assert_allclose(np.linalg.norm(clip["normal"], axis=-1), 1, atol=1e-5)
        assert np.all(np.sum(clip["normal"] * rays(clip), axis=-1) < 1e-5)


@pytest.mark.parametrize(("key", "step"), [("forward_flow", 1), ("backward_flow", -1)])
def test_flow_is_the_rigid_motion_of_every_pixel(clips, key, step):
    moved = 0
    for clip in clips:
        for t in range(4):
            if 0 <= t + step < 4:
                assert np.abs(clip[key][t] - expected_flow(clip, t, t + step)).max() < 0.01
                on_object = clip["segmentations"][t, ..., 0] > 0
                moved += np.count_nonzero(np.linalg.norm(clip[key][t][on_object], axis=-1) > 0.5)
    assert moved > 1000


def test_relative_camera_pose_explains_the_flow_of_the_background(clips):
    moved = 0
    for clip in clips:
        camera, k = clip["camera"], clip["camera"]["intrinsics"].astype(np.float64)
        positions = camera["positions"].astype(np.float64)
        for t in range(3):
            background = clip["segmentations"][t, ..., 0] == 0
            later = matrix(camera["quaternions"][t + 1])
            turn, shift = later.T @ matrix(camera["quaternions"][t]), later.T @ (positions[t] - positions[t + 1])
            seen = (camera_points(clip, t)[background] @ turn.T + shift) @ k.T
            flow = seen[:, :2] / seen[:, 2:] - pixel_grid(clip)[background]
            assert np.abs(clip["forward_flow"][t][background] - flow).max() < 0.01
            moved += np.count_nonzero(np.linalg.norm(flow, axis=-1) > 0.5)
    assert moved > 1000


def test_forward_and_backward_flow_cancel_where_not_occluded(clips):
    rests, pixels = [], 0
    for clip in clips:
        for t in range(3):
            forward = clip["forward_flow"][t]
            corner = pixel_grid(clip) + forward - 0.5
            inside = np.all((corner >= 0) & (corner < 63), axis=-1)
            corner, ids = corner[inside], clip["segmentations"][t, ..., 0][inside]
            x, y = corner.astype(int).T
            a, b = (corner - np.stack([x, y], axis=-1)).T[..., None]
            same = np.ones(len(x), bool)
            back = np.zeros((len(x), 2))
            for dx, dy, weight in ((0, 0, (1 - a) * (1 - b)), (1, 0, a * (1 - b)), (0, 1, (1 - a) * b), (1, 1, a * b)):
                there = (y + dy, x + dx)
                same &= (clip["segmentations"][t + 1, ..., 0][there] == ids) & (clip["edge"][t + 1, ..., 0][there] == 0)
                back += weight * clip["backward_flow"][t + 1][there]
            rests.append(np.linalg.norm(forward[inside] + back, axis=-1)[same])
            pixels += inside.size
    rests = np.concatenate(rests)
    assert len(rests) > 0.5 * pixels
    assert np.quantile(rests, 0.95) < 0.01
    assert np.quantile(rests, 0.99) < 0.05


def test_boxes_bound_and_visibility_counts_the_pixels_of_each_instance(clips):
    unseen = 0
    for clip in clips:
        instances = clip["instances"]
        for i in range(len(instances["category"])):
            for t in range(4):
                rows, columns = np.nonzero(clip["segmentations"][t, ..., 0] == i + 1)
                assert instances["visibility"][i, t] == len(rows)
                box = [0, 0, 0, 0]
                if len(rows):
                    box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
                unseen += not len(rows)
                np.testing.assert_array_equal(instances["bboxes"][i, t], np.array(box, np.float32) / 64)
    assert unseen > 0


def test_edges_are_where_id_depth_or_normal_is_discontinuous(clips):
    differing = []
    for clip in clips:
        for t in range(4):
            points, normal = camera_points(clip, t), clip["normal"][t].astype(np.float64)
            ids, depth = clip["segmentations"][t, ..., 0], clip["depth"][t, ..., 0]
            edge, id_changes = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
            for here, there in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
                step = points[there] - points[here]
                off = [np.abs(np.sum(normal[side] * step, axis=-1)) for side in (here, there)]
                changed = ids[here] != ids[there]
                broken = changed | (np.sum(normal[here] * normal[there], axis=-1) < np.cos(np.radians(30)))
                broken |= np.minimum(*off) > 0.05 * np.minimum(depth[here], depth[there])
                for side in (here, there):
                    edge[side] |= broken
                    id_changes[side] |= changed
            found = clip["edge"][t, ..., 0]
            assert set(np.unique(found)) == {0, 1}
            assert np.all(found[id_changes] == 1)
            differing.append(found != edge)
    assert np.mean(differing) < 1e-3


def test_floor_points_lie_at_height_zero_and_all_points_in_the_room(clips):
    floor_pixels = 0
    for clip in clips:
        for t in range(4):
            points = world_points(clip, t)
            up = (clip["normal"][t] @ matrix(clip["camera"]["quaternions"][t]).T)[..., 2] > 0.999
            floor = up & (clip["segmentations"][t, ..., 0] == 0)
            assert np.abs(points[floor][:, 2]).max() < 1e-4
            floor_pixels += np.count_nonzero(floor)
            assert np.all(np.abs(points) <= np.array([ROOM, ROOM, HEIGHT]) + 1e-4)
    assert floor_pixels > 10_000


def test_object_points_lie_on_their_solids(clips):
    seen = set()
    for clip in clips:
        for t in range(4):
            points = world_points(clip, t)
            for i, category in enumerate(clip["instances"]["category"]):
                mine = clip["segmentations"][t, ..., 0] == i + 1
                local = in_object_frame(clip, points[mine], i, t) / clip["instances"]["scale"][i]
                np.testing.assert_allclose(gauge(category, local), 1, atol=1e-4)
                seen |= {CLASSES[category]} if mine.any() else set()
    assert seen == set(CLASSES[1:])


def test_semantic_is_the_class_of_the_instance_and_depth_is_known_everywhere(clips):
    for clip in clips:
        category = np.array([0, *clip["instances"]["category"]])
        assert 3 <= len(category) - 1 <= MAX_OBJECTS
        np.testing.assert_array_equal(clip["semantic"], category[clip["segmentations"]])
        assert np.all(np.isfinite(clip["depth"]))
        assert clip["depth"].min() > 0.25
        assert all(np.all(np.isfinite(clip[key])) for key in DENSE)


def gauge(category, points):
    """Below 1 inside the unit solid, 1 on its surface, above 1 outside."""
    x, y, z = np.moveaxis(points, -1, 0)
    across = np.hypot(x, y)
    return {
        "sphere": np.hypot(across, z),
        "box": np.maximum(np.maximum(np.abs(x), np.abs(y)), np.abs(z)),
        "cylinder": np.maximum(across, np.abs(z)),
        "cone": np.maximum(across + (1 + z) / 2, -z),
    }[CLASSES[category]]


def test_floor_is_lambertian_with_hard_shadows(clips):
    in_shade = 0
    for index in (0, 1, 4):
        clip, world = clips[index], sample_world(clip_rng(0, "train", index), range(4))
        up = (clip["normal"][0] @ matrix(clip["camera"]["quaternions"][0]).T)[..., 2] > 0.999
        floor = up & (clip["segmentations"][0, ..., 0] == 0)
        steps = np.linspace(0.02, 6, 300)[:, None, None]
        points = world_points(clip, 0)[floor]
        towards_light = points + steps * world.light
        shaded = np.zeros(np.count_nonzero(floor), bool)
        for i, category in enumerate(clip["instances"]["category"]):
            local = in_object_frame(clip, towards_light, i, 0) / clip["instances"]["scale"][i]
            shaded |= (gauge(category, local) < 1).any(axis=0)
        light = (0.35 + 0.65 * world.light[2] * ~shaded) * (
            1 + np.sin(points @ world.waves.T + world.phases).mean(axis=1)
        )
        seen = clip["video"][0][floor] / 255
        off = [np.abs(seen - np.clip(colour * light[:, None], 0, 1)).max(axis=1) for colour in world.floor]
        assert np.mean(np.minimum(*off) < 0.05) > 0.98
        in_shade += np.count_nonzero(shaded)
    assert in_shade > 100


def test_patches_are_found_again_where_they_have_moved(clips):
    """Textures tell motion everywhere: whole shifts up to 4 pixels are found."""
    shifts = np.stack(np.meshgrid(range(-4, 5), range(-4, 5)), axis=-1).reshape(-1, 2)
    found, still = 0.0, 0.0
    for clip in clips:
        here, there = clip["video"][:2].astype(float) / 255
        moved = [np.roll(there, (-y, -x), axis=(0, 1)) for x, y in shifts]
        costs = [ndimage.uniform_filter(np.sum((here - image) ** 2, axis=-1), 9) for image in moved]
        flow = clip["forward_flow"][0]
        known = (np.abs(flow) < 4).all(axis=-1)
        known[:4] = known[-4:] = known[:, :4] = known[:, -4:] = False
        found += np.linalg.norm(shifts[np.argmin(costs, axis=0)] - flow, axis=-1)[known].sum()
        still += np.linalg.norm(flow, axis=-1)[known].sum()
    assert found < 1.1 * still  # 1.7 with flat colours; a shift by whole pixels alone costs 0.3


def test_a_clip_depends_on_seed_split_and_index_alone(clips):
    again = render_clip(64, 4, 0, "train", 5)  # out of order, after other clips
    np.testing.assert_equal(again, clips[5])
    for other in ((1, "train", 5), (0, "test", 5), (0, "train", 4)):
        assert not np.array_equal(render_clip(64, 4, *other)["video"], again["video"])
