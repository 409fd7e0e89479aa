"""Optical flow: loss and metrics against slow NumPy transcriptions, on labels with holes; and the colour wheel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.tasks._colours import flow_colours

B, S, H, W = 3, 2, 24, 40
WEIGHTS = {4: 0.005, 8: 0.01, 16: 0.02, 32: 0.08, 64: 0.32}
RNG = np.random.default_rng(0)
VALID = RNG.random((B, S, H, W, 1)) < 0.6
VALID[:, :, 7:21, 15:] = False  # cells without any label,
VALID[1, 0, 13, 30] = True  # one with a single label,
VALID[0, 1] = False  # and an image without any
FLOW = np.where(VALID, RNG.normal(0, 20, (B, S, H, W, 2)), 0).astype(np.float32)
BATCH = {
    "forward_flow": FLOW,
    "forward_flow_valid": VALID,
    "moving": (RNG.random(VALID.shape) < 0.3).astype(np.uint8),
    "moving_valid": RNG.random(VALID.shape) < 0.8,
}
# From right to far off, so that either condition of an outlier decides somewhere.
NEAR = (FLOW + RNG.normal(0, 1, FLOW.shape) * RNG.choice([0.1, 2, 5], VALID.shape)).astype(np.float32)
COARSE = np.concatenate([NEAR, RNG.normal(0, 20, (*VALID.shape[:-1], 10)).astype(np.float32)], axis=-1)
TASK = mtl.tasks.flow()
both_forms = pytest.mark.parametrize("prediction", [NEAR, COARSE], ids=["alone", "with_coarse"])


@jax.jit
def measure(prediction, batch):
    """(total, count), sums, gradient of total."""
    gradient = jax.grad(lambda p: TASK.loss(p, batch)[0])(prediction)
    return TASK.loss(prediction, batch), TASK.sums(prediction, batch), gradient


def figures(prediction, batch=BATCH):
    sums = jax.tree.map(np.asarray, measure(prediction, batch)[1])
    return {metric.name: metric.value(sums) for metric in TASK.metrics}


def cells(stride):
    """Of each labelled cell: its image, its first pixel, and where its labels are."""
    for b, s in np.ndindex(B, S):
        for y in range(0, H, stride):
            for x in range(0, W, stride):
                inside = VALID[b, s, y : y + stride, x : x + stride, 0]
                if inside.any():
                    yield (b, s), (y, x), inside


def of_scales(prediction):
    """FlowNet's loss, cell by cell."""
    total = 0.0
    for channel, (stride, weight) in enumerate(WEIGHTS.items(), 1):
        errors = {}
        for image, (y, x), inside in cells(stride):
            target = FLOW[image][y : y + stride, x : x + stride][inside].mean(axis=0, dtype=np.float64)
            estimate = prediction[image][y, x, 2 * channel : 2 * channel + 2]
            errors.setdefault(image, []).append(np.linalg.norm(estimate - target))
        total += weight * sum(np.mean(x) for x in errors.values()) / 20
    return total


def errors_of(prediction):
    return np.linalg.norm(prediction[..., :2].astype(np.float64) - FLOW, axis=-1, keepdims=True)


def test_the_loss_over_scales_is_its_definition():
    (total, count), _, _ = measure(COARSE, BATCH)
    np.testing.assert_allclose(total, of_scales(COARSE), rtol=1e-5)
    assert count == B * S - 1


def test_the_loss_of_a_flow_alone_is_its_definition():
    (total, count), _, _ = measure(NEAR, BATCH)
    error = errors_of(NEAR)
    np.testing.assert_allclose(total, sum(error[i][VALID[i]].mean() for i in np.ndindex(B, S) if VALID[i].any()) / 20)
    assert count == B * S - 1


def test_metrics_are_their_definitions():
    found, error, length = figures(COARSE), errors_of(COARSE), np.linalg.norm(FLOW, axis=-1, keepdims=True)
    wrong = (error > 3) & (error > 0.05 * length)
    assert (error > 3)[VALID].sum() > wrong[VALID].sum() < (error > 0.05 * length)[VALID].sum()
    moving = VALID & BATCH["moving_valid"] & (BATCH["moving"] > 0)
    wanted = {}
    for of, where in (("", VALID), ("_moving", moving)):
        wanted |= {f"EPE{of}": error[where].mean(), f"Fl_all{of}": wrong[where].mean()}
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, err_msg=key)
    assert not any(metric.higher_is_better for metric in TASK.metrics)


def test_without_the_label_of_what_moves_its_figures_are_missing():
    fixed = {k: v for k, v in BATCH.items() if not k.startswith("moving")}
    sums = jax.tree.map(np.asarray, TASK.sums(COARSE, fixed))
    found = {metric.name: metric.value(sums) for metric in TASK.metrics}
    assert np.isnan([found.pop("EPE_moving"), found.pop("Fl_all_moving")]).all()
    for key, value in found.items():
        np.testing.assert_allclose(value, figures(COARSE)[key], rtol=1e-5)
    assert sums.keys() == measure(COARSE, BATCH)[1].keys()  # so that sums add over both kinds of batches
    still = figures(COARSE, BATCH | {"moving": np.zeros_like(BATCH["moving"])})
    assert np.isnan(still["EPE_moving"])
    assert not np.isnan(still["EPE"])


