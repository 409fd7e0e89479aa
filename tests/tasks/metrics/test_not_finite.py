"""No figure of predictions that are no numbers is a good one: every task, every metric, every loss."""

import functools

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax.models.heads.frozen import FROZEN
from mtljax.train.run.evaluate import Accumulator
from tests.tasks import still_world
from tests.tasks.consistency import test_cross_task
from tests.tasks.losses.test_losses import BATCH, TASKS, VALID
from tests.tasks.scene import test_ego_motion, test_flow, test_keypoints, test_odometry
from tests.tasks.values import test_regress, test_tags

SCORES = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
SIGHT = {"depth": "depth", "ego_motion": "ego_motion"}
ALL = {"flow": "flow", "backward_flow": "backward_flow", "segment": "segment", "normals": "normals", "edges": "edges"}
ADDED = {**ALL, "semantic_mask": (1,), "edge_normal": True, "motion_mask": True}
CASES = {
    **{name: (task, prediction, BATCH) for name, (task, prediction) in TASKS.items()},
    "depth-median": (mtl.tasks.depth(median_scaling=True), TASKS["depth-l1"][1], BATCH),
    "classify-2": (
        mtl.tasks.classify(num_classes=2, label="class", primary="AUC"),
        SCORES,
        BATCH | {"class": np.array([0, 1, 1]), "class_valid": np.ones(3, bool)},
    ),
    "flow": (test_flow.TASK, test_flow.PREDICTION, test_flow.BATCH),
    "ego_motion": (test_ego_motion.TASK, test_ego_motion.PREDICTION, test_ego_motion.BATCH),
    "odometry": (test_odometry.TASK, test_odometry.OVERLAPPING[1], test_odometry.OVERLAPPING[0]),
    "keypoints": (test_keypoints.TASK, test_keypoints.PREDICTION, test_keypoints.BATCH),
    "tags": (test_tags.TASK, test_tags.LOGITS, test_tags.BATCH),
    **{
        f"regress-{loss}": (test_regress.TASKS[loss], test_regress.PREDICTIONS[loss], test_regress.BATCH)
        for loss in ("huber", "gaussian")
    },
    "self_supervised": (still_world.task(), still_world.TRUTH, still_world.BATCH),
    "self_supervised-all": (still_world.task(**ADDED), still_world.TRUTH, still_world.BATCH),
    "consistent": (
        mtl.tasks.consistent(depth="depth", flow="flow", ego_motion="ego_motion")[0],
        {key: still_world.TRUTH[key] for key in ("depth", "flow", "ego_motion")},
        still_world.BATCH,
    ),
    "cross_task": (
        test_cross_task.made(target="depth")[0],
        {"depth": test_cross_task.LABEL, FROZEN: test_cross_task.WEIGHTS},
        test_cross_task.BATCH,
    ),
}
every_case = pytest.mark.parametrize("name", CASES)


@functools.cache
def jitted(name):
    task = CASES[name][0]
    return jax.jit(lambda p, b: {"loss": task.loss(p, b), "sums": task.sums(p, b)})


def figures(name, prediction):
    """The loss's total, and every figure as evaluation has it."""
    task, _, batch = CASES[name]
    found = jitted(name)(prediction, batch)
    total, count = found["loss"]
    added = Accumulator({"it": task})
    added.add({"it": {"total": total, "count": count, "sums": found["sums"]}}, {"it": prediction}, batch)
    return float(total), added.figures()


def spoilings(name):
    """(what, prediction) with all, and with one judged element, made no number."""
    task, prediction, batch = CASES[name]
    if isinstance(prediction, dict):
        for key in (*(key for key in SIGHT if key in prediction), *(ALL if "all" in name else ())):
            yield f"all of {key}", prediction | {key: np.full_like(prediction[key], np.nan)}
            for value in (np.nan, np.inf):
                one = np.array(prediction[key])
                one[(1, 1, *(0,) * (one.ndim - 2))] = value
                yield f"one {value} of {key}", prediction | {key: one}
        return
    yield "all", np.full_like(prediction, np.nan)
    valid = {"classify": BATCH["class_valid"], "classify-2": np.ones(3, bool)}.get(name)
    valid = batch[f"{task.labels[0]}_valid"][..., 0] if valid is None else valid
    at = tuple(np.argwhere(valid)[0])
    for value in (np.nan, np.inf):
        one = np.array(prediction, np.float32)
        one[(*at, 0)] = value
        yield f"one {value}", one


def test_every_task_is_among_them():
    """Those of objects are made of rows, and tried in tests/tasks/objects."""
    objects = {"detect", "instances", "pose", "track", "trajectory"}
    assert {name.split("-")[0] for name in CASES} | objects == set(mtl.tasks.FACTORIES)


@every_case
def test_what_is_no_number_is_told_by_every_figure(name):
    total, found = figures(name, CASES[name][1])
    assert np.isfinite(total)
    of_labels = {f"it/{metric.name}" for metric in CASES[name][0].told}
    there = {key for key, value in found.items() if np.isfinite(value)} - of_labels
    assert len(there) > 1
    for what, prediction in spoilings(name):
        _, spoiled = figures(name, prediction)
        told = {key for key in there if key != "it/loss" and np.isnan(spoiled[key])}
        assert told == there - {"it/loss"}, (what, spoiled)


@every_case
def test_what_is_no_number_is_told_by_the_loss(name):
    for what, prediction in spoilings(name):
        if name == "flow" and what != "all":  # the loss is of the coarser estimates
            prediction = np.roll(prediction, 2, axis=-1)
        assert not np.isfinite(figures(name, prediction)[0]), what


@every_case
def test_a_picture_of_what_is_no_number_is_a_picture(name):
    task, prediction, batch = CASES[name]
    if task.draw is None:
        return
    image = np.zeros((*VALID.shape[:-1], 3), np.float32)
    values = [(np.nan,), (np.inf,)] if not isinstance(prediction, dict) else [(np.nan, np.inf)]  # compiled at each call
    for value in values:
        spoiled = jax.tree.map(lambda x: np.resize(np.asarray(value, x.dtype), x.shape), prediction)  # noqa: B023
        for picture in task.draw(spoiled, {"image": image, **batch}):
            assert picture.dtype == np.uint8


def test_a_class_may_be_ruled_out():
    for name in ("segment", "classify", "classify-2"):
        prediction = np.array(CASES[name][1])
        prediction[..., 0] = -np.inf
        assert np.isfinite([value for key, value in figures(name, prediction)[1].items() if key != "it/loss"]).all()


def test_a_normal_without_direction_is_not_right():
    """Nothing, what underflows and what overflows."""
    task, _, batch = CASES["normals"]
    for size, degrees in ((0.0, 90), (1e-30, 180), (1e30, 180)):
        _, found = figures("normals", -np.float32(size) * batch["normal"])
        np.testing.assert_allclose(found["it/mean_angle"], degrees, atol=0.05)
        assert found["it/within_30.0"] == 0
    assert task.primary.name == "mean_angle"
