"""Ego-motion: loss and metrics against NumPy and against whole trajectories, on labels with holes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import geometry
from mtljax.errors import UserError

B, S = 3, 5
RNG = np.random.default_rng(0)
VALID = np.ones((B, S, 1), bool)
VALID[:, -1] = False
VALID[1, 2] = False
VALID[2] = False  # a clip without any label


def motions(scale):
    return RNG.normal(0, [scale] * 3 + [scale / 4] * 3, (B, S, 6)).astype(np.float32)


TRUE = np.where(VALID, motions(1.0), 0).astype(np.float32)
PREDICTION = TRUE + motions(0.4)
BATCH = {"ego_motion": TRUE, "ego_motion_valid": VALID, "image": np.zeros((B, S, 24, 32, 3), np.float32)}
TASK = mtl.tasks.ego_motion(beta=3.0)
BOTH_COLOURS = {(0, 0, 0), (255, 255, 255), (255, 140, 0)}


def measurer(task):
    """Jitted: (total, count), sums, gradient of total."""

    def measure(prediction, batch):
        gradient = jax.grad(lambda p: task.loss(p, batch)[0])(prediction)
        return task.loss(prediction, batch), task.sums(prediction, batch), gradient

    return jax.jit(measure)


measure = measurer(TASK)


def figures(prediction, batch=BATCH):
    sums = jax.tree.map(np.asarray, measure(prediction, batch)[1])
    return {metric.name: metric.value(sums) for metric in TASK.metrics}


def test_the_loss_is_its_definition():
    (total, count), _, gradient = measure(PREDICTION, BATCH)
    error = np.abs(PREDICTION - TRUE)[VALID[..., 0]]
    np.testing.assert_allclose(total, error[:, :3].sum() + 3 * error[:, 3:].sum(), rtol=1e-5)
    assert count == len(error) == VALID.sum()
    np.testing.assert_array_equal(np.abs(gradient), VALID * np.array([1.0] * 3 + [3.0] * 3))


def test_metrics_are_means_over_pairs_of_what_whole_trajectories_give():
    pairs = [(PREDICTION[0, :-1], TRUE[0, :-1]), (PREDICTION[1, :2], TRUE[1, :2]), (PREDICTION[1, 3:4], TRUE[1, 3:4])]
    errors = [geometry.rpe(*(geometry.chain(x) for x in pair)) for pair in pairs]
    wanted = np.average(errors, axis=0, weights=[len(p) for p, _ in pairs])
    found = figures(PREDICTION)
    assert list(found) == ["RPE_translation", "RPE_rotation"]
    np.testing.assert_allclose([*found.values()], wanted, rtol=1e-5)
    assert not any(metric.higher_is_better for metric in TASK.metrics)


def test_the_truth_has_no_error_and_a_still_camera_is_the_baseline():
    np.testing.assert_allclose([*figures(TRUE).values()], 0, atol=1e-4)
    found = figures(np.broadcast_to(TASK.constant(BATCH), TRUE.shape))
    known = TRUE[VALID[..., 0]]
    np.testing.assert_allclose(found["RPE_translation"], np.linalg.norm(known[:, :3], axis=1).mean(), rtol=1e-5)
    angle = np.degrees(np.linalg.norm(known[:, 3:], axis=1)).mean()
    np.testing.assert_allclose(found["RPE_rotation"], angle, rtol=1e-5)


def test_small_rotations_are_exact():
    turned = TRUE + np.float32([0, 0, 0, 1e-4, 0, 0])
    batch = BATCH | {"ego_motion": np.zeros_like(TRUE)}
    np.testing.assert_allclose(figures(turned - TRUE, batch)["RPE_rotation"], np.degrees(1e-4), rtol=1e-3)


def test_what_is_not_valid_never_matters():
    spoiled = BATCH | {"ego_motion": np.where(VALID, TRUE, np.nan)}
    clean, dirty = measure(PREDICTION, BATCH), measure(np.where(VALID, PREDICTION, np.nan), spoiled)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)


def test_losses_and_sums_add_over_parts_of_a_batch():
    parts = [measure(PREDICTION[i : i + 1], {k: v[i : i + 1] for k, v in BATCH.items()})[:2] for i in range(B)]
    added = jax.tree.map(lambda *x: sum(x), *parts)
    whole = measure(PREDICTION, BATCH)[:2]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, added)


def test_without_any_label_all_is_zero_and_no_figure_is_made():
    empty = BATCH | {"ego_motion_valid": np.zeros_like(VALID)}
    total, sums, gradient = measure(PREDICTION, empty)
    assert total == (0, 0)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves((sums, gradient)))
    assert np.isnan([*figures(PREDICTION, empty).values()]).all()


def test_half_precision_predictions_are_measured_in_single():
    half = jnp.asarray(PREDICTION, jnp.bfloat16)
    found, single = measure(half, BATCH)[:2], measure(half.astype(jnp.float32), BATCH)[:2]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, single)


def test_where_another_task_moves_the_head_there_is_no_loss_but_figures_remain():
    total, sums, gradient = measurer(mtl.tasks.ego_motion(loss="none"))(PREDICTION, BATCH)
    assert total == (0, 0)
    assert not np.asarray(gradient).any()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), sums, measure(PREDICTION, BATCH)[1])


def test_pictures_show_both_paths_from_the_same_start():
    estimated, true = TASK.draw(np.where(VALID, PREDICTION, np.nan), BATCH)
    for picture in (estimated, true):
        assert (picture.shape, picture.dtype) == (BATCH["image"].shape, np.uint8)
        np.testing.assert_array_equal(picture[:, :1], picture[:, -1:])
    colours = [{tuple(c) for c in x[0, 0].reshape(-1, 3)} for x in (estimated, true)]
    assert colours == [BOTH_COLOURS, BOTH_COLOURS - {(255, 140, 0)}]
    TASK.draw(np.full_like(PREDICTION, np.inf), BATCH)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mtl.tasks.ego_motion(loss="l2"), UserError, "loss='l2'.*expected 'l1' or 'none'"),
        (lambda: mtl.tasks.ego_motion(beta=-0.1), UserError, "beta=-0.1.*at least 0"),
        (
            lambda: TASK.loss(PREDICTION, BATCH | {"ego_motion": TRUE[..., :3]}),
            ValueError,
            r"label ego_motion has shape \(3, 5, 3\); expected a last axis of 6",
        ),
        (
            lambda: TASK.sums(PREDICTION, BATCH | {"ego_motion_valid": VALID[..., 0]}),
            ValueError,
            r"mask ego_motion_valid has shape \(3, 5\); expected \(3, 5, 1\)",
        ),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