def test_no_flow_is_the_baseline():
    length = np.linalg.norm(FLOW, axis=-1, keepdims=True)[VALID]
    constant = np.broadcast_to(TASK.constant(BATCH), NEAR.shape)
    assert not constant.any()
    found = figures(constant)
    np.testing.assert_allclose(found["EPE"], length.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["Fl_all"], (length > 3).mean(), rtol=1e-5)
    right, _, gradient = measure(constant, BATCH | {"forward_flow": np.zeros_like(FLOW)})
    assert right == (0, B * S - 1)
    assert not np.asarray(gradient).any()  # nor NaN, at the tip of the cone


@both_forms
def test_what_is_not_valid_never_matters(prediction):
    read = np.zeros(prediction.shape, bool)
    read[..., :2] = VALID
    for channel, stride in enumerate(WEIGHTS, 1):
        if 2 * channel < prediction.shape[-1]:
            for image, (y, x), _ in cells(stride):
                read[image][y, x, 2 * channel : 2 * channel + 2] = True
    spoiled = BATCH | {
        "forward_flow": np.where(VALID, FLOW, np.nan),
        "moving": np.where(BATCH["moving_valid"], BATCH["moving"], 99).astype(np.uint8),
    }
    clean, dirty = measure(prediction, BATCH), measure(np.where(read, prediction, np.nan), spoiled)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    moved = np.asarray(clean[2]) != 0
    assert not moved[~read].any()
    trained = slice(0, 2) if prediction.shape[-1] == 2 else slice(2, 12)
    np.testing.assert_array_equal(moved[..., trained], read[..., trained])


@both_forms
def test_losses_and_sums_add_over_parts_of_a_batch(prediction):
    parts = [measure(prediction[i : i + 1], {k: v[i : i + 1] for k, v in BATCH.items()})[:2] for i in range(B)]
    added = jax.tree.map(lambda *x: sum(x), *parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), measure(prediction, BATCH)[:2], added)


@both_forms
def test_without_any_label_all_is_zero_and_no_figure_is_made(prediction):
    empty = BATCH | {"forward_flow_valid": np.zeros_like(VALID), "forward_flow": np.full_like(FLOW, np.nan)}
    total, sums, gradient = measure(prediction, empty)
    assert total == (0, 0)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves((sums, gradient)))
    assert np.isnan([*figures(prediction, empty).values()]).all()


def test_half_precision_predictions_are_measured_in_single():
    half = jnp.asarray(COARSE, jnp.bfloat16)
    found, single = measure(half, BATCH)[:2], measure(half.astype(jnp.float32), BATCH)[:2]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, single)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TASK.loss(COARSE[..., :4], BATCH), UserError, "flow has 4 channels; expected 2, or 12"),
        (
            lambda: TASK.loss(NEAR, BATCH | {"forward_flow": FLOW[..., :1]}),
            ValueError,
            r"label forward_flow has shape .* expected a last axis of 2",
        ),
        (
            lambda: TASK.sums(NEAR, BATCH | {"moving_valid": VALID[:, :, 1:]}),
            ValueError,
            r"mask moving_valid has shape .*; expected",
        ),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_pictures_share_a_scale_and_hide_what_is_not_known():
    found, true = TASK.draw(COARSE, BATCH | {"forward_flow": np.where(VALID, FLOW, np.nan)})
    for picture in (found, true):
        assert (picture.shape, picture.dtype) == ((B, S, H, W, 3), np.uint8)
    assert not true[~VALID[..., 0]].any()
    longest = np.unravel_index(np.where(VALID, np.linalg.norm(FLOW, axis=-1, keepdims=True), 0).argmax(), VALID.shape)
    assert true[longest[:-1]].min() == 0  # a pure hue
    assert TASK.draw(FLOW, BATCH)[0][VALID[..., 0]].tolist() == true[VALID[..., 0]].tolist()
    for wrong in (np.nan, np.inf, -np.inf):
        TASK.draw(np.full_like(COARSE, wrong), BATCH)
    TASK.draw(COARSE, BATCH | {"forward_flow_valid": np.zeros_like(VALID)})


def test_the_colour_wheel_is_middleburys():
    # x to the right, y down; the colours that the authors' code gives.
    wanted = {
        (1, 0): (255, 0, 0),
        (0, 1): (255, 229, 0),
        (-1, 0): (0, 208, 255),
        (0, -1): (88, 0, 255),
        (0, 0): (255, 255, 255),
        (0.5, 0): (255, 127, 127),
        (2, 0): (191, 0, 0),
    }
    for direction, colour in wanted.items():
        np.testing.assert_allclose(flow_colours(np.array(direction, float), 1.0), colour, atol=1, err_msg=direction)
    np.testing.assert_array_equal(flow_colours(np.array([0, 7.0]), 7.0), flow_colours(np.array([0, 1.0]), 1.0))
    corners = {15: (255, 255, 0), 21: (0, 255, 0), 25: (0, 255, 255), 36: (0, 0, 255), 49: (255, 0, 255)}
    for place, colour in corners.items():  # of 55, from the right over yellow
        angle = 2 * np.pi * place / 54
        found = flow_colours(np.array([np.cos(angle), np.sin(angle)]) * (1 - 1e-9), 1.0)
        np.testing.assert_allclose(found, colour, atol=1, err_msg=place)
    around = np.linspace(0, 2 * np.pi, 73)[:-1]
    wheel = flow_colours(np.stack([np.cos(around), np.sin(around)], axis=-1), 1.0).astype(int)
    assert np.abs(wheel - np.roll(wheel, 36, axis=0)).sum(axis=-1).min() > 200  # opposite directions
    assert np.abs(wheel - np.roll(wheel, 1, axis=0)).sum(axis=-1).max() < 120  # no jump
    assert len({tuple(colour) for colour in wheel}) == 72
