"""Key points: the loss and PCK against NumPy, gaps, points beyond the image, the constant that knows only where they are."""

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.config.task_checks import check_on_host, check_shapes
from mtljax.train.run.evaluate import evaluate_constant
from tests.tasks import measures

B, S, H, W, K = 3, 2, 6, 8, 4
RNG = np.random.default_rng(0)
POINTS = RNG.uniform(0, 1, (B, S, K, 2)).astype(np.float32) * np.float32([W, H])
VALID = RNG.random((B, S, K, 1)) < 0.8
VALID[0, 0], POINTS[1, 1, 2] = True, [W + 2, 1]  # the second is beyond the image
VALID[1, 1, 2] = True
PREDICTION = RNG.normal(size=(B, S, H, W, K)).astype(np.float32)
BATCH = {"keypoints": POINTS, "keypoints_valid": VALID, "image": RNG.random((B, S, H, W, 3)).astype(np.float32)}
TASK = mtl.tasks.keypoints(num_points=K, alphas=(0.3, 0.1))
JUDGED = VALID[..., 0] & (POINTS <= [W, H]).all(-1)


@pytest.fixture(scope="module")
def measured():
    return measures.measured(TASK)


def figures(task, prediction, batch=BATCH):
    sums = jax.tree.map(np.asarray, jax.jit(task.sums)(prediction, batch))
    return {metric.name: metric.value(sums) for metric in task.metrics}


def entropies():
    y, x = np.mgrid[:H, :W] + 0.5
    for b, s, k in np.argwhere(JUDGED):
        target = np.exp(-((x - POINTS[b, s, k, 0]) ** 2 + (y - POINTS[b, s, k, 1]) ** 2) / (2 * 1.5**2))
        logits = PREDICTION[b, s, :, :, k].astype(float)
        yield -np.sum(target / target.sum() * (logits - np.log(np.exp(logits).sum())))


def test_the_loss_is_its_definition_and_gaps_never_matter(measured):
    (total, count), sums, gradient = measured(PREDICTION, BATCH)
    np.testing.assert_allclose(total, sum(entropies()), rtol=1e-5)
    assert count == JUDGED.sum() < VALID.sum()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).sum((2, 3)) > 0).tolist() == JUDGED.tolist()
    spoiled = BATCH | {"keypoints": np.where(VALID, POINTS, np.nan)}
    dirty = measured(np.where(JUDGED[:, :, None, None], PREDICTION, np.nan), spoiled)
    jax.tree.map(np.testing.assert_array_equal, ((total, count), sums, gradient), dirty)
    measures.add_over_examples(measured, PREDICTION, BATCH, atol=1e-4)
    measures.nothing_without_labels(measured, TASK, PREDICTION, BATCH | {"keypoints_valid": np.zeros_like(VALID)})


