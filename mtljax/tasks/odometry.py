"""Visual odometry: the camera's motion from frame to frame, judged over whole sequences."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.geometry import chain
from mtljax.models.layers import Norm
from mtljax.tasks import _sequences
from mtljax.tasks._masked import labels_of, where_valid
from mtljax.tasks._path import draw_paths
from mtljax.tasks.task import Batch, Metric, Task

_TRUE, _ESTIMATED = (255, 255, 255), (255, 140, 0)


def odometry(
    head: Any = None,
    name: str = "odometry",
    label: str = "ego_motion",
    beta: float = 10.0,
    longest: int = 4096,
    up_to_scale: bool = False,
    width: int = 64,
) -> Task:
    """The camera's motion to the next frame, with the metrics of the whole sequences that the motions make.

    Loss: L1 of the translation plus beta times L1 of the rotation, over pairs of frames. For the metrics the motions
    of a split are put in order by the label `frame_index`, a pair that overlapping clips show twice with its mean;
    each run of pairs that follow one another is a sequence. So clips must share a frame with the next, or each is a
    sequence of its own. Metrics pool all sequences (`mtljax.geometry` has the definitions): ATE and ATE_sim3, root
    mean squares over poses, each sequence aligned by SE(3) and by Sim(3); RPE_translation (m) and RPE_rotation
    (degrees), means over pairs; t_rel (%) and r_rel (degrees per 100 m), means over segments; snippet_ATE (m),
    SfMLearner's, the mean over snippets of five frames. NaN where there are none, such as segments of 100 m. The
    constant predictor is a still camera.

    Args:
        head: features -> (B, s, 6), metres and axis-angle in radians, from points of the next frame's camera to
            this one's, the last frame of no account; default: convolutions of `width` on both frames' features.
        name: of the task.
        label: batch key, (B, s, 6) float.
        beta: weight of the rotation in the loss.
        longest: number of frames of the longest split.
        up_to_scale: for estimates of unknown scale: ATE_sim3 is the primary metric, and the others that depend on the
            scale are those after each sequence's Sim(3) alignment; their names then end in `_sim3`.
        width: of the default head.

    Returns:
        The task; its primary metric is ATE.

    Raises:
        UserError: for arguments that cannot be.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.odometry(beta=2.0)
        >>> truth = jnp.array([[[0.0, 0.0, 1.0, 0.0, 0.1, 0.0], [0.0] * 6]])
        >>> batch = {"ego_motion": truth, "ego_motion_valid": jnp.array([[[True], [False]]])}
        >>> total, count = task.loss(jnp.zeros((1, 2, 6)), batch)
        >>> print(total, count)
        1.2 1.0
    """
    if longest < 2:
        raise UserError(f"odometry(longest={longest}): expected at least 2 frames.")
    if beta < 0:
        raise UserError(f"odometry(beta={beta}): expected a weight of at least 0.")

    def loss(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        truth, valid = labels_of(batch, label, channels=6)
        error = jnp.abs(where_valid(prediction, valid) - truth.astype(jnp.float32))
        weighted = error[..., :3] + beta * error[..., 3:]
        return jnp.sum(jnp.where(valid, weighted, 0.0)), jnp.sum(valid, dtype=jnp.float32)

    def host_sums(prediction: np.ndarray, batch: Batch) -> dict[str, np.ndarray]:
        return _sequences.gathered(prediction, batch, label, longest)

    def draw(prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        return _draw(np.asarray(prediction), np.asarray(batch[label]), batch[f"{label}_valid"], batch["image"].shape)

    return Task(
        name=name,
        head=head or _PairMotion(width),
        labels=(label, _sequences.INDEX),
        loss=loss,
        metrics=_metrics(up_to_scale),
        sums=lambda prediction, batch: {},
        host_sums=host_sums,
        constant=lambda labels: np.zeros(6, np.float32),
        draw=draw,
    )


def _metrics(up_to_scale: bool) -> tuple[Metric, ...]:
    suffix = "_sim3" if up_to_scale else ""
    aligned = [Metric("ATE", False, _sequences.ate("se3")), Metric("ATE_sim3", False, _sequences.ate("sim3"))]
    return (
        *(reversed(aligned) if up_to_scale else aligned),
        Metric(f"RPE_translation{suffix}", False, _sequences.rpe(0, up_to_scale)),
        Metric("RPE_rotation", False, _sequences.rpe(1, False)),
        Metric(f"t_rel{suffix}", False, _sequences.kitti(0, up_to_scale)),
        Metric("r_rel", False, _sequences.kitti(1, False)),
        Metric("snippet_ATE", False, _sequences.snippet_ate()),
    )


def _draw(
    prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """For each clip the true path, and the estimated one on it from the same start; the same at every frame."""
    frames, size = shape[1], shape[2:4]
    pictures = []
    for p, g, known in zip(prediction, truth, np.asarray(valid, bool)[..., 0], strict=True):
        length = frames if known.all() else int(np.argmin(known))  # up to the first pair that is not known
        p, g = (chain(np.nan_to_num(x[:length], posinf=0, neginf=0))[:, :3, 3] for x in (p, g))
        # At the same scale; black does not show.
        pictures.append((draw_paths([g, p], [_TRUE, _ESTIMATED], size), draw_paths([p, g], [(0, 0, 0), _TRUE], size)))
    both, true = (np.repeat(np.stack(x)[:, None], frames, axis=1) for x in zip(*pictures, strict=True))
    return both, true


class _PairMotion(nn.Module):
    """(B, s, 6) from the features of each frame and the next; the last frame is paired with itself."""

    width: int = 64
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, frames: int | None = None) -> jax.Array:
        x = features[-1] if isinstance(features, tuple | list) else features
        x = x.reshape(-1, frames or 1, *x.shape[1:])
        x = jnp.concatenate([x, jnp.concatenate([x[:, 1:], x[:, -1:]], axis=1)], axis=-1)
        x = x.reshape(-1, *x.shape[2:])
        for i in (1, 2):
            x = nn.Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype, name=f"conv{i}")(x)
            x = nn.relu(Norm(dtype=self.dtype, name=f"norm{i}")(x))
        x = jnp.mean(nn.Conv(6, (1, 1), dtype=self.dtype, name="predict")(x).astype(jnp.float32), axis=(1, 2))
        return 0.01 * x.reshape(-1, frames or 1, 6)
