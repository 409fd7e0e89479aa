"""Self-supervision where its effect is known exactly: nothing is lost on the truth, and every error is pulled back."""

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.tasks.self_supervision import smoothness
from tests.tasks import still_world as world
from tests.tasks.still_world import figures, measured

TRUTH, BATCH = world.TRUTH, world.BATCH
NOTHING, WRONG = world.NOTHING, world.WRONG


def test_the_truth_costs_nothing():
    assert abs(measured(TRUTH)[0]) < NOTHING
    found = figures(TRUTH)
    assert list(found) == ["photometric", "auto_masked"]
    assert abs(found["photometric"]) < NOTHING
    assert found["auto_masked"] == 0


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_wrong_depth_is_pulled_back_at_every_scale(factor):
    for scale in (0, 1):
        depth = TRUTH["depth"].copy()
        depth[..., scale] *= factor
        loss, gradient = measured(TRUTH | {"depth": depth})
        assert loss > WRONG
        by_frame = gradient["depth"].sum(axis=(2, 3))
        assert (np.sign(by_frame[..., scale]) == np.sign(factor - 1)).all()
        assert (np.abs(by_frame[..., scale]) > 5 * np.abs(by_frame[..., 1 - scale])).all()
        # The metric is of the finest scale.
        assert (figures(TRUTH | {"depth": depth})["photometric"] > WRONG) == (scale == 0)


@pytest.mark.parametrize("axis", range(6))
@pytest.mark.parametrize("sign", [-1, 1])
def test_wrong_motion_is_pulled_back(axis, sign):
    error = np.zeros(6)
    error[axis] = sign * (0.05 if axis < 3 else 0.025)
    loss, gradient = measured(world.moved(error))
    assert loss > WRONG
    assert (np.sign(gradient["ego_motion"][:, :-1, axis]) == sign).all()


def test_every_motion_serves_both_of_its_frames_and_the_last_is_none():
    for pair in (0, 1):
        _, gradient = measured(world.moved([0.05, 0, 0, 0, 0, 0], at=pair))
        by_pair = np.abs(gradient["ego_motion"][:, :2, 0]).sum(axis=0)
        assert by_pair[pair] > 3 * by_pair[1 - pair]
        # The frame in the middle has a better source: the other neighbour.
        ends = np.abs(gradient["depth"]).sum(axis=(0, 2, 3, 4))[::2]
        assert ends[pair] > 3 * ends[1 - pair]
    spoiled = TRUTH["ego_motion"].copy()
    spoiled[:, -1] = np.nan
    loss, gradient = measured(TRUTH | {"ego_motion": spoiled})
    assert abs(loss) < NOTHING
    assert not gradient["ego_motion"][:, -1].any()


def test_the_way_round_of_a_motion_matters():
    assert measured(TRUTH | {"ego_motion": -TRUTH["ego_motion"]}, auto_mask=False)[0] > 10 * WRONG


def test_a_still_camera_teaches_nothing():
    batch = BATCH | {"image": BATCH["image"][:, :1].repeat(world.S, axis=1)}
    still = TRUTH | {"ego_motion": 0 * TRUTH["ego_motion"]}
    assert abs(measured(still, batch)[0]) < NOTHING
    assert 0.3 < figures(still, batch)["auto_masked"] < 0.7  # by noise
    loss, gradient = measured(TRUTH, batch)
    assert abs(loss) < NOTHING
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))
    assert figures(TRUTH, batch)["auto_masked"] > 0.85  # all but what is not shown
    assert measured(TRUTH, batch, auto_mask=False)[0] > 10 * WRONG


@pytest.mark.parametrize("motion", [[0, 0, -5, 0, 0, 0], [0, 0, 2, 0, 0, 0], [9, 0, 0, 0, 3.1, 0], [0, 0, 0, 0, 0, 0]])
@pytest.mark.parametrize("depth", [1e-30, 2.0, 1e10])
def test_nothing_breaks_behind_the_camera_or_out_of_sight(motion, depth):
    shape, motions = TRUTH["depth"].shape, np.zeros_like(TRUTH["ego_motion"]) + np.float32(motion)
    prediction = {"depth": np.full(shape, depth, np.float32), "ego_motion": motions, **world.flows()}
    measured(
        prediction, smoothness=1e-3, occlusion="dfnet", rigid_flow="dfnet", flow="flow", backward_flow="backward_flow"
    )


