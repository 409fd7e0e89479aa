"""Regression of numbers: losses and figures against NumPy, gaps, large numbers, the constant, what the head begins with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.run.evaluate import Accumulator
from tests.tasks import measures

B, K = 5, 2
RNG = np.random.default_rng(0)
MEAN, STD = np.array([3.0, 2000.0], np.float32), np.array([1.0, 5.0], np.float32)
TRUTH = (MEAN + STD * RNG.normal(size=(B, K))).astype(np.float32)
FOUND = (MEAN + STD * RNG.normal(size=(B, K))).astype(np.float32)
VALID = np.array([[1, 1], [1, 0], [1, 1], [0, 0], [1, 1]], bool)
BATCH = {"size": TRUTH, "size_valid": VALID}
ERROR = ((FOUND - TRUTH) / STD)[VALID]
LOG_VARIANCE = RNG.normal(size=(B, K)).astype(np.float32)
PREDICTIONS = {
    "huber": FOUND,
    "l2": FOUND,
    "l1": FOUND,
    "gaussian": np.concatenate([FOUND, LOG_VARIANCE], axis=-1),
}
TASKS = {loss: mtl.tasks.regress("size", loss, outputs=K, mean=MEAN.tolist(), std=STD.tolist()) for loss in PREDICTIONS}
every_loss = pytest.mark.parametrize("loss", TASKS)


@pytest.fixture(scope="module")
def measured():
    return {loss: measures.measured(task) for loss, task in TASKS.items()}


def figures(task, prediction, batch):
    added = Accumulator({"it": task})
    found = {"total": 0.0, "count": 1.0, "sums": jax.jit(task.sums)(prediction, batch)}
    added.add({"it": found}, {"it": prediction}, batch)
    return {metric.name: added.figures()[f"it/{metric.name}"] for metric in task.metrics}


def defined(loss):
    if loss == "gaussian":
        variance = np.exp(LOG_VARIANCE[VALID].astype(float)) / np.broadcast_to(STD, VALID.shape)[VALID] ** 2
        return np.sum((ERROR**2 / variance + np.log(2 * np.pi * variance)) / 2)
    large = np.abs(ERROR) > 1
    huber = np.where(large, np.abs(ERROR) - 0.5, ERROR**2 / 2)
    return {"huber": huber, "l2": ERROR**2, "l1": np.abs(ERROR)}[loss].sum()


@every_loss
def test_a_loss_is_its_definition(measured, loss):
    (total, count), _, gradient = measured[loss](PREDICTIONS[loss], BATCH)
    np.testing.assert_allclose(total, defined(loss), rtol=1e-4)
    assert count == VALID.sum()
    assert np.isfinite(gradient).all()


@every_loss
def test_gaps_never_matter_and_parts_add(measured, loss):
    prediction = PREDICTIONS[loss]
    hole = np.tile(VALID, prediction.shape[-1] // K)
    dirty = BATCH | {"size": np.where(VALID, TRUTH, np.nan)}
    clean = measured[loss](prediction, BATCH)
    jax.tree.map(np.testing.assert_array_equal, clean, measured[loss](np.where(hole, prediction, np.nan), dirty))
    assert (np.asarray(clean[2]) != 0).tolist() == hole.tolist()
    measures.add_over_examples(measured[loss], prediction, BATCH, atol=1e-3)
    empty = BATCH | {"size_valid": np.zeros_like(VALID)}
    (total, count), sums, pull = measured[loss](prediction, empty)
    assert (total, count) == (0, 0)
    assert not any(np.any(value) for value in (*sums.values(), pull))
    assert np.isnan([*figures(TASKS[loss], prediction, empty).values()]).all()


def test_figures_are_their_definitions_of_large_numbers_too():
    found = figures(TASKS["l2"], FOUND, BATCH)
    error = (FOUND - TRUTH).astype(float)
    shares = []
    for i in range(K):
        known = TRUTH[VALID[:, i], i].astype(float)
        shares.append(1 - np.sum(error[VALID[:, i], i] ** 2) / np.sum((known - known.mean()) ** 2))
    np.testing.assert_allclose(found["MAE"], np.abs(error[VALID]).mean(), rtol=1e-6)
    np.testing.assert_allclose(found["RMSE"], np.sqrt((error[VALID] ** 2).mean()), rtol=1e-6)
    np.testing.assert_allclose(found["R2"], np.mean(shares), rtol=1e-6)
    assert figures(TASKS["l2"], TRUTH, BATCH) == {"MAE": 0, "RMSE": 0, "R2": 1}
    same = BATCH | {"size": np.full_like(TRUTH, 7)}
    assert np.isnan(figures(TASKS["l2"], FOUND, same)["R2"])  # nothing to explain


def test_one_number_may_have_an_axis_or_none():
    task = mtl.tasks.regress("age", "l1")
    prediction = np.array([[1.0], [2], [3]], np.float32)
    age, valid = np.array([2.0, 2, 5], np.float32), np.array([True, False, True])
    for batch in ({"age": age, "age_valid": valid}, {"age": age[:, None], "age_valid": valid[:, None]}):
        total, count = task.loss(prediction, batch)
        assert (total, count) == (3, 2)
        assert figures(task, prediction, batch)["MAE"] == 1.5


@pytest.mark.parametrize(("primary", "loss", "power"), [("MAE", "l1", 1), ("RMSE", "l2", 2), ("R2", "gaussian", 2)])
def test_the_constant_is_the_best_for_what_is_judged(primary, loss, power):
    task = mtl.tasks.regress("size", loss, outputs=K, primary=primary)
    assert task.primary.name == primary
    best = task.constant(BATCH)

    def error(constant):
        return np.sum(np.abs(constant - TRUTH.astype(float))[VALID] ** power)

    for step in RNG.normal(size=(8, K)):
        assert error(best[:K]) < error(best[:K] + step)
    if loss == "gaussian":
        at = [np.log(np.mean((TRUTH[VALID[:, i], i].astype(float) - best[i]) ** 2)) for i in range(K)]
        np.testing.assert_allclose(best[K:], at, rtol=1e-3)
    assert len(best) == (2 * K if loss == "gaussian" else K)


@every_loss
def test_the_head_begins_where_labels_are_said_to_be(loss):
    model = mtl.MultiTask(encoder=mtl.encoders.MLP((8,)), heads={"size": TASKS[loss].head})
    images = np.zeros((B, 3), np.float32)
    prediction = model.apply(jax.jit(model.init)(jax.random.key(0), images), images)["size"]
    np.testing.assert_allclose(prediction[:, :K], np.broadcast_to(MEAN, (B, K)))
    if loss == "gaussian":
        np.testing.assert_allclose(prediction[:, K:], np.broadcast_to(2 * np.log(STD), (B, K)), rtol=1e-6)
    jax.eval_shape(TASKS[loss].loss, prediction, BATCH)


def test_maps_of_numbers_are_regressed_and_coloured():
    task = mtl.tasks.regress("height", "l2", head=mtl.heads.Dense(1, width=4))
    height = RNG.normal(size=(2, 1, 4, 6, 1)).astype(np.float32)
    batch = {"height": height, "height_valid": np.ones(height.shape, bool)}
    total, count = task.loss(height + 1, batch)
    np.testing.assert_allclose((total, count), (48, 48), rtol=1e-5)
    assert [picture.shape for picture in task.draw(height, batch)] == [(2, 1, 4, 6, 3)] * 2


def test_pictures_say_the_numbers():
    found, true = TASKS["l1"].draw(FOUND, BATCH | {"image": np.zeros((B, 2, 70, 100, 3), np.float32)})
    assert found.shape == true.shape == (B, 2, 70, 100, 3)
    again, _ = TASKS["l1"].draw(FOUND + 7, BATCH)
    assert again.shape == (B, 1, 64, 96, 3)
    assert (TASKS["l1"].draw(FOUND, BATCH)[0] != again).any()
    assert (true[3] != true[0]).any()  # none of its labels is there


def test_labels_far_from_where_the_head_begins_are_told():
    age = {"age": np.float32([30, 40, 50, 60]), "age_valid": np.ones(4, bool)}
    told = mtl.tasks.regress("age").check(age)
    assert "labels 'age' have mean 45 and deviation 11.18, far from regress(mean=0, std=1)" in told
    assert "mean=45, std=11.2" in told
    assert mtl.tasks.regress("age", mean=45, std=11).check(age) == ""
    small = age | {"age": age["age"] * 1e-4}
    assert "deviation 0.001118" in mtl.tasks.regress("age").check(small)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "hubber"}, r"unknown loss of regress\(...\): 'hubber'; did you mean 'huber'"),
        ({"outputs": 0}, r"regress\(outputs=0\): expected a whole number, at least 1"),
        ({"std": 0}, r"regress\(std=0\): expected a number above 0"),
        ({"std": [1, -1], "outputs": 2}, r"expected a number above 0, or 2 of them"),
        ({"mean": [1, 2, 3], "outputs": 2}, r"regress\(mean=\[1, 2, 3\]\): expected a number, or 2 of them"),
        ({"mean": "40"}, r"regress\(mean='40'\): expected a number"),
        ({"delta": 0}, r"regress\(delta=0\): expected a number above 0"),
        ({"primary": "RMS"}, r"unknown primary metric of regress\(...\): 'RMS'; did you mean 'RMSE'"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        mtl.tasks.regress("age", **arguments)


def test_labels_of_other_shapes_are_named():
    task = mtl.tasks.regress("age", outputs=3)
    with pytest.raises(UserError, match=r"label age has shape \(5, 2\); expected a last axis of 3"):
        jax.eval_shape(task.loss, jnp.zeros((5, 3)), {"age": TRUTH, "age_valid": VALID})
    with pytest.raises(UserError, match=r"mask age_valid has shape \(4, 1\); expected \(5, 1\) or \(5, 2\)"):
        jax.eval_shape(mtl.tasks.regress("age", outputs=2).loss, FOUND, {"age": TRUTH, "age_valid": VALID[:4, :1]})
