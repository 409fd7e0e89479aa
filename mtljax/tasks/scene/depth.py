"""Depth."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import unknown
from mtljax.models import heads
from mtljax.tasks.drawing.colours import coloured
from mtljax.tasks.labels import fits, intrinsics_of, labels_of
from mtljax.tasks.losses.depth import LOSSES, log_error
from mtljax.tasks.losses.masked import image_means, total_and_count, where_valid
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.metrics.not_finite import NOT_FINITE, not_finite, of_numbers
from mtljax.tasks.task import Batch, Metric, Sums, Task

_NONE = "none"
_PER_PIXEL = ("AbsErr", "AbsRel", "SqRel", "log10", "delta1", "delta2", "delta3")
_HIGHER_IS_BETTER = frozenset({"delta1", "delta2", "delta3"})


def depth(
    loss: str = "l1",
    head: Any = None,
    name: str = "depth",
    label: str = "depth",
    median_scaling: bool = False,
    width: int = 64,
) -> Task:
    """Depth in metres, of pixels where the label is valid and positive.

    Metrics pool pixels over the set: AbsErr, AbsRel, SqRel, RMSE, RMSElog, log10, the shares delta1..3 with
    max(p/g, g/p) < 1.25^k; SILog is 100 times the standard deviation of log p - log g in an image, averaged over
    images (KITTI). A prediction counts as at least 1 mm.

    Args:
        loss: `l1`, `berhu` (Laina 2016), `silog` (Eigen 2014), `silog_gradient` (Eigen & Fergus 2015) or
            `virtual_normal` (Yin 2019; reads `camera` and, for what it draws, `step`), or several added up, as in
            `l1+virtual_normal`. Each is a mean over an image's valid pixels; images are added up and counted.
        head: features -> (B, s, H, W, 1) metres, or more channels, of which the first is judged; default
            `heads.Dense(1, width)` with a softplus.
        name: of the task.
        label: batch key, (B, s, H, W, 1) float metres.
        median_scaling: for metrics only, scale each image's prediction to the median of its truth; metric names then
            end in `_median_scaled`.
        width: of the default head.

    Returns:
        The task; its primary metric is AbsRel.

    Raises:
        UserError: for an unknown loss.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.depth(loss="l1")
        >>> batch = {"depth": jnp.full((1, 1, 2, 2, 1), 2.0), "depth_valid": jnp.ones((1, 1, 2, 2, 1), bool)}
        >>> total, count = task.loss(jnp.full((1, 1, 2, 2, 1), 2.5), batch)
        >>> print(total, count)
        0.5 1.0
    """
    terms = [] if loss == _NONE else [term.strip() for term in loss.split("+")]
    for term in terms:
        if term not in LOSSES:
            raise unknown("depth loss", term, (*LOSSES, _NONE))

    def total(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        if not terms:
            return jnp.zeros(()), jnp.zeros(())
        seen = _known(prediction, batch, label)
        more = _camera_and_step(batch, len(prediction)) if "virtual_normal" in terms else None
        found = [LOSSES[term](*seen, more) for term in terms]
        _, has_any = image_means(seen[0], seen[2])
        return total_and_count(sum((value for value, _ in found), start=jnp.zeros(())), has_any)

    def sums(prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        p, g, valid = _known(prediction, batch, label)
        found = _sums(_median_scaled(p, g, valid) if median_scaling else p, g, valid)
        return found | {NOT_FINITE: not_finite(p, valid)}

    def constant(labels: Batch) -> np.ndarray:
        truth, valid = np.asarray(labels[label]), np.asarray(labels[f"{label}_valid"], bool)
        known_depths = truth[valid & (truth > 0)]
        return np.array([np.median(known_depths) if known_depths.size else 1.0], np.float32)

    def draw(prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        truth, valid = np.asarray(batch[label])[..., 0], np.asarray(batch[f"{label}_valid"])[..., 0]
        low, high = np.percentile(truth[valid], [1, 99]) if valid.any() else (0.0, 1.0)
        found = np.asarray(_median_scaled(*_known(prediction, batch, label)) if median_scaling else prediction)
        return coloured(found[..., 0], low, high), coloured(truth, low, high, valid)

    suffix = "_median_scaled" if median_scaling else ""
    return Task(
        name=name,
        head=head or heads.Dense(1, width=width, output=jax.nn.softplus),
        labels=(label,),
        loss=total,
        metrics=of_numbers(*(Metric(m + suffix, m in _HIGHER_IS_BETTER, f) for m, f in _METRICS.items())),
        sums=sums,
        constant=constant,
        draw=draw,
        unit="metres",
    )


def _known(prediction: jax.Array | np.ndarray, batch: Batch, label: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The depth that is judged and the true one, float32 metres, and where both are: (..., 1) each."""
    truth, valid = labels_of(batch, label)
    fits(prediction, truth, label, None)
    valid = valid & (truth > 0)
    truth = jnp.where(valid, truth, 1.0).astype(jnp.float32)
    p = where_valid(prediction[..., :1], valid, 1.0)
    return jnp.where(jnp.isfinite(p), p, jnp.nan), truth, valid  # minus infinity would count as 1 mm


def _camera_and_step(batch: Batch, size: int) -> tuple[jax.Array, jax.Array]:
    """(B, 3, 3) and (B,) int32, 0 where there is none, as in evaluation."""
    if "camera" not in batch:
        raise ValueError("the loss virtual_normal reads camera intrinsics, and the batch has no 'camera'.")
    return intrinsics_of(batch, size), jnp.asarray(batch.get("step", jnp.zeros(size, jnp.int32)))


def _median_scaled(p: jax.Array, g: jax.Array, valid: jax.Array) -> jax.Array:
    def median(x: jax.Array) -> jax.Array:
        return jnp.nanmedian(jnp.where(valid, x, jnp.nan), axis=(-3, -2, -1), keepdims=True)

    has_any = jnp.any(valid, axis=(-3, -2, -1), keepdims=True)
    return p * jnp.where(has_any, median(g) / jnp.maximum(median(p), 1e-3), 1.0)


def _sums(p: jax.Array, g: jax.Array, valid: jax.Array) -> dict[str, jax.Array]:
    p = jnp.maximum(p, 1e-3)
    error, e = jnp.abs(p - g), log_error(p, g, valid)
    ratio = jnp.maximum(p / g, g / p)
    values = {
        "AbsErr": error,
        "AbsRel": error / g,
        "SqRel": error**2 / g,
        "square": error**2,
        "log_square": e**2,
        "log10": jnp.abs(e) / jnp.log(10.0),
    }
    sums = {key: jnp.sum(jnp.where(valid, value, 0.0)) for key, value in values.items()}
    sums |= {f"delta{k}": jnp.sum(valid & (ratio < 1.25**k), dtype=jnp.int32) for k in (1, 2, 3)}
    mean, has_any = image_means(e, valid)
    centred, _ = image_means((e - mean[..., None, None, None]) ** 2, valid)
    sums["deviation"], sums["images"] = total_and_count(jnp.sqrt(centred), has_any)
    return sums | {"pixels": jnp.sum(valid, dtype=jnp.int32)}


def _root(key: str) -> Any:
    return lambda sums: float(np.sqrt(ratio(key, over="pixels")(sums)))


def _silog(sums: Sums) -> float:
    return 100 * ratio("deviation", over="images")(sums)


_METRICS = {
    "AbsRel": ratio("AbsRel", over="pixels"),
    **{key: ratio(key, over="pixels") for key in _PER_PIXEL if key != "AbsRel"},
    "RMSE": _root("square"),
    "RMSElog": _root("log_square"),
    "SILog": _silog,
}