def test_one_frame_has_no_neighbour():
    task = mtl.tasks.self_supervised(semantic_mask=(1,), segment="segment")
    alone = {"image": BATCH["image"][:, :1], "camera": BATCH["camera"]}
    assert task.loss({}, alone) == (0, 0)
    sums = jax.tree.map(np.asarray, task.sums({}, alone))
    assert all(np.isnan(metric.value(sums)) for metric in task.metrics)
    made, real = task.draw({}, alone)
    np.testing.assert_array_equal(made, real)


def test_losses_add_over_examples_and_those_that_fill_up_do_not_count():
    task = mtl.tasks.self_supervised(smoothness=1e-3)
    both = jax.jit(lambda p, b: (task.loss(p, b), task.sums(p, b)))
    prediction = world.moved([0.05, 0.01, 0, 0, 0, 0])
    whole = both(prediction, BATCH | {"example_valid": np.array([True, True])})
    alone = [both(prediction, BATCH | {"example_valid": np.arange(2) == i}) for i in range(2)]
    swapped = jax.tree.map(lambda x: x[::-1], (prediction, BATCH | {"example_valid": np.array([True, False])}))
    jax.tree.map(np.testing.assert_array_equal, alone[0], both(*swapped))
    assert [float(part[0][1]) for part in (whole, *alone)] == [2 * world.S, world.S, world.S]
    added = jax.tree.map(lambda *x: sum(x), *alone)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, added)


def test_every_scale_of_depth_is_smooth_at_its_size():
    finest = 1 + 0.05 * (np.indices((world.H, world.W)).sum(0) % 2)
    coarse = 1 + 0.05 * ((np.indices((world.H, world.W)) // 2).sum(0) % 2)
    prediction = TRUTH | {"depth": (TRUTH["depth"] * np.stack([finest, coarse], axis=-1)).astype(np.float32)}
    total, count = jax.jit(mtl.tasks.self_supervised(smoothness=1.0).loss)(prediction, BATCH)
    found = total / count - measured(prediction)[0]

    @jax.jit
    def at_scale(depth, image):
        return smoothness.edge_aware(smoothness.inverse_depth(depth), image).mean()

    wanted = 0.0
    for scale in (0, 1):
        depth = prediction["depth"][..., :: 2**scale, :: 2**scale, scale, None]
        wanted += at_scale(depth, smoothness.reduced(BATCH["image"], 2**scale)) / 2**scale / 2
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_it_is_drawn_beside_what_is_there():
    task = mtl.tasks.self_supervised()
    made, real = task.draw(TRUTH, BATCH)
    assert made.dtype == real.dtype == np.uint8
    np.testing.assert_array_equal(real, (255 * BATCH["image"]).astype(np.uint8))
    off = np.abs(made.astype(int) - real)
    assert off[:, :-1, :, world.STEP :].max() <= 1
    assert off[:, -1, :, : -world.STEP].max() <= 1
    assert not made[:, :-1, :, : world.STEP].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"rigid_flow": "geo", "flow": "flow"},
            "unknown rigid_flow of self_supervised 'geo'; did you mean 'geonet'",
        ),
        ({"occlusion": "df"}, "unknown occlusion of self_supervised 'df'; did you"),
        ({"rigid_flow": "dfnet"}, "rigid_flow=.*wants the task that predicts flow"),
        ({"motion_mask": True}, "motion_mask=.*wants the task that predicts flow"),
        ({"backward_flow": "b"}, "backward_flow=.*wants the task that predicts flow"),
        ({"semantic_mask": (1,)}, "semantic_mask=.*wants the task that predicts segment"),
        ({"edge_normal": True, "edges": "edges"}, "edge_normal=.*wants the task that predicts normals"),
        ({"semantic_mask": (), "segment": "s"}, "expected ids of classes"),
        ({"semantic_mask": (1,), "segment": "s", "semantic_steps": 0}, "semantic_steps=0.*at least 1"),
        ({"semantic_mask": (1,), "segment": "s", "iou_quantiles": (0.5, 0.1)}, "iou_quantiles=.*least to the largest"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        mtl.tasks.self_supervised(**arguments)


def test_intrinsics_are_wanted():
    with pytest.raises(ValueError, match="reads camera intrinsics"):
        mtl.tasks.self_supervised().loss(TRUTH, {"image": BATCH["image"]})
