"""Visual odometry: the camera's motion from frame to frame, judged over whole sequences."""

from typing import Any

import numpy as np

from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.tasks.drawing.path import draw_clips
from mtljax.tasks.losses.motion import BETA, motion_loss
from mtljax.tasks.metrics import trajectories
from mtljax.tasks.task import Batch, Metric, Task


def odometry(
    head: Any = None,
    name: str = "odometry",
    label: str = "ego_motion",
    loss: str = "l1",
    beta: float = BETA,
    longest: int = 4096,
    up_to_scale: bool = False,
    depth: str | None = None,
    width: int = 64,
) -> Task:
    """The camera's motion to the next frame, with the metrics of the whole sequences that the motions make.

    Loss: that of `ego_motion`. For the metrics the motions of a split are put in order by the label `frame_index`, a
    pair that overlapping clips show twice with its mean; each run of pairs that follow one another is a sequence. So
    clips must share a frame with the next, or each is a sequence of its own. Metrics pool all sequences
    (`mtljax.geometry` has the definitions): ATE and ATE_sim3, root mean squares over poses, each sequence aligned by
    SE(3) and by Sim(3); RPE_translation (m) and RPE_rotation (degrees), means over pairs; t_rel (%) and r_rel (degrees
    per 100 m), means over segments; snippet_ATE (m), SfMLearner's, the mean over snippets of five frames. NaN where
    there are none, such as segments of 100 m. The constant predictor is a still camera.

    Args:
        head: features -> (B, s, 6), metres and axis-angle in radians, from points of the next frame's camera to
            this one's, the last frame of no account; default `heads.EgoMotion(width)`.
        name: of the task.
        label: batch key, (B, s, 6) float.
        loss: `l1`, or `none` where another task's loss moves the head.
        beta: weight of the rotation in the loss.
        longest: number of frames of the longest split.
        up_to_scale: for estimates of unknown scale: ATE_sim3 is the primary metric, and the others that depend on the
            scale are those after each sequence's Sim(3) alignment; their names then end in `_sim3`.
        depth: name of a task that predicts depth, (B, s, H, W, 1 or more) metres, for the head to use; it is not
            trained by this one.
        width: of the default head.

    Returns:
        The task; its primary metric is ATE.

    Raises:
        UserError: for an unknown loss, a negative beta, or fewer than 2 frames.

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

    def host_sums(prediction: np.ndarray, batch: Batch) -> dict[str, np.ndarray]:
        return trajectories.gathered(prediction, batch, label, longest)

    return Task(
        name=name,
        head=head or heads.EgoMotion(width=width),
        labels=(label, trajectories.INDEX),
        loss=motion_loss(label, beta, loss),
        metrics=_metrics(up_to_scale),
        sums=lambda prediction, batch: {},
        host_sums=host_sums,
        constant=lambda labels: np.zeros(6, np.float32),
        draw=lambda prediction, batch: draw_clips(prediction, batch, label),
        unit="metres, then radians",
        parents={} if depth is None else {"depth": depth},
    )


def _metrics(up_to_scale: bool) -> tuple[Metric, ...]:
    suffix = "_sim3" if up_to_scale else ""
    aligned = [Metric("ATE", False, trajectories.ate("se3")), Metric("ATE_sim3", False, trajectories.ate("sim3"))]
    return (
        *(reversed(aligned) if up_to_scale else aligned),
        Metric(f"RPE_translation{suffix}", False, trajectories.rpe(0, up_to_scale)),
        Metric("RPE_rotation", False, trajectories.rpe(1, False)),
        Metric(f"t_rel{suffix}", False, trajectories.kitti(0, up_to_scale)),
        Metric("r_rel", False, trajectories.kitti(1, False)),
        Metric("snippet_ATE", False, trajectories.snippet_ate()),
    )
