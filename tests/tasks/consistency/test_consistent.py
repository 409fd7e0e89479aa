"""Predictions that geometry ties: true labels of `scenes` agree, and a planted error is told and taken away."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import data
from mtljax.data import pipeline
from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import tasks_of

NAMES = {key: key for key in ("depth", "normals", "edges", "flow", "ego_motion")}
TASKS = {task.name.removeprefix("consistent_"): task for task in mtl.tasks.consistent(**NAMES)}
NOTHING = {"depth_normals": 0.02, "depth_normals_edges": 0.01, "depth_motion_flow": 1e-5}
relations = pytest.mark.parametrize("relation", TASKS)


@functools.cache
def clip():
    """True labels of a clip as predictions, and its batch."""
    batch = pipeline.stack([data.scenes("tiny").split("validation")[3]])
    logits = np.where(batch["edge"] > 0, 20.0, -20.0).astype(np.float32)
    truth = {"depth": batch["depth"], "normals": batch["normal"], "edges": logits}
    return truth | {"flow": batch["forward_flow"], "ego_motion": batch["ego_motion"]}, batch


@functools.cache
def differentiated(relation):
    def loss(prediction, batch):
        total, count = TASKS[relation].loss(prediction, batch)
        return total / jnp.maximum(count, 1), count

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def measured(relation, prediction, batch=None):
    (loss, count), gradient = differentiated(relation)(prediction, clip()[1] if batch is None else batch)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    return float(loss), float(count), gradient


def figure(relation, prediction):
    sums = jax.jit(TASKS[relation].sums)(prediction, clip()[1])
    return TASKS[relation].primary.value(jax.tree.map(np.asarray, sums))


@relations
def test_true_labels_agree(relation):
    loss, count, _ = measured(relation, clip()[0])
    assert 0 <= loss < NOTHING[relation]
    still = (clip()[1]["moving"] == 0).mean()
    whole = {"depth_motion_flow": 32 * 32 * still}.get(relation, 2 * 32 * 32)
    assert 0.4 * whole < count <= whole
    assert figure(relation, clip()[0]) < {"depth_normals": 4.0, "depth_motion_flow": 2e-4}.get(relation, 0.01)


def planted(truth):
    """What is tied -> what is wrong with it."""
    yield "normals", truth["normals"] + np.float32([0.4, 0.0, 0.0])
    across = np.linspace(0.6, 1.4, truth["depth"].shape[3], dtype=np.float32)[:, None]
    yield "depth", truth["depth"] * across
    yield "edges", np.zeros_like(truth["edges"])
    yield "flow", truth["flow"] + np.float32([1.0, 0.0])
    yield "ego_motion", truth["ego_motion"] + np.float32([0.1, 0.0, 0.0, 0.0, 0.0, 0.0])


CASES = [
    (relation, key)
    for relation, keys in {
        "depth_normals": ("normals", "depth"),
        "depth_normals_edges": ("edges",),
        "depth_motion_flow": ("flow", "ego_motion", "depth"),
    }.items()
    for key in keys
]


@pytest.mark.parametrize(("relation", "key"), CASES)
def test_a_planted_error_is_told_and_descended(relation, key):
    truth, _ = clip()
    wrong = truth | {key: dict(planted(truth))[key]}
    first, _, gradient = measured(relation, wrong)
    assert first > 3 * max(measured(relation, truth)[0], 1e-4)
    assert set(np.flatnonzero([np.any(gradient[k] != 0) for k in NAMES])) >= {list(NAMES).index(key)}
    towards = np.sum(np.asarray(gradient[key], np.float64) * (wrong[key] - truth[key]))
    assert towards > 0  # downhill leads back to the truth
    size = np.abs(wrong[key] - truth[key]).max() / np.abs(gradient[key]).max()
    now = wrong
    for _ in range(4):
        now = now | {key: now[key] - 0.2 * size * gradient[key]}
        loss, _, gradient = measured(relation, now)
    assert loss < 0.95 * first


def test_depth_and_normals_move_each_other_and_nothing_else():
    _, _, gradient = measured("depth_normals", clip()[0] | {"normals": clip()[0]["normals"] + 0.1})
    assert [key for key in NAMES if np.any(gradient[key] != 0)] == ["depth", "normals"]


def test_what_moves_by_itself_is_left_out():
    truth, batch = clip()
    _, count, _ = measured("depth_motion_flow", truth)
    told = batch | {"moving": np.ones_like(batch["moving"])}
    assert measured("depth_motion_flow", truth, told)[1] == 0 < count
    without = {key: value for key, value in batch.items() if not key.startswith("moving")}
    assert measured("depth_motion_flow", truth, without)[0] > NOTHING["depth_motion_flow"]


@relations
def test_pixels_and_examples_that_do_not_count_have_no_say(relation):
    truth, batch = clip()
    task = {t.name: t for t in mtl.tasks.consistent(**NAMES, where="depth")}[f"consistent_{relation}"]
    hole = np.ones_like(batch["depth_valid"])
    hole[..., :16, :] = False
    batch = batch | {"depth_valid": hole}
    spoiled = truth | {key: np.where(hole, truth[key], np.nan) for key in ("depth", "normals", "edges", "flow")}

    @jax.jit
    def looked_at(depth, batch):
        def loss(depth):
            return task.loss(spoiled | {"depth": depth}, batch)

        return jax.value_and_grad(loss, has_aux=True)(depth)

    (total, count), gradient = looked_at(spoiled["depth"], batch | {"example_valid": np.array([True])})
    assert 0 < count < measured(relation, truth)[1]
    assert np.isfinite(total)
    assert np.isfinite(gradient).all()
    assert looked_at(truth["depth"], batch | {"example_valid": np.array([False])})[0][1] == 0


def test_one_entry_of_a_config_is_a_task_for_each_relation():
    config = default_config()
    config.tasks = {"depth": "depth()", "normals": "normals()"}
    config.tasks.geometry = "consistent(depth='depth', normals='normals')"
    chosen = tasks_of(checked(config))
    assert list(chosen) == ["depth", "geometry_depth_normals", "normals"]
    assert chosen["geometry_depth_normals"].parents == ("depth", "normals")
    config.tasks.geometry_depth_normals = "edges()"
    with pytest.raises(UserError, match=r"two tasks the name 'geometry_depth_normals'"):
        tasks_of(checked(config))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depth": "depth"}, r"consistent\(depth\): no relation ties these; expected depth, normals; "),
        ({"depth": "d", "normals": "n", "flow": "f"}, r"flow='f'\) ties nothing to it; it goes with depth, ego_motion"),
    ],
)
def test_arguments_that_tie_nothing_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        mtl.tasks.consistent(**given)


def test_a_clip_of_one_frame_has_no_flow():
    truth, batch = (jax.tree.map(lambda x: x if x.ndim < 3 else x[:, :1], tree) for tree in clip())
    total, count = TASKS["depth_motion_flow"].loss(truth, batch)
    assert (float(total), float(count)) == (0, 0)
