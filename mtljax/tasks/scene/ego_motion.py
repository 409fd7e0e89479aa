"""Ego-motion: how the camera moves from each frame to the next."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.geometry import inverse, matrix_of, motion_of
from mtljax.models import heads
from mtljax.tasks.drawing.path import draw_clips
from mtljax.tasks.losses.motion import BETA, known, motion_loss
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.metrics.not_finite import NOT_FINITE, not_finite, of_numbers
from mtljax.tasks.task import Metric, Task


def ego_motion(
    head: Any = None,
    name: str = "ego_motion",
    label: str = "ego_motion",
    loss: str = "l1",
    beta: float = BETA,
    depth: str | None = None,
    width: int = 64,
) -> Task:
    """The camera's motion to the next frame: L1 of the translation + beta times L1 of the rotation, over pairs.

    Metrics are means over pairs of frames of the motion that is left when the prediction is undone: RPE_translation in
    metres, RPE_rotation in degrees (Sturm et al. 2012, with means in place of root mean squares, as `mtl.geometry.rpe`
    has them). Whole sequences are judged by `odometry`. The constant predictor is a still camera.

    Args:
        head: features -> (B, s, 6), metres and axis-angle in radians, from points of the next frame's camera to
            this one's, the last frame of no account; default `heads.EgoMotion(width)`.
        name: of the task.
        label: batch key, (B, s, 6) float.
        loss: `l1`, or `none` where another task's loss moves the head.
        beta: weight of the rotation in the loss.
        depth: name of a task that predicts depth, (B, s, H, W, 1 or more) metres, for the head to use; it is not
            trained by this one.
        width: of the default head.

    Returns:
        The task; its primary metric is RPE_translation.

    Raises:
        UserError: for an unknown loss, or a negative beta.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.ego_motion(beta=2.0)
        >>> truth = jnp.array([[[0.0, 0.0, 1.0, 0.0, 0.1, 0.0], [0.0] * 6]])
        >>> batch = {"ego_motion": truth, "ego_motion_valid": jnp.array([[[True], [False]]])}
        >>> total, count = task.loss(jnp.zeros((1, 2, 6)), batch)
        >>> print(total, count)
        1.2 1.0
    """
    return Task(
        name=name,
        head=head or heads.EgoMotion(width=width),
        labels=(label,),
        loss=motion_loss(label, beta, loss),
        metrics=of_numbers(
            *(Metric(key, False, ratio(key, over="pairs")) for key in ("RPE_translation", "RPE_rotation"))
        ),
        sums=lambda prediction, batch: _sums(*known(prediction, batch, label)),
        constant=lambda labels: np.zeros(6, np.float32),
        draw=lambda prediction, batch: draw_clips(prediction, batch, label),
        unit="metres, then radians",
        parents={} if depth is None else {"depth": depth},
    )


def _sums(p: jax.Array, g: jax.Array, valid: jax.Array) -> dict[str, jax.Array]:
    left = motion_of(_product(inverse(matrix_of(p)), matrix_of(g)))
    found = {
        "RPE_translation": jnp.linalg.norm(left[..., :3], axis=-1),
        "RPE_rotation": jnp.degrees(jnp.linalg.norm(left[..., 3:], axis=-1)),
    }
    sums = {key: jnp.sum(jnp.where(valid[..., 0], value, 0.0)) for key, value in found.items()}
    return sums | {"pairs": jnp.sum(valid, dtype=jnp.int32), NOT_FINITE: not_finite(p, valid)}


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
