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
from mtljax.models.heads.objects.shared_map import labelled
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


def test_heads_of_tasks_count_the_objects_that_their_tasks_count():
    labels = jax.tree.map(np.copy, BATCH)
    labels["segmentations"][:, :, ::2] = labels["segmentations"][:, :, :, 4:] = 0
    counts = [labelled(mtl.heads.Track(least=n), labels).counts for n in (1, 12)]
    assert counts[0].sum() > counts[1].sum()
    for name in ("instances", "pose", "track", "trajectory"):
        assert getattr(mtl.tasks, name)(least=3).head.least == 3


def test_decoupled_detection_has_a_branch_for_classes_alone():
    x, head = jax.random.normal(jax.random.key(1), (2, 4, 4, 8)), mtl.heads.Detect(2, 3, decoupled=True, width=4)
    before, variables = jax.jit(head.init_with_output)(jax.random.key(0), x)
    params = variables["params"] | {"kinds": jax.tree.map(lambda leaf: leaf + 1, variables["params"]["kinds"])}
    after = jax.jit(head.apply)({"params": params}, x)
    assert set(params) == {"maps", "kinds"}
    assert before["classes"].shape == (2, 4, 4, 2)
    assert not np.allclose(after["classes"], before["classes"])
    for key in ("heat", "size", "offset"):
        np.testing.assert_array_equal(after[key], before[key])


def predict(model, variables, batch, train=False, labels=None, seed=0):
    known = {"camera": batch["camera"], "labels": labels}
    return model.apply(variables, batch["image"], train=train, rngs={"dropout": jax.random.key(seed)}, **known)


@pytest.fixture(scope="module")
def variables():
    return random_variables(made.network(), BATCH["image"])


def losses_of(found, batch):
    return {name: loss(found[name], batch) for name, loss in LOSSES.items()}


@pytest.fixture(scope="module")
def both(variables):
    """Jitted `(batch, seed) -> losses in training, losses in evaluation, predictions there`, without noise."""

    @jax.jit
    def found(batch, seed):
        training = predict(QUIET, variables, batch, train=True, labels=batch, seed=seed)
        evaluated = predict(QUIET, variables, batch)
        return losses_of(training, batch), losses_of(evaluated, batch), evaluated

    return lambda batch, seed=0: found(batch, seed)


@pytest.fixture(scope="module")
def gradient_of():
    """Jitted `(params, batch) -> gradient of all losses in training`."""

    def total(params, batch):
        found = predict(made.network(), {"params": params}, batch, train=True, labels=batch)
        return sum(total for total, _ in losses_of(found, batch).values())

    return jax.jit(jax.grad(total))


def all_finite(tree):
    return jax.tree.all(jax.tree.map(lambda x: bool(np.isfinite(x).all()), tree))


def test_a_branch_at_some_cells_gives_what_the_whole_map_has_there():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 4))
    cells = jnp.array([[[0, 0], [5, 4], [2, 3]], [[5, 0], [0, 4], [1, 1]]])
    branch = Branch(8, 3, reach=5)
    variables = jax.jit(branch.init)(jax.random.key(1), x)
    everywhere, some = jax.jit(lambda v: (branch.apply(v, x), branch.apply(v, x, cells)))(variables)
    expected = np.stack([everywhere[i, cells[i, :, 1], cells[i, :, 0]] for i in (0, 1)])
    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-5)


def test_a_branch_over_the_map_sees_how_much_there_is_in_a_cell():
    """Which normalisation over the channels of each cell levels: there, twice as much gives the same."""
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 8))
    more = x.at[0, 1, 2].multiply(2.0)
    alone, over = Branch(8, 3, reach=1), Branch(8, 3, reach=1, over_map=True)
    for branch, sees in ((alone, False), (over, True)):
        variables = jax.jit(branch.init)(jax.random.key(1), x)
        before, after = jax.jit(lambda v, of=branch: [of.apply(v, given)[0, 1, 2] for given in (x, more)])(variables)
        assert bool(np.allclose(before, after, rtol=1e-3, atol=1e-4)) is not sees
    with pytest.raises(ValueError, match="some cells alone"):
        over.apply(variables, x, jnp.zeros((1, 1, 2), jnp.int32))


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


