"""Optical flow: loss and metrics against slow transcriptions, over holes, edge cases and any split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.tasks.drawing.colours import flow_colours
from mtljax.train.run.evaluate import evaluate_constant
from tests.tasks import measures

B, S, H, W = 8, 2, 12, 72  # 4 divides it, 8 to 64 do not
STRIDES = {4: 0.005, 8: 0.01, 16: 0.02, 32: 0.08, 64: 0.32}
RNG = np.random.default_rng(0)
FLOW = RNG.normal(0, 6, (B, S, H, W, 2)).astype(np.float32)
FLOW[2] = 0
VALID = RNG.random((B, S, H, W, 1)) < 0.6
VALID[:, 0, 4:8, 8:12] = False  # a cell of stride 4 without any
VALID[:, -1] = False  # the last frame has no next
VALID[1] = False
BATCH = {
    "forward_flow": np.where(VALID, FLOW, 0),
    "forward_flow_valid": VALID,
    "moving": (RNG.random((B, S, H, W, 1)) < 0.3).astype(np.uint8),
    "moving_valid": RNG.random((B, S, H, W, 1)) < 0.8,
}
PREDICTION = RNG.normal(0, 6, (B, S, H, W, 12)).astype(np.float32)
PREDICTION[0, 0, 0, 0, :2], VALID[0, 0, 0, 0] = FLOW[0, 0, 0, 0], True  # an error of exactly 0
BATCH["forward_flow"][0, 0, 0, 0] = FLOW[0, 0, 0, 0]
TASK = mtl.tasks.flow()


measure = measures.measured(TASK)


def figures(sums):
    return {metric.name: metric.value(jax.tree.map(np.asarray, sums)) for metric in TASK.metrics}


def slow_loss(prediction, truth, valid):
    """Image by image, scale by scale, cell by cell."""
    total, count = 0.0, 0
    for b, t in np.ndindex(truth.shape[:2]):
        if not valid[b, t].any():
            continue
        count += 1
        for i, (stride, weight) in enumerate(STRIDES.items(), 1):
            errors = []
            for y, x in np.ndindex(-(-H // stride), -(-W // stride)):
                at = np.s_[y * stride : (y + 1) * stride, x * stride : (x + 1) * stride]
                if valid[b, t][at].any():
                    target = truth[b, t][at][valid[b, t][at][..., 0]].astype(np.float64).mean(0)
                    estimate = prediction[b, t, y * stride, x * stride, 2 * i : 2 * i + 2]
                    errors.append(np.linalg.norm(estimate / 20 - target / 20))
            total += weight * np.mean(errors)
    return total, count


def slow_metrics(prediction, truth, known):
    errors, wrong = [], []
    for at in zip(*np.nonzero(known[..., 0]), strict=True):
        errors.append(np.linalg.norm(prediction[at][:2].astype(np.float64) - truth[at]))
        wrong.append(errors[-1] > 3 and errors[-1] > 0.05 * np.linalg.norm(truth[at]))
    return (np.mean(errors), np.mean(wrong)) if errors else (np.nan, np.nan)


def test_loss_is_its_definition():
    total, count = measure(PREDICTION, BATCH)[0]
    wanted, images = slow_loss(PREDICTION, BATCH["forward_flow"], VALID)
    np.testing.assert_allclose(total, wanted, rtol=1e-5)
    assert count == images == B - 1


def test_one_flow_alone_has_the_end_point_error_of_its_pixels():
    total, count = jax.jit(TASK.loss)(PREDICTION[..., :2], BATCH)
    errors = np.linalg.norm(PREDICTION[..., :2] - BATCH["forward_flow"], axis=-1)
    images = [errors[b, 0][VALID[b, 0, ..., 0]].mean() / 20 for b in range(B) if VALID[b].any()]
    np.testing.assert_allclose(total, np.sum(images), rtol=1e-5)
    assert count == len(images)


def test_metrics_are_their_definitions():
    found = figures(measure(PREDICTION, BATCH)[1])
    moves = VALID & BATCH["moving_valid"] & (BATCH["moving"] > 0)
    wanted = {}
    for of, known in (("", VALID), ("_moving", moves)):
        wanted["EPE" + of], wanted["Fl_all" + of] = slow_metrics(PREDICTION, BATCH["forward_flow"], known)
    assert list(found) == list(wanted)
    assert TASK.primary.name == "EPE"
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


def test_a_long_flow_is_wrong_beyond_five_per_cent_only():
    truth = np.full((1, 1, 1, 4, 2), [100.0, 0], np.float32)
    batch = {"forward_flow": truth, "forward_flow_valid": np.ones((1, 1, 1, 4, 1), bool)}
    short = {"forward_flow": 0 * truth, "forward_flow_valid": np.ones((1, 1, 1, 4, 1), bool)}
    off = np.array([[2.5, 0], [3.5, 0], [4.9, 0], [5.1, 0]], np.float32)
    sums = jax.jit(TASK.sums)
    assert figures(sums(truth + off, batch))["Fl_all"] == 0.25
    assert figures(sums(off.reshape(truth.shape), short))["Fl_all"] == 0.75


def test_where_nothing_says_what_moves_those_metrics_are_nan():
    found = figures(jax.jit(TASK.sums)(PREDICTION, {k: BATCH[k] for k in ("forward_flow", "forward_flow_valid")}))
    assert np.isnan([found["EPE_moving"], found["Fl_all_moving"]]).all()
    np.testing.assert_allclose(found["EPE"], figures(measure(PREDICTION, BATCH)[1])["EPE"], rtol=1e-6)


def test_what_is_not_valid_never_matters():
    spoiled = {
        "forward_flow": np.where(VALID, FLOW, np.nan).astype(np.float32),
        "moving": np.where(BATCH["moving_valid"], BATCH["moving"], 99).astype(np.uint8),
    }
    dirty = np.array(PREDICTION)
    dirty[..., :2] = np.where(VALID, dirty[..., :2], np.nan)
    for i, stride in enumerate(STRIDES, 1):
        for at in np.ndindex(B, S, -(-H // stride), -(-W // stride)):
            here = (*at[:2], *(slice(stride * n, stride * (n + 1)) for n in at[2:]))
            if not VALID[here].any():
                dirty[(*here, slice(2 * i, 2 * i + 2))] = np.nan
    assert np.isnan(dirty[0, 0, 4:8, 8:12]).any()
    clean, found = measure(PREDICTION, BATCH), measure(dirty, BATCH | spoiled)
    jax.tree.map(np.testing.assert_array_equal, clean, found)
    gradient = np.asarray(found[2])
    assert not gradient[np.isnan(dirty)].any()
    assert not gradient[..., :2].any()  # the loss is of the five scales
    assert all(gradient[..., 2 * i : 2 * i + 2].any() for i in range(1, 6))


def test_an_error_of_zero_has_no_gradient_and_no_nan():
    still = BATCH | {"forward_flow": np.zeros_like(FLOW)}
    (total, count), sums, gradient = measure(np.zeros_like(PREDICTION), still)
    assert (total, count) == (0, B - 1)
    assert not np.any(gradient)
    found = figures(sums)
    assert found == dict.fromkeys(found, 0.0)


def test_without_any_label_all_is_zero_and_figures_are_nan():
    empty = BATCH | {"forward_flow_valid": np.zeros_like(VALID)}
    measures.nothing_without_labels(measure, TASK, PREDICTION, empty)


def test_losses_and_sums_add_over_examples():
    measures.add_over_examples(measure, PREDICTION, BATCH)


def test_half_precision_predictions_are_measured_in_single():
    half = jnp.asarray(PREDICTION, jnp.bfloat16)
    (total, _), sums, _ = measure(half, BATCH)
    (wanted, _), _, _ = measure(half.astype(jnp.float32), BATCH)
    assert total.dtype == jnp.float32
    np.testing.assert_allclose(total, wanted, rtol=1e-6)
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves(sums))


@pytest.mark.parametrize("channels", [2, 12])
def test_the_baseline_is_no_flow(channels):
    tasks = {"flow": TASK}
    found = evaluate_constant(BATCH, [BATCH], tasks, {"flow": (B, S, H, W, channels)})
    length = np.linalg.norm(BATCH["forward_flow"].astype(np.float64), axis=-1)[VALID[..., 0]]
    np.testing.assert_allclose(found["flow/EPE"], length.mean(), rtol=1e-5)


def test_colours_turn_with_the_direction_and_deepen_with_the_length():
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    way = np.stack([np.cos(around), np.sin(around)], axis=-1)
    full, half = flow_colours(way, 1.0).astype(int), flow_colours(way / 2, 1.0).astype(int)
    assert len(np.unique(full, axis=0)) == 24
    steps = np.abs(np.diff(full, axis=0, append=full[:1])).sum(-1)
    assert steps.max() < 255  # the wheel has no seam
    np.testing.assert_array_equal(flow_colours(np.zeros(2), 1.0), [255, 255, 255])
    assert (half.min(-1) > full.min(-1)).all()  # paler
    assert (flow_colours(2 * way, 1.0).max(-1) < full.max(-1)).all()  # out of range is darker
    np.testing.assert_array_equal(flow_colours(way[:1], 1.0)[0, 1:], [0, 0])  # to the right is red


def test_pictures_share_one_maximum_and_are_black_where_nothing_is_known():
    prediction = np.concatenate([BATCH["forward_flow"]] * 6, axis=-1)
    found, label = TASK.draw(prediction, BATCH)
    assert found.shape == label.shape == (B, S, H, W, 3)
    assert found.dtype == label.dtype == np.uint8
    np.testing.assert_array_equal(found[VALID[..., 0]], label[VALID[..., 0]])
    assert not label[~VALID[..., 0]].any()
    nothing = BATCH | {"forward_flow_valid": np.zeros_like(VALID)}
    assert not TASK.draw(np.full_like(prediction, np.nan), nothing)[1].any()


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"3 channels; expected 2, or 12"):
        TASK.loss(jnp.asarray(PREDICTION[..., :3]), BATCH)
    with pytest.raises(ValueError, match=r"forward_flow has shape .*expected a last axis of 2"):
        TASK.loss(PREDICTION, BATCH | {"forward_flow": FLOW[..., :1]})
