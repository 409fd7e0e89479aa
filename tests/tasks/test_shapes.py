"""Shapes that do not fit are errors in every task's loss and figures, and never broadcast; nor are other widths."""

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from tests.tasks.losses.test_losses import BATCH, DEPTH, LOGITS
from tests.tasks.metrics.test_not_finite import CASES

CLASSES = mtl.tasks.classify(num_classes=3, label="class")


def refused(name, prediction, batch=None, match=r"has shape \(.*expected|channels; expected"):
    """By the loss, where there is one, and by what figures are made of."""
    task, _, own = CASES[name]
    batch = own if batch is None else batch
    with pytest.raises(UserError, match=match):
        jax.eval_shape(task.loss, prediction, batch)
    with pytest.raises(UserError, match=match):
        (task.host_sums or (lambda p, b: jax.eval_shape(task.sums, p, b)))(prediction, batch)


def misfits(name):
    """Predictions of another batch, of one example or place that would be broadcast, and of another width."""
    prediction = CASES[name][1]
    if isinstance(prediction, dict):
        for key in ("depth", "ego_motion", *(("flow", "edges", "normals", "segment") if "all" in name else ())):
            if key not in prediction:
                continue
            x = prediction[key]
            yield from (prediction | {key: other} for other in (x[:1], x[:, :1], x[:, :, :1]) if other.shape != x.shape)
        return
    yield prediction[:1]
    yield np.concatenate([prediction, prediction[:1]])
    for axis in range(1, prediction.ndim - 1):
        yield prediction.take([0], axis=axis)
    yield prediction[None]
    if not name.startswith("depth"):  # of which the first channel is judged
        yield prediction[..., :0]
        yield np.concatenate([prediction, prediction[..., :1]], axis=-1)


@pytest.mark.parametrize("name", CASES)
def test_predictions_that_do_not_fit_are_refused(name):
    for prediction in misfits(name):
        refused(name, prediction)


def test_labels_with_an_axis_too_many_are_refused():
    """(B, 1) class ids would make (B, B) losses of (B, C) logits."""
    logits = LOGITS[:, 0, 0, 0, :3]
    for batch in (
        BATCH | {"class": BATCH["class"][:, None], "class_valid": BATCH["class_valid"][:, None]},
        BATCH | {"class": BATCH["class"][:, None]},
        BATCH | {"class_valid": BATCH["class_valid"][:, None]},
        BATCH | {"class_valid": BATCH["class_valid"][:1]},
    ):
        refused("classify", logits, batch, r"label class\w* has shape .*expected \(B,\)")


@pytest.mark.parametrize(("name", "key"), [("segment", "semantic"), ("classify", "class")])
def test_class_ids_are_whole_numbers(name, key):
    refused(name, CASES[name][1], BATCH | {key: BATCH[key].astype(np.float32)}, f"label {key} has dtype float32")


def test_what_moves_is_told_of_the_same_pixels():
    task, prediction, batch = CASES["flow"]
    moving = {"moving": batch["moving"][:, :, :1], "moving_valid": batch["moving_valid"][:, :, :1]}
    with pytest.raises(UserError, match="by moving"):
        jax.eval_shape(task.sums, prediction, batch | moving)


@pytest.mark.parametrize("name", ["depth-virtual_normal", "self_supervised"])
def test_every_clip_has_a_camera(name):
    task, prediction, batch = CASES[name]
    for spoiled in (batch["camera"]["intrinsics"][:1], batch["camera"]["intrinsics"][..., :2]):
        with pytest.raises(UserError, match="camera intrinsics have shape"):
            jax.eval_shape(task.loss, prediction, batch | {"camera": {"intrinsics": spoiled}})


def test_depth_may_have_more_channels():
    task = mtl.tasks.depth()
    jax.eval_shape(task.sums, np.concatenate([DEPTH, DEPTH], axis=-1), BATCH)