def test_training_reads_at_true_centres_what_evaluation_has_there(both):
    """But for paths, which training tells of true objects and evaluation of detections."""
    training, evaluated, _ = both(BATCH)
    counts = {name: float(count) for name, (_, count) in training.items()}
    # Two objects in each of six frames; from frame to frame two times less.
    assert counts == {"detect": 12, "instances": 12, "pose": 12, "track": 8, "trajectory": 12}
    for name in ("detect", "instances", "pose", "track"):
        np.testing.assert_allclose(training[name], evaluated[name], rtol=1e-4, err_msg=name)


def test_without_a_heat_map_training_draws_nothing(both):
    jax.tree.map(np.testing.assert_array_equal, both(BATCH, 0)[0], both(BATCH, 1)[0])


def test_evaluation_reads_no_label(both):
    rng = np.random.default_rng(1)
    noise = {**made.batch(seed=7), "image": BATCH["image"], "camera": BATCH["camera"]}
    noise["segmentations"] = rng.integers(0, 4, BATCH["segmentations"].shape, np.uint8)
    found, same = both(BATCH)[2], both(noise)[2]
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), found, same))


def test_losses_of_halves_add_up(both):
    halves = [jax.tree.map(lambda x, i=i: np.repeat(x[i : i + 1], 2, axis=0), BATCH) for i in (0, 1)]  # one shape
    first, second, whole = (both(batch)[0] for batch in (*halves, BATCH))
    for name in LOSSES:
        np.testing.assert_allclose(whole[name], np.add(first[name], second[name]) / 2, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("lacking", ["objects_valid", "instances_valid"])
def test_clips_whose_objects_are_not_listed_add_nothing(both, lacking):
    found, *_ = both({**BATCH, lacking: np.zeros_like(BATCH[lacking])})
    counts = {name: float(count) for name, (_, count) in found.items()}
    assert counts == dict.fromkeys(LOSSES, 0.0) | ({"detect": 6.0} if lacking == "instances_valid" else {})
    assert all(float(found[name][0]) == 0 for name in LOSSES if counts[name] == 0)


@pytest.mark.slow
def test_gradients_are_finite_whatever_the_labels(gradient_of, variables):
    """Of nobody, of objects on the optical axis with poses that are exact, and of predictions that are all the same."""
    params = variables["params"]
    nobody = [{**BATCH, key: np.zeros_like(BATCH[key])} for key in ("objects_valid", "instances_valid")]
    axis = jax.tree.map(np.copy, BATCH)
    axis["instances"]["positions"][:] = axis["camera"]["positions"][:, None] + np.array([0, 0, 5], np.float32)
    axis["camera"]["quaternions"][:] = axis["instances"]["quaternions"][:] = 1, 0, 0, 0
    behind = jax.tree.map(np.copy, BATCH)
    behind["instances"]["positions"][..., 2] -= 9
    for batch in (*nobody, axis, behind):
        assert all_finite(gradient_of(params, batch))
        assert all_finite(
            gradient_of({**params, "heads_pose": jax.tree.map(np.zeros_like, params["heads_pose"])}, batch)
        )
    first = gradient_of(params, nobody[0])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(first))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient_of(params, BATCH)["heads_pose"]))


def test_noise_on_true_centres_is_of_its_key_and_has_the_shares_that_it_says():
    objects = jax.tree.map(np.asarray, jax.jit(lambda batch: in_frames(batch, 4))(made.batch(clips=64)))
    draw = jax.jit(lambda seed, counts: noisy(jax.random.key(seed), objects._replace(counts=counts), 8, 8))
    first, again, other = (np.asarray(draw(seed, objects.counts)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    peaks = (first == 1).sum() / objects.counts.sum()
    assert 0.55 < peaks < 0.75  # 0.6 are left, 0.1 added, a few fall into one cell
    assert not np.any(draw(0, np.zeros_like(objects.counts)))


def test_a_history_goes_by_ids_whatever_the_slots():
    places = np.arange(24.0).reshape(1, 4, 2, 3)
    ids = np.array([[[5, 6], [6, 0], [6, 5], [5, 7]]])
    found = jax.jit(histories, static_argnums=3)(places, np.ones((1, 4, 2, 2)), ids, 3)
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
