"""Heads for objects: training at true centres, evaluation without a label, and what each says of itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.models.heads.objects.branch import Branch
from mtljax.models.heads.objects.history import histories
from mtljax.models.heads.objects.prior import noisy
from mtljax.objects.frames import in_frames
from mtljax.tasks.losses import objects as losses
from tests.models.toys import random_variables
from tests.objects import made

LOSSES = {
    "detect": losses.detect(4),
    "instances": losses.instances(4),
    "pose": losses.pose_of(4, kinds=(5, 2)),
    "track": losses.track(4),
    "trajectory": losses.trajectory(4),
}
BATCH = made.batch()
# Without a heat map training has no noise.
QUIET = made.network(edges={"detect->track": "none"})


def predict(model, variables, batch, train=False, labels=None, seed=0):
    known = {"camera": batch["camera"], "labels": labels}
    return model.apply(variables, batch["image"], train=train, rngs={"dropout": jax.random.key(seed)}, **known)


@pytest.fixture(scope="module")
def variables():
    return random_variables(made.network(), BATCH["image"])


@pytest.fixture(scope="module")
def trained(variables):
    """Losses and their gradients in training, and losses of an evaluation, by the network without noise."""

    def total(params, batch):
        found = predict(QUIET, {"params": params}, batch, train=True, labels=batch)
        pairs = {name: loss(found[name], batch) for name, loss in LOSSES.items()}
        return sum(total for total, _ in pairs.values()), pairs

    def evaluated(params, batch):
        found = predict(QUIET, {"params": params}, batch)
        return {name: loss(found[name], batch) for name, loss in LOSSES.items()}, found

    return jax.jit(jax.value_and_grad(total, has_aux=True)), jax.jit(evaluated), variables["params"]


def test_a_branch_at_some_cells_gives_what_the_whole_map_has_there():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 4))
    cells = jnp.array([[[0, 0], [5, 4], [2, 3]], [[5, 0], [0, 4], [1, 1]]])
    branch = Branch(8, 3, reach=5)
    variables = branch.init(jax.random.key(1), x)
    everywhere, some = jax.jit(lambda v: (branch.apply(v, x), branch.apply(v, x, cells)))(variables)
    expected = np.stack([everywhere[i, cells[i, :, 1], cells[i, :, 0]] for i in (0, 1)])
    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-5)


def test_shapes_in_training_and_in_evaluation(variables):
    def shapes(**options):
        return jax.tree.map(jnp.shape, jax.eval_shape(lambda: predict(made.network(), variables, BATCH, **options)))

    evaluated, training = shapes(), shapes(train=True, labels=BATCH)
    maps, slots, objects = (2, 3, 8, 8), (2, 3, 4), (2, 3, 3)
    assert {key: shape for key, shape in evaluated["detect"].items() if key != "detections"} == {
        "heat": (*maps, 1), "classes": (*maps, 2), "size": (*maps, 2), "offset": (*maps, 2)
    }  # fmt: skip
    assert evaluated["instances"]["controller"] == (*maps, 169)
    assert training["instances"]["controller"] == (*objects, 169)
    assert (evaluated["pose"]["numbers"], training["pose"]["numbers"]) == ((*maps, 12), (*objects, 12))
    assert (evaluated["track"]["offset"], training["track"]["offset"]) == ((*maps, 2), (*objects, 2))
    assert evaluated["track"]["ids"] == slots
    assert "ids" not in training["track"]
    assert evaluated["trajectory"]["paths"] == (*slots, 2, 3, 2)
    assert training["trajectory"]["paths"] == (*objects, 2, 3, 2)
    assert training["trajectory"]["object"] == objects
    assert {key: evaluated[key]["detections"].box for key in made.heads()} == dict.fromkeys(made.heads(), (*slots, 4))


def test_training_reads_at_true_centres_what_evaluation_has_there(trained):
    """But for paths, which training tells of true objects and evaluation of detections."""
    train, evaluate, params = trained
    (_, pairs), _ = train(params, BATCH)
    others, _ = evaluate(params, BATCH)
    assert pairs["detect"][1] == pairs["instances"][1] == pairs["pose"][1] == 12  # two objects in each of six frames
    assert pairs["track"][1] == 8
    assert pairs["trajectory"][1] == 12
    for name in ("detect", "instances", "pose", "track"):
        np.testing.assert_allclose(pairs[name][0], others[name][0], rtol=1e-4, err_msg=name)
        assert pairs[name][1] == others[name][1] > 0


def test_evaluation_reads_no_label(trained):
    _, evaluate, params = trained
    rng = np.random.default_rng(1)
    noise = {**made.batch(seed=7), "image": BATCH["image"], "camera": BATCH["camera"]}
    noise["segmentations"] = rng.integers(0, 4, BATCH["segmentations"].shape, np.uint8)
    _, found = evaluate(params, BATCH)
    _, same = evaluate(params, noise)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), found, same))


def test_losses_of_halves_add_up(trained):
    train, _, params = trained
    halves = [jax.tree.map(lambda x, i=i: np.repeat(x[i : i + 1], 2, axis=0), BATCH) for i in (0, 1)]  # one shape
    found = [train(params, half) for half in halves]
    (_, whole), gradient = train(params, BATCH)
    for name in LOSSES:
        for k in (0, 1):
            np.testing.assert_allclose(whole[name][k], sum(f[0][1][name][k] for f in found) / 2, rtol=1e-4)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *(f[1] for f in found))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4), gradient, mean)


@pytest.mark.parametrize("lacking", ["objects_valid", "instances_valid"])
def test_clips_whose_objects_are_not_listed_add_nothing(trained, lacking):
    train, _, params = trained
    (total, pairs), gradient = train(params, {**BATCH, lacking: np.zeros_like(BATCH[lacking])})
    counts = {name: float(count) for name, (_, count) in pairs.items()}
    assert counts == dict.fromkeys(LOSSES, 0.0) | ({"detect": 6.0} if lacking == "instances_valid" else {})
    assert all(float(pairs[name][0]) == 0 for name in LOSSES if counts[name] == 0)
    assert np.isfinite(total)
    assert jax.tree.all(jax.tree.map(lambda x: bool(np.isfinite(x).all()), gradient))


def test_gradients_are_finite_where_a_pose_is_exact_and_on_the_optical_axis(trained):
    train, _, params = trained
    batch = jax.tree.map(np.copy, BATCH)
    batch["instances"]["positions"][:] = batch["camera"]["positions"][:, None] + np.array([0, 0, 5], np.float32)
    batch["camera"]["quaternions"][:] = batch["instances"]["quaternions"][:] = 1, 0, 0, 0
    zeros = jax.tree.map(np.zeros_like, params["heads_pose"])
    _, gradient = train({**params, "heads_pose": zeros}, batch)
    assert jax.tree.all(jax.tree.map(lambda x: bool(np.isfinite(x).all()), gradient))


def test_noise_on_true_centres_is_of_its_key_and_has_the_shares_that_it_says():
    objects = in_frames(made.batch(clips=64), 4)
    draw = jax.jit(lambda key: noisy(key, objects, 8, 8))
    first, again, other = (draw(jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    peaks = (np.asarray(first) == 1).sum() / objects.counts.sum()
    assert 0.55 < peaks < 0.75  # 0.6 are left, 0.1 added, a few fall into one cell
    nobody = objects._replace(counts=np.zeros_like(objects.counts))
    assert not noisy(jax.random.key(0), nobody, 8, 8).any()


def test_a_history_goes_by_ids_whatever_the_slots():
    places = np.arange(24.0).reshape(1, 4, 2, 3)
    ids = np.array([[[5, 6], [6, 0], [6, 5], [5, 7]]])
    found = histories(places, np.ones((1, 4, 2, 2)), ids, 3)
    assert found.seen[0, 3].tolist() == [[False, True, True], [False, False, True]]
    np.testing.assert_array_equal(found.places[0, 3, 0], [[0] * 3, places[0, 2, 1] - places[0, 3, 0], [0] * 3])
    assert found.seen[0, 2].tolist() == [[True, True, True], [True, False, True]]
    np.testing.assert_array_equal(found.motion[0, 2, 0], [[0, 0], [1, 1], [1, 1]])  # of the oldest there is none
    assert not found.seen[0, 1, 1].any()


def test_a_single_image_needs_no_axis_of_frames(variables):
    heads = {name: head for name, head in made.heads().items() if name != "trajectory"}
    model = mtl.MultiTask(
        made.encoder(), heads, parents={name: made.PARENTS[name] for name in heads if name != "detect"}
    )
    out = jax.eval_shape(lambda: model.apply(variables, BATCH["image"][:, 0], labels=None))
    assert out["pose"]["numbers"].shape == (2, 8, 8, 12)
    assert out["track"]["ids"].shape == (2, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made.network(parents={}), "Instances wants a parent as 'boxes'"),
        (lambda: mtl.MultiTask(made.encoder(), {"d": mtl.heads.Detect(stride=8)}), "cells of 8 pixels, as FPN"),
        (lambda: mtl.MultiTask(mtl.encoders.FPN(made.encoder().encoder, stride=16), {"d": mtl.heads.Detect()}),
         "UNet gives levels of strides 1, 2, 4; expected one of 16"),
        (lambda: mtl.MultiTask(mtl.encoders.FPN(made.encoder().encoder, stride=5), {"d": mtl.heads.Detect()}),
         "sides divisible by 5, not 32 x 32"),
        (lambda: mtl.MultiTask(made.encoder(), {"t": mtl.heads.Trajectory()}), "neither parents 'tracks' and 'poses', nor"),
        (lambda: mtl.MultiTask(made.encoder(), {"t": mtl.heads.Trajectory(space="room")}), "unknown space .*'room'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(make, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(make().init, jax.random.key(0), BATCH["image"])


def test_a_pose_without_a_camera_and_an_edge_of_truth_without_labels_are_told(variables):
    with pytest.raises(UserError, match=r"trajectory wants a camera with positions, .*; the batch has no positions"):
        jax.eval_shape(lambda: made.network().apply(variables, BATCH["image"]))
    model = made.network(edges={"detect->pose": "truth"})
    with pytest.raises(UserError, match="Pose: an edge is 'truth', and there are no labels"):
        jax.eval_shape(lambda: predict(model, variables, BATCH))
