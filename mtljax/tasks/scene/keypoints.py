"""Key points: a heat map for each."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError, unknown
from mtljax.models import heads
from mtljax.tasks.drawing.colours import palette
from mtljax.tasks.labels import labels_of
from mtljax.tasks.losses.masked import number
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.metrics.not_finite import NOT_FINITE, of_numbers
from mtljax.tasks.task import Batch, Metric, Task

SCALES = ("image", "points")
_DIM = 0.35  # of an image below its points
_ENOUGH = 8  # points that all lie in the first pixel, so that it is no chance
_OUTSIDE = 0.01  # share of points beyond the image from which on a run does not start


def keypoints(
    num_points: int,
    label: str = "keypoints",
    sigma: float = 1.5,
    alphas: tuple[float, ...] = (0.1, 0.05),
    scale: str = "image",
    name: str = "keypoints",
    head: Any = None,
    width: int = 64,
) -> Task:
    """Key points, each where its heat map is largest: PCK, the share that is right, and the mean error in pixels.

    The loss is the cross-entropy between the softmax of a heat map over all pixels and a Gaussian about the point,
    added up over points that are labelled. A point is right within alpha times the longer side of the image, or of the
    box around the frame's labelled points (Yang and Ramanan, TPAMI 2013), but there within a pixel in any case. The
    constant predictor says for each point where it is most often.

    Args:
        num_points: K.
        label: batch key, (B, s, K, 2) float, x and y in pixels with centres at integers + 0.5; points beyond the image
            count for nothing, but more than 1 % of them are an error at the start.
        sigma: of the Gaussian, in pixels.
        alphas: of PCK; the first is the primary metric, `PCK_0.1`.
        scale: `image` or `points`.
        name: of the task.
        head: features -> logits (B, s, H, W, K); default `heads.Dense(num_points, width)`.
        width: of the default head.

    Returns:
        The task.

    Raises:
        UserError: for numbers that cannot be, or an unknown scale.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.keypoints(num_points=1)
        >>> batch = {"keypoints": jnp.full((1, 1, 1, 2), 2.5), "keypoints_valid": jnp.ones((1, 1, 1, 1), bool)}
        >>> total, count = task.loss(jnp.zeros((1, 1, 4, 6, 1)), batch)
        >>> print(f"{total:.2f}", count)  # log(24)
        3.18 1.0
    """
    if isinstance(num_points, bool) or not isinstance(num_points, int) or num_points < 1:
        raise UserError(f"keypoints(num_points={num_points!r}): expected a whole number, at least 1.")
    alphas = tuple(alphas) if isinstance(alphas, tuple | list) else (alphas,)
    for key, values in (("sigma", (sigma,)), ("alphas", alphas or (0,))):
        if not all(isinstance(x, int | float) and 0 < x < np.inf for x in values):
            raise UserError(f"keypoints({key}={values if key == 'alphas' else sigma!r}): expected numbers above 0.")
    if scale not in SCALES:
        raise unknown("scale of keypoints(...):", scale, SCALES)
    it = _Points(label, num_points, sigma, alphas, scale)
    found = [Metric(f"PCK_{alpha:g}", True, ratio(f"PCK_{alpha:g}", over="points")) for alpha in alphas]
    return Task(
        name=name,
        head=head or heads.Dense(num_points, width=width),
        labels=(label,),
        loss=it.loss,
        metrics=of_numbers(*found, Metric("error", False, ratio("distance", over="points"))),
        sums=it.sums,
        constant=it.constant,
        draw=it.draw,
        kind="points",
        check=it.check,
    )


@dataclasses.dataclass(frozen=True)
class _Points:
    """What the task computes; attributes as the arguments of `keypoints`."""

    label: str
    number: int
    sigma: float
    alphas: tuple[float, ...]
    scale: str

    def loss(self, prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        places, valid = self._read(prediction, batch)
        logits = jnp.where(valid[..., None, None, :], prediction.astype(jnp.float32), 0.0)
        across, down = self._targets(places, *prediction.shape[2:4])
        met = jnp.einsum("bshwk,bskh,bskw->bsk", logits, down, across, precision=jax.lax.Precision.HIGHEST)
        entropy = jax.nn.logsumexp(logits, axis=(2, 3)) - met
        return jnp.sum(jnp.where(valid, entropy, 0.0)), number(valid)

    def sums(self, prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        places, valid = self._read(prediction, batch)
        height, width = prediction.shape[2:4]
        distance = jnp.linalg.norm(jnp.where(valid[..., None], found_in(prediction) - places, 0.0), axis=-1)
        reach = self._reach(places, valid, max(height, width))
        finite = jnp.all(jnp.isfinite(prediction), axis=(2, 3))
        right = {f"PCK_{a:g}": valid & (distance <= jnp.maximum(a * reach, self._least)) for a in self.alphas}
        return {
            **{key: jnp.sum(value, dtype=jnp.int32) for key, value in right.items()},
            "distance": jnp.sum(distance),
            "points": jnp.sum(valid, dtype=jnp.int32),
            NOT_FINITE: jnp.sum(valid & ~finite, dtype=jnp.int32),
        }

    def constant(self, labels: Batch) -> np.ndarray:
        """(H, W, K): the logarithm of how often each point is where, blurred as the loss has it."""
        height, width = labels["image"].shape[2:4]
        places, valid = map(np.asarray, self._inside(labels, height, width))
        across, down = map(np.asarray, self._targets(jnp.asarray(places), height, width))
        known = valid[..., None]
        often = np.einsum("bskh,bskw->hwk", down * known, across * known)
        return np.log(often / np.maximum(often.sum((0, 1)), 1e-9) + 1e-9).astype(np.float32)

    def draw(self, prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """A dot for each point on the image, which is dimmed."""
        height, width = prediction.shape[2:4]
        places, valid = map(np.asarray, self._inside(batch, height, width))
        found = np.asarray(found_in(jnp.nan_to_num(jnp.asarray(prediction))))
        return _dots(batch["image"], found, np.ones_like(valid)), _dots(batch["image"], places, valid)

    def check(self, labels: Batch) -> str:
        """A sentence on points beyond the image; `UserError` where there are many, or they are no pixels."""
        valid = np.asarray(labels[f"{self.label}_valid"], bool)[..., 0]
        known = np.asarray(labels[self.label])[valid]
        if len(known) >= _ENOUGH and known.min() >= 0 and known.max() <= 1:
            raise UserError(
                f"label {self.label!r}: all of {len(known)} points are within the first pixel, as shares of the image "
                "would be; expected (x, y) in pixels."
            )
        if "image" not in labels:
            return ""
        _, inside = self._inside(labels, *labels["image"].shape[2:4])
        outside, all_ = int((valid & ~np.asarray(inside)).sum()), int(valid.sum())
        if not outside:
            return ""
        height, width = labels["image"].shape[2:4]
        told = f"{outside} of {all_} points are beyond the image of {height} x {width} (height x width)"
        if outside > _OUTSIDE * all_:
            raise UserError(f"label {self.label!r}: {told}; expected (x, y) in its pixels, or masks that are False.")
        return f"{told}: they count for nothing."

    @property
    def _least(self) -> float:
        """Pixels within which a point is right in any case: argmax gives whole ones."""
        return 1.0 if self.scale == "points" else 0.0

    def _reach(self, places: jax.Array, valid: jax.Array, longer: int) -> jax.Array:
        """What alpha is a share of: (B, s, 1) pixels, or one number for all."""
        if self.scale == "image":
            return jnp.asarray(float(longer))
        there = valid[..., None]
        low = jnp.min(jnp.where(there, places, jnp.inf), axis=2)
        high = jnp.max(jnp.where(there, places, -jnp.inf), axis=2)
        extent = jnp.max(high - low, axis=-1, keepdims=True)
        return jnp.where(jnp.isfinite(extent), extent, 0.0)

    def _targets(self, places: jax.Array, height: int, width: int) -> tuple[jax.Array, jax.Array]:
        """Gaussians about points, (B, s, K, W) across and (B, s, K, H) down; each adds up to 1."""

        def about(centre: jax.Array, size: int) -> jax.Array:
            away = jnp.arange(size, dtype=jnp.float32) + 0.5 - centre[..., None]
            return jax.nn.softmax(-((away / self.sigma) ** 2) / 2, axis=-1)

        return about(places[..., 0], width), about(places[..., 1], height)

    def _read(self, prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Places (B, s, K, 2) and which of them are judged, (B, s, K) bool."""
        size = batch["image"].shape[2:4] if "image" in batch else prediction.shape[2:4]
        wanted = (*batch[self.label].shape[:2], *size, self.number)
        if tuple(prediction.shape) != wanted:
            found = tuple(prediction.shape)
            raise UserError(f"the prediction has shape {found}; expected {wanted}, by {self.label}.")
        return self._inside(batch, *prediction.shape[2:4])

    def _inside(self, batch: Batch, height: int, width: int) -> tuple[jax.Array, jax.Array]:
        places, valid = labels_of(batch, self.label, 2)
        if places.ndim != 4 or places.shape[2] != self.number:
            raise UserError(f"label {self.label} has shape {places.shape}; expected (B, s, {self.number}, 2).")
        places = places.astype(jnp.float32)
        inside = jnp.all((places >= 0) & (places <= jnp.array([width, height])), axis=-1)
        return places, valid[..., 0] & inside


