"""Ego-motion: loss and metrics against slow transcriptions, over holes, edge cases and any split; and its picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.run.evaluate import evaluate_constant
from tests.tasks import measures

B, S, BETA = 8, 4, 3.0
RNG = np.random.default_rng(0)
MOTION = RNG.normal(0, [1, 1, 1, 0.3, 0.3, 0.3], (B, S, 6)).astype(np.float32)
VALID = np.broadcast_to(np.arange(S)[:, None] < S - 1, (B, S, 1)) & (RNG.random((B, S, 1)) < 0.8)
VALID[1] = False
BATCH = {
    "ego_motion": np.where(VALID, MOTION, 0),
    "ego_motion_valid": VALID,
    "image": np.zeros((B, S, 32, 48, 3), np.float32),
}
PREDICTION = (MOTION + RNG.normal(0, 0.2, MOTION.shape)).astype(np.float32)
TASK = mtl.tasks.ego_motion(beta=BETA)


measure = measures.measured(TASK)


def figures(sums):
    return {metric.name: metric.value(jax.tree.map(np.asarray, sums)) for metric in TASK.metrics}


def matrix(motion):
    found = np.eye(4)
    found[:3, :3] = Rotation.from_rotvec(motion[3:].astype(np.float64)).as_matrix()
    found[:3, 3] = motion[:3]
    return found


def slow_rpe(prediction, truth):
    """Means of what is left of each pair's motion: metres, degrees (Sturm et al. 2012, eq. 2)."""
    left = [np.linalg.inv(matrix(p)) @ matrix(g) for p, g in zip(prediction, truth, strict=True)]
    metres = [np.linalg.norm(e[:3, 3]) for e in left]
    degrees = [np.degrees(np.arccos(np.clip((np.trace(e[:3, :3]) - 1) / 2, -1, 1))) for e in left]
    return np.mean(metres), np.mean(degrees)


def test_loss_is_its_definition():
    total, count = measure(PREDICTION, BATCH)[0]
    wanted = 0.0
    for p, g in zip(PREDICTION[VALID[..., 0]], MOTION[VALID[..., 0]], strict=True):
        wanted += np.abs(p[:3] - g[:3]).sum() + BETA * np.abs(p[3:] - g[3:]).sum()
    np.testing.assert_allclose(total, wanted, rtol=1e-5)
    assert count == VALID.sum()


def test_metrics_are_their_definitions():
    found = figures(measure(PREDICTION, BATCH)[1])
    metres, degrees = slow_rpe(PREDICTION[VALID[..., 0]], MOTION[VALID[..., 0]])
    assert list(found) == ["RPE_translation", "RPE_rotation"]
    np.testing.assert_allclose(found["RPE_translation"], metres, rtol=1e-5)
    np.testing.assert_allclose(found["RPE_rotation"], degrees, rtol=1e-4)


def still(pairs):
    """A camera that does not move, known for some pairs of frames."""
    known = np.zeros_like(VALID)
    known[0, :pairs] = True
    return BATCH | {"ego_motion": np.zeros_like(MOTION), "ego_motion_valid": known}


def test_metrics_are_means_and_not_root_mean_squares():
    off = np.zeros_like(PREDICTION)
    off[0, 0, 2], off[0, 1, 4] = 3.0, np.radians(3.0)
    found = figures(measure(off, still(pairs=3))[1])
    np.testing.assert_allclose(list(found.values()), [1.0, 1.0], rtol=1e-5)


def test_small_rotations_are_exact():
    tilted = np.zeros_like(PREDICTION)
    tilted[0, 0, 3] = 1e-5
    found = figures(measure(tilted, still(pairs=1))[1])
    np.testing.assert_allclose(found["RPE_rotation"], np.degrees(1e-5), rtol=1e-3)
    assert figures(measure(0 * tilted, still(pairs=1))[1]) == {"RPE_translation": 0.0, "RPE_rotation": 0.0}


