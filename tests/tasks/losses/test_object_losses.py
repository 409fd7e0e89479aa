"""Losses of objects: golden numbers, laws, gradients against finite differences and where they are hardest."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mtljax.geometry.rotations import rotation_from
from mtljax.objects import symmetry
from mtljax.objects.poses import pose, split
from mtljax.objects.symmetry import nearest
from mtljax.objects.targets import heat_map
from mtljax.tasks.losses.detection import DetectionMaps, Wanted, detection_loss, focal
from mtljax.tasks.losses.masks import dice
from mtljax.tasks.losses.paths import modes_loss
from mtljax.tasks.losses.poses import TruePose, pose_loss, rotation_errors
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


def agrees_with_differences(both, given, rng, tries=3):
    """Asserts that the gradient of a total is finite, and along random ways the slope of its values.

    Args:
        both: given -> (total, count), gradient; jitted.
        given: a tree of arrays.
        rng: of the ways.
        tries: how many.
    """
    _, gradient = both(given)
    leaves = [np.asarray(x) for x in jax.tree.leaves(gradient)]
    assert all(np.isfinite(x).all() for x in leaves)
    for _ in range(tries):
        way = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), given)
        up, down = (both(jax.tree.map(lambda x, w, s=s: x + s * STEP * w, given, way))[0][0] for s in (1, -1))
        along = sum(np.sum(g * w) for g, w in zip(leaves, jax.tree.leaves(way), strict=True))
        np.testing.assert_allclose((up - down) / (2 * STEP), along, rtol=0.02, atol=0.05)


def test_golden_focal_loss(shared):
    given = golden.read(shared, "maps.json")
    found = focal(np.array(given["maps"]["q"], np.float32), np.array(given["heat"]["target"], np.float32))
    np.testing.assert_allclose(found, given["expected"]["focal"], rtol=1e-6)


def test_golden_rotation_losses(shared):
    given = golden.read(shared, "maps.json")["poses"]
    found, truth, half = (np.array([one[key] for one in given]) for key in ("R", "true_q", "half_sizes"))
    kinds = np.array([KIND[one["kind"]] for one in given])
    turned, sizes = nearest(found, rotation_from(truth).as_matrix(), kinds, half, np)
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


value = jax.jit(detection_loss)
judged = jax.jit(jax.value_and_grad(detection_loss, has_aux=True))


def test_detection_is_as_written_out():
    maps, wanted = frames(np.random.default_rng(0))
    total, count = value(maps, wanted)
    heat = jax.jit(heat_map, static_argnums=(3, 4))(wanted.boxes, wanted.counts, np.zeros((2, 3), int), 5, 6)
    heat, q = np.asarray(heat), 1 / (1 + np.exp(-maps.heat))
    expected = 0.0
    for f in range(2):
        x0, y0, x1, y1 = wanted.boxes[f, 1]
        negatives = np.ones((5, 6, 1), bool)
        negatives[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = False
        rest = np.where(negatives, (1 - heat[f]) ** 4 * q[f] ** 2 * np.log(1 - q[f]), 0)
        expected -= np.sum(np.where(heat[f] == 1, (1 - q[f]) ** 2 * np.log(q[f]), rest))
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
    first, second, none = (wanted._replace(listed=np.array(x)) for x in ([True, False], [False, True], [False] * 2))
    whole, alone = value(maps, wanted), value(maps, first)
    np.testing.assert_allclose(whole, np.add(alone, value(maps, second)), rtol=1e-5)
    spoiled = maps._replace(heat=maps.heat * np.array([1, np.nan], np.float32)[:, None, None, None])
    np.testing.assert_allclose(value(spoiled, first), alone, rtol=1e-6)
    assert np.isnan(value(spoiled, wanted)[0])  # but what is judged may not be hidden
    assert value(spoiled, none) == (0, 0)


def test_an_object_of_a_class_that_the_head_does_not_have_is_neither_wanted_nor_wrong():
    maps, wanted = frames(np.random.default_rng(5))
    own = np.array([[True, False, False], [False] * 3])
    beyond = wanted._replace(categories=np.where(own, 7, wanted.categories))
    ignored = wanted._replace(counts=wanted.counts & ~own, ignored=wanted.ignored | own)
    np.testing.assert_allclose(value(maps, beyond), value(maps, ignored), rtol=1e-6)


def test_a_listed_frame_without_objects_counts_once():
    maps, wanted = frames(np.random.default_rng(2), empty=True)
    total, count = value(maps, wanted)
    assert count == 2
    assert total > 0


@pytest.mark.slow
def test_a_heat_map_for_each_class_needs_no_logits():
    maps, wanted = frames(np.random.default_rng(3))
    maps = maps._replace(heat=np.concatenate([maps.heat] * 4, axis=-1), logits=None)
    moved = wanted._replace(categories=(wanted.categories + 1) % 4)
    by_map = maps._replace(heat=np.roll(maps.heat + np.arange(4), 1, axis=-1))
    here = detection_loss(maps._replace(heat=maps.heat + np.arange(4)), wanted)
    np.testing.assert_allclose(here, detection_loss(by_map, moved), rtol=1e-5)


@pytest.mark.slow
def test_gradients_of_detection():
    maps, wanted = frames(np.random.default_rng(4))
    _, gradient = judged(maps, wanted._replace(listed=np.zeros(2, bool)))
    assert not any(np.any(x) for x in gradient)
    agrees_with_differences(lambda m: judged(m, wanted), maps, np.random.default_rng(5))


def test_dice():
    rng = np.random.default_rng(6)
    masks, counts = rng.random((3, 4, 5)) > 0.5, np.array([True, True, False])
    logits = rng.normal(size=masks.shape).astype(np.float32)
    logits[2] = np.nan
    p = 1 / (1 + np.exp(-logits))
    expected = sum(1 - 2 * (p[i] * masks[i]).sum() / ((p[i] ** 2).sum() + masks[i].sum() + 1e-5) for i in range(2))
    both = jax.jit(jax.value_and_grad(dice, has_aux=True))
    (total, count), _ = both(logits, masks, counts)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert count == 2
    agrees_with_differences(lambda x: both(x, masks, counts), np.nan_to_num(logits), rng)


def posed(raw, centres, truth, counts):
    numbers = split(raw)
    return pose_loss(pose(numbers, centres, K, 4).rotation, numbers, truth, counts)


def true_poses(rng, kinds):
    number = len(kinds)
    rotation = Rotation.random(number, rng=rng).as_matrix().astype(np.float32)
    shift, depth = rng.normal(size=(number, 2)), rng.uniform(2, 8, number)
    return TruePose(rotation, shift, depth, rng.uniform(0.2, 1, (number, 3)), np.array(kinds))


split_of = jax.jit(split)
made_of = jax.jit(lambda numbers, centres: pose(numbers, centres, K, 4).rotation)
posing = jax.jit(jax.value_and_grad(posed, has_aux=True))
values = jax.jit(posed)
MANY = 30  # five of each kind


def many(rng):
    truth, centres = true_poses(rng, np.tile(np.arange(6), 5)), rng.uniform(4, 12, (MANY, 2))
    return truth, centres, rng.normal(size=(MANY, 12)).astype(np.float32)


def turned_by(kind, rng):
    spin = Rotation.from_rotvec([0, 0, rng.uniform(0, 6)]).as_matrix()
    return {
        symmetry.NONE: np.eye(3), symmetry.BOX: symmetry.TURNS[2], symmetry.CUBE: symmetry.TURNS[17],
        symmetry.CYLINDER: np.diag([1.0, -1, -1]) @ spin, symmetry.CONE: spin,
        symmetry.SPHERE: Rotation.random(rng=rng).as_matrix(),
    }[kind]  # fmt: skip


def test_poses_are_as_written_out():
    rng = np.random.default_rng(7)
    truth, centres, raw = many(rng)
    counts = rng.random(MANY) < 0.8
    total, count = values(raw, centres, truth, counts)
    numbers = split_of(raw)
    rotation = np.float64(made_of(numbers, centres))
    turned, half = nearest(rotation, np.float64(truth.rotation), truth.kind, truth.half_sizes, np)
    error = 2 * np.abs((rotation - turned) * half[:, None]).sum(axis=(1, 2)) / 3
    error += 0.5 * np.abs(numbers.shift - truth.shift).sum(axis=1)
    error += 3 * np.abs(numbers.log_depth - np.log(truth.depth)) + 0.3 * np.abs(numbers.log_sizes - np.log(half)).sum(
        axis=1
    )
    np.testing.assert_allclose(total, error[counts].sum(), rtol=1e-5)
    assert count == counts.sum()


def test_what_looks_the_same_costs_nothing():
    rng = np.random.default_rng(9)
    truth, centres, raw = many(rng)
    truth = truth._replace(rotation=np.asarray(made_of(split_of(raw), centres)))
    turned = np.stack([r @ turned_by(kind, rng) for r, kind in zip(truth.rotation, truth.kind, strict=True)])
    _, half = nearest(truth.rotation, turned, truth.kind, truth.half_sizes, np)
    numbers = split_of(raw)
    exact = truth._replace(rotation=np.float32(turned), shift=numbers.shift, depth=np.exp(numbers.log_depth))
    left = 0.3 * np.abs(numbers.log_sizes - np.log(half)).sum()
    np.testing.assert_allclose(values(raw, centres, exact, np.ones(MANY, bool))[0], left, rtol=1e-4)
    assert np.abs(turned - truth.rotation).max() > 1
    alone = exact._replace(kind=np.zeros(MANY, int))
    assert values(raw, centres, alone, np.ones(MANY, bool))[0] > left + 10


@pytest.mark.slow
def test_gradients_of_poses():
    """No gradient goes through the choice: with the chosen rotation as the only one it is the same."""
    rng = np.random.default_rng(8)
    truth, centres, raw = many(rng)
    counts = truth.kind != symmetry.SPHERE
    rotation = np.asarray(made_of(split_of(raw), centres))
    turned, half = nearest(rotation, truth.rotation, truth.kind, truth.half_sizes, np)
    fixed = truth._replace(rotation=np.float32(turned), half_sizes=half, kind=np.zeros(MANY, int))
    gradient = posing(raw, centres, truth, np.ones(MANY, bool))[1]
    np.testing.assert_allclose(gradient[counts], posing(raw, centres, fixed, counts)[1][counts], rtol=1e-3, atol=1e-4)
    assert not np.any(gradient[~counts, :6])  # a sphere's rotation is never wrong
    few = counts & (
        np.arange(MANY) < 6
    )  # an L1 norm has kinks, which steps may cross: those of rotations alone are near
    away = fixed._replace(shift=fixed.shift + 9, depth=9 * fixed.depth, half_sizes=9 * fixed.half_sizes)
    agrees_with_differences(lambda x: posing(x, centres, away, few), raw, rng)


@pytest.mark.slow
def test_gradients_of_poses_are_finite_where_they_are_hardest():
    """Half turns, coincident axes, an object on the optical axis, one seen by no pixel, and exact poses."""
    six = [[0, 0, 0, 0, 0, 0], [-2, 0, 0, 0, -2, 0], [-2, 0, 0, 0, 0, 0], [0, 0, 0, 1, -1, 0], [-1, 0, 0, 0, -1, 0]]
    raw = np.zeros((MANY, 12), np.float32)
    raw[:, :6] = np.repeat(np.array(six), 6, axis=0)
    eye, zero = np.eye(3, dtype=np.float32)[None].repeat(MANY, 0), np.zeros((MANY, 2))
    truth = TruePose(eye, zero, np.full(MANY, np.exp(1.6)), np.ones((MANY, 3)), np.tile(np.arange(6), 5))
    centres, counts = np.full((MANY, 2), 8.0), np.ones(MANY, bool)
    (total, count), gradient = posing(raw, centres, truth, counts)
    assert np.isfinite(total)
    assert count == MANY
    assert np.isfinite(gradient).all()
    unseen = truth._replace(depth=np.zeros(MANY), half_sizes=np.zeros((MANY, 3)), rotation=np.full_like(eye, np.nan))
    (total, count), gradient = posing(raw, centres, unseen, ~counts)
    assert (total, count) == (0, 0)
    assert not np.any(gradient)


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
    both = jax.jit(jax.value_and_grad(lambda x: modes_loss(*x, truth, valid), has_aux=True))
    (total, count), _ = both((paths, logits))
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert count == 2
    agrees_with_differences(both, (paths, logits), rng)
    met = np.nan_to_num(truth)[:, None].repeat(4, axis=1)
    assert np.isfinite(both((met, logits))[1][0]).all()
