"""Optical flow."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.tasks.drawing.colours import flow_colours
from mtljax.tasks.labels import fits, labels_of
from mtljax.tasks.losses.masked import image_means, total_and_count, where_valid
from mtljax.tasks.losses.vectors import length
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.metrics.not_finite import NOT_FINITE, not_finite, of_numbers
from mtljax.tasks.task import Batch, Metric, Task

_UNIT = 20.0  # pixels that the loss counts as 1
_WEIGHTS = {64: 0.32, 32: 0.08, 16: 0.02, 8: 0.01, 4: 0.005}  # stride of an estimate -> weight of its error
_STRIDES = (4, 8, 16, 32, 64)  # in the order of a prediction's channels
_MOVING = "moving"


def flow(
    head: Any = None,
    name: str = "flow",
    label: str = "forward_flow",
    width: int = 32,
) -> Task:
    """Optical flow: where every pixel is in the next frame, less where it is now, in pixels (x, y).

    Loss (FlowNet, Dosovitskiy et al. 2015): the mean end-point error of an image, at 1/64, 1/32, 1/16, 1/8 and 1/4 of
    its size, with the weights 0.32, 0.08, 0.02, 0.01 and 0.005; targets are means of the valid pixels of each cell, and
    everything is divided by 20. A prediction of one flow alone, without coarser estimates, has the end-point error of
    its pixels over 20 for a loss. Images are added up and counted. Metrics pool pixels over the set: EPE, the mean
    end-point error, and Fl_all, the share of pixels whose error is above 3 pixels and above 5 % of the true length
    (KITTI); both also of pixels that move in the world (label `moving`, where it is there), and not only in the image.
    The constant predictor is no flow.

    Args:
        head: features -> (B, s, H, W, 2), or (B, s, H, W, 12): the flow and estimates at the strides 4, 8, 16, 32 and
            64, each upsampled to full size by its nearest cell, all in full-size pixels; default `heads.Flow(width)`.
        name: of the task.
        label: batch key, (B, s, H, W, 2) float pixels.
        width: of the default head.

    Returns:
        The task; its primary metric is EPE. Its loss raises a UserError for another number of channels.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.flow()
        >>> truth = jnp.array([3.0, 4.0]) * jnp.ones((1, 1, 8, 8, 2))
        >>> batch = {"forward_flow": truth, "forward_flow_valid": jnp.ones((1, 1, 8, 8, 1), bool)}
        >>> total, count = jax.jit(task.loss)(jnp.zeros((1, 1, 8, 8, 12)), batch)
        >>> print(total.round(5), count)  # (0.32 + 0.08 + 0.02 + 0.01 + 0.005) 5 / 20
        0.10875 1.0
    """

    def loss(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        truth, valid = _known(prediction, batch, label)
        if prediction.shape[-1] == 2:
            error, has_any = image_means(length(where_valid(prediction, valid) - truth), valid)
            return total_and_count(error / _UNIT, has_any)
        return total_and_count(*_weighted_error(prediction, truth, valid))

    def sums(prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        truth, valid = _known(prediction, batch, label)
        error = length(where_valid(prediction[..., :2], valid) - truth)
        wrong = (error > 3) & (error > 0.05 * length(truth))
        added = _added(error, wrong, valid, "") | {NOT_FINITE: not_finite(prediction[..., :2], valid)}
        if _MOVING not in batch:
            return added | _added(error, wrong, jnp.zeros_like(valid), "_moving")
        moves, told = labels_of(batch, _MOVING)
        fits(prediction, moves, _MOVING, None)
        return added | _added(error, wrong, valid & told & (moves > 0), "_moving")

    def draw(prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        truth, valid = np.asarray(batch[label]), np.asarray(batch[f"{label}_valid"], bool)
        largest = max(float(np.linalg.norm(np.where(valid, truth, 0), axis=-1).max()), 1e-3)
        found = flow_colours(np.asarray(prediction)[..., :2], largest)
        return found, np.where(valid, flow_colours(truth, largest), 0).astype(np.uint8)

    return Task(
        name=name,
        head=head or heads.Flow(width=width),
        labels=(label,),
        optional_labels=(_MOVING,),
        loss=loss,
        metrics=of_numbers(
            *(Metric(k + of, False, ratio(k + of, over=f"pixels{of}")) for of in ("", "_moving") for k in _METRICS)
        ),
        sums=sums,
        constant=lambda labels: np.zeros(2, np.float32),
        draw=draw,
        kind="flow",
    )


_METRICS = ("EPE", "Fl_all")


def _known(prediction: jax.Array, batch: Batch, label: str) -> tuple[jax.Array, jax.Array]:
    """The true flow (..., 2) float32 and its mask (..., 1), where the prediction is one of it."""
    truth, valid = labels_of(batch, label, channels=2)
    if prediction.shape[-1] not in (2, 2 * (1 + len(_STRIDES))):
        raise UserError(f"flow has {prediction.shape[-1]} channels; expected 2, or 12 with coarser estimates.")
    fits(prediction, truth, label, None)
    return truth.astype(jnp.float32), valid


def _weighted_error(prediction: jax.Array, truth: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of the coarser estimates, a mean an image, and whether it has valid pixels: two (...) float32."""
    total, has_any = jnp.zeros(()), jnp.zeros(())
    for i, stride in enumerate(_STRIDES, 1):
        target, there = _cells(truth, valid, stride)
        estimate = prediction[..., ::stride, ::stride, 2 * i : 2 * i + 2]
        error, has_any = image_means(length(where_valid(estimate, there) - target), there)
        total += _WEIGHTS[stride] * error / _UNIT
    return total, has_any


def _added(error: jax.Array, wrong: jax.Array, valid: jax.Array, of: str) -> dict[str, jax.Array]:
    counts = {"Fl_all": wrong & valid, "pixels": valid}
    sums = {key + of: jnp.sum(value, dtype=jnp.int32) for key, value in counts.items()}
    return sums | {f"EPE{of}": jnp.sum(jnp.where(valid, error, 0.0))}


def _cells(truth: jax.Array, valid: jax.Array, stride: int) -> tuple[jax.Array, jax.Array]:
    """Means over the valid pixels of cells of stride x stride, those at the far edges cut: (..., h, w, 2), (..., 1)."""
    height, width = truth.shape[-3:-1]
    edges = [(0, 0)] * (truth.ndim - 3) + [(0, -height % stride), (0, -width % stride), (0, 0)]

    def summed(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, edges)
        h, w = x.shape[-3] // stride, x.shape[-2] // stride
        return x.reshape(*x.shape[:-3], h, stride, w, stride, x.shape[-1]).sum(axis=(-4, -2))

    count = summed(valid.astype(jnp.float32))
    return summed(jnp.where(valid, truth, 0.0)) / jnp.maximum(count, 1.0), count > 0