def found_in(heat: jax.Array) -> jax.Array:
    """Where heat maps (B, s, H, W, K) are largest: (B, s, K, 2) pixels, x and y of the pixel's centre.

    Example:
        >>> print(found_in(jnp.zeros((1, 1, 4, 6, 1)).at[0, 0, 2, 5].set(1.0))[0, 0])
        [[5.5 2.5]]
    """
    width = heat.shape[3]
    at = jnp.argmax(heat.reshape(*heat.shape[:2], -1, heat.shape[-1]), axis=2)
    return jnp.stack([at % width, at // width], axis=-1) + 0.5


def _dots(image: Any, places: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Images (B, s, H, W, C), dimmed, with squares at places (B, s, K, 2): (B, s, H, W, 3) uint8."""
    image = np.asarray(image, np.float32)
    low, high = min(0.0, float(image.min())), max(1.0, float(image.max()))
    grey = 255 * _DIM * (image.mean(-1, keepdims=True) - low) / (high - low)
    picture = np.repeat(grey, 3, axis=-1).astype(np.uint8)
    height, width = picture.shape[2:4]
    reach, colours = max(height, width) // 64, palette(places.shape[2] + 1)[1:]
    for b, s, k in np.argwhere(valid):
        x, y = np.floor(places[b, s, k]).astype(int)
        rows, columns = (slice(max(0, at - reach), at + reach + 1) for at in (min(y, height - 1), min(x, width - 1)))
        picture[b, s, rows, columns] = colours[k]
    return picture
