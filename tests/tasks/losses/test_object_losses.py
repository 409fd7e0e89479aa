"""Losses of objects: golden numbers, laws, gradients against finite differences and where they are hardest."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.geometry.rotations import rotation_from
from mtljax.tasks.losses.detection import DetectionMaps, Wanted, detection_loss, focal
from mtljax.tasks.losses.masks import dice
from mtljax.tasks.losses.paths import modes_loss
from mtljax.tasks.losses.poses import TruePose, pose_loss, rotation_errors
from mtljax.tasks.objects import symmetry
from mtljax.tasks.objects.poses import pose, split
from mtljax.tasks.objects.symmetry import nearest
from mtljax.tasks.objects.targets import heat_map
from tests.tasks import golden

KIND = {
    "box": symmetry.BOX,
    "cylinder": symmetry.CYLINDER,
    "cone": symmetry.CONE,
    "sphere": symmetry.SPHERE,
    "wedge": symmetry.NONE,
}
K = np.array([[57.6, 0, 32], [0, 57.6, 32], [0, 0, 1]])
STEP = 1e-2


def agrees_with_differences(loss, given, rng, tries=3):
    """Asserts that the gradient is finite, and that of a jitted total along random ways the slope of its values."""
    both = jax.jit(jax.value_and_grad(lambda x: loss(x)[0]))
    _, gradient = both(given)
    assert np.isfinite(jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(gradient)])).all()
    for _ in range(tries):
        way = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), given)
        up, down = (both(jax.tree.map(lambda x, w, s=s: x + s * STEP * w, given, way))[0] for s in (1, -1))
        along = sum(jnp.sum(g * w) for g, w in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True))
        np.testing.assert_allclose((up - down) / (2 * STEP), along, rtol=0.02, atol=0.02)


def test_golden_focal_loss(shared):
    given = golden.read(shared, "maps.json")
    found = focal(np.array(given["maps"]["q"], np.float32), np.array(given["heat"]["target"], np.float32))
    np.testing.assert_allclose(found, given["expected"]["focal"], rtol=1e-6)


def test_golden_rotation_losses(shared):
    given = golden.read(shared, "maps.json")["poses"]
    found, truth, half = (np.array([one[key] for one in given]) for key in ("R", "true_q", "half_sizes"))
    kinds = np.array([KIND[one["kind"]] for one in given])
    turned, sizes = nearest(found, rotation_from(truth).as_matrix(), kinds, half)
    np.testing.assert_allclose(turned, [one["nearest_true_R"] for one in given], atol=1e-5)
    np.testing.assert_allclose(
        rotation_errors(found, turned, sizes), [one["rotation_loss"] for one in given], atol=1e-5
    )


def frames(rng, empty=False):
    """Two frames of a map of 5 x 6: maps of a head, and three objects, of which one is ignored and one padding."""
    low = rng.uniform(0, 3, (2, 3, 2)).astype(np.float32)
    boxes = np.concatenate([low, low + rng.uniform(1, 2, low.shape).astype(np.float32)], axis=-1)
    there = np.array([[True, False, False]] * 2) & (not empty)
    wanted = Wanted(
        boxes, rng.integers(0, 4, (2, 3)), there, np.array([[False, True, False]] * 2), np.array([True, True])
    )
    maps = [rng.normal(size=(2, 5, 6, n)).astype(np.float32) for n in (1, 4, 2, 2)]
    return DetectionMaps(*maps), wanted


loss_of = jax.jit(detection_loss)


def test_detection_is_as_written_out():
    maps, wanted = frames(np.random.default_rng(0))
    total, count = loss_of(maps, wanted)
    heat = heat_map(wanted.boxes, wanted.counts, np.zeros((2, 3), int), 5, 6)
    expected = 0.0
    for f in range(2):
        x0, y0, x1, y1 = wanted.boxes[f, 1]
        negatives = np.ones((5, 6, 1), bool)
        negatives[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = False
        expected += float(focal(jax.nn.sigmoid(maps.heat[f]), heat[f], negatives))
        x0, y0, x1, y1 = wanted.boxes[f, 0]
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        at = int(cy), int(cx)
        logits = maps.logits[f][at]
        expected += np.log(np.sum(np.exp(logits))) - logits[wanted.categories[f, 0]]
        expected += np.abs(maps.offset[f][at] - [cx - at[1], cy - at[0]]).sum()
        expected += 0.1 * 128 / 6 * np.abs(maps.size[f][at] - [x1 - x0, y1 - y0]).sum()
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert count == 2


def test_frames_whose_objects_are_not_listed_add_nothing():
    maps, wanted = frames(np.random.default_rng(1))
    alone = loss_of(*jax.tree.map(lambda x: x[:1], (maps, wanted)))
    partly = wanted._replace(listed=np.array([True, False]))
    np.testing.assert_allclose(loss_of(maps, partly), alone, rtol=1e-5)
    spoiled = maps._replace(heat=maps.heat * np.array([1, np.nan], np.float32)[:, None, None, None])
    np.testing.assert_allclose(loss_of(spoiled, partly), alone, rtol=1e-5)
    assert np.isnan(loss_of(spoiled, wanted)[0])  # but what is judged may not be hidden
    nothing = jax.value_and_grad(lambda m: detection_loss(m, wanted._replace(listed=np.zeros(2, bool))), has_aux=True)
    (total, count), gradient = nothing(maps)
    assert (total, count) == (0, 0)
    assert not any(np.any(x) for x in gradient)


def test_a_listed_frame_without_objects_counts_once():
    maps, wanted = frames(np.random.default_rng(2), empty=True)
    total, count = loss_of(maps, wanted)
    assert count == 2
    assert total > 0


def test_a_heat_map_for_each_class_needs_no_logits():
    maps, wanted = frames(np.random.default_rng(3))
    maps = maps._replace(heat=np.concatenate([maps.heat] * 4, axis=-1), logits=None)
    moved = wanted._replace(categories=(wanted.categories + 1) % 4)
    by_map = maps._replace(heat=np.roll(maps.heat + np.arange(4), 1, axis=-1))
    here = detection_loss(maps._replace(heat=maps.heat + np.arange(4)), wanted)
    np.testing.assert_allclose(here, detection_loss(by_map, moved), rtol=1e-5)


def test_gradients_of_detection():
    maps, wanted = frames(np.random.default_rng(4))
    agrees_with_differences(lambda m: detection_loss(m, wanted), maps, np.random.default_rng(5))


def test_dice():
    rng = np.random.default_rng(6)
    masks, counts = rng.random((3, 4, 5)) > 0.5, np.array([True, True, False])
    logits = rng.normal(size=masks.shape).astype(np.float32)
    logits[2] = np.nan
    p = 1 / (1 + np.exp(-logits))
    expected = sum(1 - 2 * (p[i] * masks[i]).sum() / ((p[i] ** 2).sum() + masks[i].sum() + 1e-5) for i in range(2))
    total, count = dice(logits, masks, counts)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert count == 2
    agrees_with_differences(lambda x: dice(x, masks, counts), np.nan_to_num(logits), rng)


def posed(raw, centres, truth, counts):
    numbers = split(raw)
    return pose_loss(pose(numbers, centres, K, 4).rotation, numbers, truth, counts)


def true_poses(rng, kinds):
    number = len(kinds)
    rotation = Rotation.random(number, rng=rng).as_matrix().astype(np.float32)
    shift, depth = rng.normal(size=(number, 2)), rng.uniform(2, 8, number)
    return TruePose(rotation, shift, depth, rng.uniform(0.2, 1, (number, 3)), np.array(kinds))


def test_poses_are_as_written_out():
    rng = np.random.default_rng(7)
    truth, raw = true_poses(rng, range(6)), rng.normal(size=(6, 12)).astype(np.float32)
    counts = np.array([True, True, True, True, False, True])
    numbers, centres = split(raw), rng.uniform(4, 12, (6, 2))
    rotation = pose(numbers, centres, K, 4).rotation
    total, count = pose_loss(rotation, numbers, truth, counts)
    turned, half = nearest(np.float64(rotation), np.float64(truth.rotation), truth.kind, truth.half_sizes, np)
    expected = 0.0
    for i in np.flatnonzero(counts):
        expected += (
            2 * np.abs((rotation[i] - turned[i]) * half[i]).sum() / 3
            + 0.5 * np.abs(numbers.shift[i] - truth.shift[i]).sum()
        )
        expected += (
            3 * abs(numbers.log_depth[i] - np.log(truth.depth[i]))
            + 0.3 * np.abs(numbers.log_sizes[i] - np.log(half[i])).sum()
        )
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert count == 5


def test_gradients_of_poses():
    rng = np.random.default_rng(8)
    truth, centres, counts = true_poses(rng, range(6)), rng.uniform(4, 12, (6, 2)), np.ones(6, bool)
    raw = rng.normal(size=(6, 12)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda x, t: posed(x, centres, t, counts)[0]))
    turned, half = nearest(pose(split(raw), centres, K, 4).rotation, truth.rotation, truth.kind, truth.half_sizes)
    fixed = truth._replace(rotation=turned, half_sizes=half, kind=np.zeros(6, int))
    np.testing.assert_allclose(gradient(raw, truth), gradient(raw, fixed), rtol=1e-4, atol=1e-4)
    agrees_with_differences(lambda x: posed(x, centres, fixed, counts), raw, rng)


def test_gradients_of_poses_are_finite_where_they_are_hardest():
    """Half turns, coincident axes, an object on the optical axis, one seen by no pixel, and exact poses."""
    six = [[0, 0, 0, 0, 0, 0], [-2, 0, 0, 0, -2, 0], [-2, 0, 0, 0, 0, 0], [0, 0, 0, 1, -1, 0], [-1, 0, 0, 0, -1, 0]]
    raw = np.zeros((30, 12), np.float32)
    raw[:, :6] = np.repeat(np.array(six), 6, axis=0)
    kinds = np.tile(np.arange(6), 5)
    eye, zero = np.eye(3)[None].repeat(30, 0), np.zeros((30, 2))
    truth = TruePose(eye, zero, np.full(30, np.exp(1.6)), np.ones((30, 3)), kinds)
    counts = np.ones(30, bool)
    loss = jax.jit(jax.value_and_grad(lambda x, t, c: posed(x, np.full((30, 2), 8.0), t, c), has_aux=True))
    (total, count), gradient = loss(raw, truth, counts)
    assert np.isfinite(total)
    assert count == 30
    assert np.isfinite(gradient).all()
    unseen = truth._replace(depth=np.zeros(30), half_sizes=np.zeros((30, 3)), rotation=np.full((30, 3, 3), np.nan))
    (total, count), gradient = loss(raw, unseen, ~counts)
    assert (total, count) == (0, 0)
    assert not np.any(gradient)


def turned_by(kind, rng):
    spin = Rotation.from_rotvec([0, 0, rng.uniform(0, 6)]).as_matrix()
    return {
        symmetry.NONE: np.eye(3), symmetry.BOX: symmetry.TURNS[2], symmetry.CUBE: symmetry.TURNS[17],
        symmetry.CYLINDER: np.diag([1.0, -1, -1]) @ spin, symmetry.CONE: spin,
        symmetry.SPHERE: Rotation.random(rng=rng).as_matrix(),
    }[kind]  # fmt: skip


def test_what_looks_the_same_costs_nothing():
    rng = np.random.default_rng(9)
    truth = true_poses(rng, range(6))
    turns = np.stack([turned_by(kind, rng) for kind in range(6)])
    sizes = np.abs(np.einsum("nji,nj->ni", turns[2:3], truth.half_sizes[2:3]))
    half = np.concatenate([truth.half_sizes[:2], sizes, truth.half_sizes[3:]])
    numbers = split(np.zeros((6, 12)))._replace(
        shift=truth.shift, log_depth=np.log(truth.depth), log_sizes=np.log(half)
    )
    seen = truth.rotation @ turns
    assert float(pose_loss(seen, numbers, truth, np.ones(6, bool))[0]) < 1e-4
    away = truth._replace(kind=np.zeros(6, int))
    assert float(pose_loss(seen, numbers, away, np.ones(6, bool))[0]) > 1


def test_the_best_mode_is_drawn_to_the_truth():
    rng = np.random.default_rng(10)
    paths, logits = rng.normal(size=(3, 4, 5, 2)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    truth, valid = rng.normal(size=(3, 5, 2)).astype(np.float32), rng.random((3, 5)) > 0.3
    valid[2], truth[~valid] = False, np.nan
    expected = 0.0
    for i in range(2):
        mean = np.linalg.norm(paths[i] - truth[i], axis=-1)[:, valid[i]].mean(axis=1)
        chosen = logits[i, mean.argmin()] - np.log(np.exp(logits[i]).sum())
        expected += mean.min() + 0.1 * mean.mean() - 0.2 * chosen
    total, count = modes_loss(paths, logits, truth, valid)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert count == 2
    agrees_with_differences(lambda x: modes_loss(*x, truth, valid), (paths, logits), rng)
    met = np.nan_to_num(truth)[:, None].repeat(4, axis=1)
    assert np.isfinite(jax.grad(lambda x: modes_loss(x, logits, truth, valid)[0])(met)).all()