def distances():
    at = PREDICTION.reshape(B, S, -1, K).argmax(2)
    found = np.stack([at % W, at // W], axis=-1) + 0.5
    return np.linalg.norm(found - POINTS, axis=-1)


def test_figures_are_their_definitions():
    found, away = figures(TASK, PREDICTION), distances()[JUDGED]
    assert list(found) == ["PCK_0.3", "PCK_0.1", "error"]
    np.testing.assert_allclose(found["error"], away.mean(), rtol=1e-5)
    for alpha in (0.3, 0.1):
        np.testing.assert_allclose(found[f"PCK_{alpha}"], np.mean(away <= alpha * W), rtol=1e-6)
    assert 0 < found["PCK_0.3"] < 1


def test_the_box_around_points_may_be_the_measure():
    task, right = mtl.tasks.keypoints(num_points=K, alphas=(0.5,), scale="points"), []
    for b, s in np.ndindex(B, S):
        there = JUDGED[b, s]
        if there.any():
            reach = max(1.0, 0.5 * np.ptp(POINTS[b, s][there], axis=0).max())
            right += list(distances()[b, s][there] <= reach)
    np.testing.assert_allclose(figures(task, PREDICTION)["PCK_0.5"], np.mean(right), rtol=1e-6)


def test_the_truth_is_right_and_drawn_where_it_is():
    y, x = np.mgrid[:H, :W] + 0.5
    away = (x[..., None] - POINTS[:, :, None, None, :, 0]) ** 2 + (y[..., None] - POINTS[:, :, None, None, :, 1]) ** 2
    perfect = figures(TASK, -away.astype(np.float32))
    assert perfect["PCK_0.1"] == 1
    assert perfect["error"] < 0.75
    found, label = TASK.draw(-away.astype(np.float32), BATCH)
    assert found.shape == label.shape == (B, S, H, W, 3)
    same = [s for b, s in np.ndindex(B, S) if JUDGED[b, s].all() and (found[b, s] == label[b, s]).all()]
    assert len(same) == JUDGED.all(-1).sum() > 0


def test_the_constant_says_where_points_are_most_often():
    points = np.full((8, 1, 1, 2), 2.5, np.float32)
    points[6:] = [6.5, 3.5]
    batch = {"keypoints": points, "keypoints_valid": np.ones((8, 1, 1, 1), bool), "image": np.zeros((8, 1, H, W, 3))}
    task = mtl.tasks.keypoints(num_points=1)
    constant = task.constant(batch)
    assert constant.shape == (H, W, 1)
    everywhere = np.broadcast_to(constant, (8, 1, *constant.shape))
    assert figures(task, everywhere, batch)["PCK_0.1"] == 6 / 8
    loss = jax.jit(task.loss)
    least = loss(everywhere.astype(np.float32), batch)[0]
    figures_of_constant = evaluate_constant(batch, [batch], {"at": task}, {"at": everywhere.shape})
    assert figures_of_constant["at/PCK_0.1"] == 6 / 8
    shape = jax.ShapeDtypeStruct(everywhere.shape, np.float32)
    check_on_host({"at": task}, {"at": shape}, batch, draws=True)
    check_shapes({"at": task}, {"at": shape}, batch)
    for noise in RNG.normal(size=(5, H, W, 1)):
        assert least < loss((everywhere + 0.3 * noise).astype(np.float32), batch)[0]


def test_points_that_are_no_pixels_are_refused_and_a_few_beyond_the_image_told():
    with pytest.raises(UserError, match=rf"1 of {VALID.sum()} points are beyond the image of 6 x 8.*expected \(x, y\)"):
        TASK.check(BATCH)
    with pytest.raises(UserError, match=r"points are within the first pixel, as shares of the image would be"):
        TASK.check({"keypoints": POINTS / [W, H] * (POINTS <= W), "keypoints_valid": np.ones_like(VALID)})
    many = np.full((100, 1, 2, 2), 3.0)
    many[0, 0, 0] = -1
    batch = {"keypoints": many, "keypoints_valid": np.ones((100, 1, 2, 1), bool), "image": np.zeros((100, 1, H, W, 3))}
    assert "1 of 200 points are beyond the image" in mtl.tasks.keypoints(num_points=2).check(batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_points": 0}, r"keypoints\(num_points=0\): expected a whole number"),
        ({"num_points": 2, "sigma": 0}, r"keypoints\(sigma=0\): expected numbers above 0"),
        ({"num_points": 2, "alphas": ()}, r"keypoints\(alphas=.*expected numbers above 0"),
        ({"num_points": 2, "scale": "point"}, r"unknown scale of keypoints\(...\): 'point'; did you mean 'points'"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        mtl.tasks.keypoints(**arguments)


def test_other_numbers_of_points_are_refused():
    with pytest.raises(UserError, match=r"label keypoints has shape \(3, 2, 4, 2\); expected \(B, s, 5, 2\)"):
        jax.eval_shape(mtl.tasks.keypoints(num_points=5).loss, np.zeros((B, S, H, W, 5)), BATCH)