def test_what_is_not_valid_never_matters():
    clean = measure(PREDICTION, BATCH)
    spoiled = BATCH | {"ego_motion": np.where(VALID, MOTION, np.nan).astype(np.float32)}
    found = measure(np.where(VALID, PREDICTION, np.nan), spoiled)
    jax.tree.map(np.testing.assert_array_equal, clean, found)
    gradient = np.asarray(clean[2])
    assert not gradient[~VALID[..., 0]].any()
    assert gradient[VALID[..., 0]].all()


def test_the_truth_has_no_error_and_a_finite_gradient():
    (total, count), sums, gradient = measure(BATCH["ego_motion"], BATCH)
    assert (total, count) == (0, VALID.sum())
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(list(figures(sums).values()), 0, atol=1e-4)


def test_without_any_label_all_is_zero_and_figures_are_nan():
    empty = BATCH | {"ego_motion_valid": np.zeros_like(VALID)}
    measures.nothing_without_labels(measure, TASK, PREDICTION, empty)


def test_losses_and_sums_add_over_examples():
    measures.add_over_examples(measure, PREDICTION, BATCH)


def test_the_baseline_is_a_still_camera():
    found = evaluate_constant(BATCH, [BATCH], {"ego_motion": TASK}, {"ego_motion": (B, S, 6)})
    still = np.zeros((VALID.sum(), 6))
    metres, degrees = slow_rpe(still, MOTION[VALID[..., 0]])
    np.testing.assert_allclose(found["ego_motion/RPE_translation"], metres, rtol=1e-5)
    np.testing.assert_allclose(found["ego_motion/RPE_rotation"], degrees, rtol=1e-4)


def ahead(metres, turn=0.0):
    """Clips that go ahead and turn to the right, the same between all frames but after the last."""
    motion = np.zeros((1, S, 6), np.float32)
    motion[:, :-1, 2], motion[:, :-1, 4] = metres, turn
    return motion


def clip(motion):
    known = np.broadcast_to(np.arange(S)[:, None] < S - 1, (1, S, 1))
    return {"ego_motion": motion, "ego_motion_valid": known, "image": np.zeros((1, S, 41, 41, 3), np.float32)}


def test_the_picture_shows_both_paths_from_above_at_one_scale():
    found, label = TASK.draw(ahead(1.0, turn=0.5), clip(ahead(1.0)))
    assert found.shape == label.shape == (1, S, 41, 41, 3)
    assert found.dtype == label.dtype == np.uint8
    assert all((picture[0] == picture[0, :1]).all() for picture in (found, label))  # the same for every frame
    true, estimated = (label[0, 0] > 0).any(-1), (found[0, 0] == [255, 140, 0]).all(-1)
    columns = np.nonzero(true.any(0))[0]
    assert np.ptp(columns) <= 2  # straight ahead is straight up,
    assert np.ptp(np.nonzero(true.any(1))[0]) > 25
    assert np.nonzero(estimated.any(0))[0].max() > columns.max() + 5  # a turn to the right goes right,
    assert np.nonzero(estimated.any(0))[0].min() >= columns.min()
    assert (found[0, 0] == 255).all(-1).any()  # and the truth shows beside it


def test_twice_the_motion_is_twice_as_long_in_the_picture():
    found, label = TASK.draw(ahead(2.0), clip(ahead(1.0)))
    lengths = [np.ptp(np.nonzero((x[0, 0] > 0).any((1, 2)))[0]) for x in (found, label)]
    np.testing.assert_allclose(lengths[0] / lengths[1], 2, atol=0.2)


def test_a_picture_can_always_be_drawn():
    at_rest = clip(ahead(0.0))
    for prediction in (ahead(0.0), np.full((1, S, 6), np.nan, np.float32)):
        for known in (at_rest["ego_motion_valid"], np.zeros((1, S, 1), bool)):
            for picture in TASK.draw(prediction, at_rest | {"ego_motion_valid": known}):
                assert picture.shape == (1, S, 41, 41, 3)


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"beta=-1"):
        mtl.tasks.ego_motion(beta=-1.0)
    with pytest.raises(UserError, match=r"loss='l2'"):
        mtl.tasks.ego_motion(loss="l2")
    with pytest.raises(ValueError, match=r"ego_motion has shape .*expected a last axis of 6"):
        TASK.loss(jnp.asarray(PREDICTION), BATCH | {"ego_motion": MOTION[..., :3]})
