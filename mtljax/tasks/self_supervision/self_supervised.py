"""Depth and ego-motion without labels: each frame of a clip must be what its neighbours say it is.

Monodepth2 (Godard et al. 2019) on the task `self_supervised`, and add-ons from other papers, each one argument:

- `velocity`: 0.1 | |t| - |t label| | where the batch has `ego_motion` labels, of which only the length v dt is read:
  so depth is in metres (PackNet, Guizilini et al. 2020).
- `rigid_flow`, wants `flow`. `dfnet`: 0.5 times the L1 distance of the flow from the rigid one, where both stay in the
  image (Zou et al. 2018). `geonet`: the flow task predicts the residual on the rigid flow (Yin & Shi 2018); the
  photometric error of frames warped by their sum is added, and no gradient passes from it to the rigid flow.
- `occlusion`, `dfnet` or `geonet`: leaves out pixels whose flow and flow back do not cancel; by predicted flows where
  both `flow` and `backward_flow` are given, by rigid flows otherwise.
- `motion_mask`, wants `flow`: a mask m from this task's own head mixes the photometric errors of rigid and free flow,
  m E_R + (1 - m) E_F, and learns by cross-entropy which is the less (Competitive Collaboration, Ranjan et al. 2019).
  The authors train mask and networks in turns, each with the other held. Here both move in every step and
  `stop_gradient` holds the other: the same two gradients, taken at the same point.
- `semantic_mask`, wants `segment`: leaves out the pixels of classes that may move, by the frame's segmentation or a
  warped one, on frames where the two have an IoU below a threshold (SGDepth, Klingner et al. 2020). The share of
  frames that are masked falls from all to none over `semantic_steps`; without them it stays at all. A loss is a
  function of its batch alone and adds over parts of a batch, so it knows neither how far training is nor other frames'
  IoU. Therefore the training step writes its number into the batch, `step` (B,) int32; where there is none, as in
  evaluation, nothing is masked. And a share's threshold is read from `iou_quantiles`, quantiles of the data set's IoU
  at even steps from the least to the largest: the metrics `iou_25`, `iou_50`, `iou_75` of an earlier run. By default
  IoU is taken to be spread evenly.
- `edge_normal`, wants `edges` and `normals`: predicted edges release the smoothness of depth and normals, and are kept
  few (LEGO, Yang et al. 2018).
"""

from collections.abc import Sequence
from typing import Any

from mtljax.models import heads
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.metrics.histogram import quantile
from mtljax.tasks.metrics.not_finite import of_numbers
from mtljax.tasks.self_supervision.movable import BINS, Movable
from mtljax.tasks.self_supervision.objective import Objective
from mtljax.tasks.task import Metric, Sums, Task

_IOU_SHARES = (25, 50, 75)


def self_supervised(
    head: Any = None,
    name: str = "self_supervised",
    depth: str = "depth",
    ego_motion: str = "ego_motion",
    flow: str | None = None,
    backward_flow: str | None = None,
    segment: str | None = None,
    normals: str | None = None,
    edges: str | None = None,
    smoothness: float = 1e-3,
    auto_mask: bool = True,
    blur: int = 0,
    velocity: bool = False,
    rigid_flow: str | None = None,
    occlusion: str | None = None,
    motion_mask: bool = False,
    semantic_mask: Sequence[int] | None = None,
    semantic_steps: int | None = None,
    iou_quantiles: Sequence[float] = (0.0, 1.0),
    edge_normal: bool = False,
    width: int = 32,
) -> Task:
    """Ties depth and ego-motion together by view synthesis: Monodepth2 (Godard et al. 2019), with add-ons (see above).

    Every frame of a clip is a target; its sources are the frames before and after it. With sources warped by predicted
    depth and motion, a pixel's photometric error is the least of theirs (eq. 4); where a source as it is does better
    the pixel is masked (eq. 5): it adds a constant. A pixel that no source shows adds nothing. That is averaged over
    the depth's channels, each a scale at full size, with `smoothness` / 2^s times the edge-aware smoothness of inverse
    depth over its mean (eq. 3), at the size of scale s. The loss is a mean over frames that have a neighbour.

    The tasks that it ties are its parents: their heads are moved by this loss. Those without labels of their own want
    `loss="none"`.

    Args:
        head: gives the parents' predictions and, for `motion_mask`, `static`, logits (B, s, H, W, 1); default
            `heads.Parents()`.
        name: of the task.
        depth: name of the task that predicts depth, (B, s, H, W, S) metres, as `heads.InverseDepth` does.
        ego_motion: of the one that predicts motion, (B, s, 6): translation (m) and axis-angle of x_t = R x_{t+1} + t.
        flow: of the one that predicts flow to the next frame, (B, s, H, W, 2 or more), the first two in pixels.
        backward_flow: of the one that predicts flow to the frame before, likewise.
        segment: of the one that predicts classes, logits (B, s, H, W, C).
        normals: of the one that predicts normals, (B, s, H, W, 3).
        edges: of the one that predicts edges, logits (B, s, H, W, 1).
        smoothness: its weight.
        auto_mask: whether pixels are masked where an unwarped source does better.
        blur: how often images are averaged with (1, 2, 1) / 4 both ways before they are compared. Noise rewards shifts
            by half a pixel, which average it out; where frames differ by a pixel or two that outweighs their motion.
        velocity: whether the length of motions is learned from labels.
        rigid_flow: None, `dfnet` or `geonet`.
        occlusion: None, `dfnet` or `geonet`.
        motion_mask: whether a mask tells what moves.
        semantic_mask: ids of the classes that may move.
        semantic_steps: training steps over which the share of masked frames falls to none.
        iou_quantiles: of the frames' IoU, from the least to the largest.
        edge_normal: whether edges release smoothness.
        width: of the default mask's decoder.

    Returns:
        The task. Its primary metric is `photometric`, the mean over pixels of the photometric error as the loss has it;
        `auto_masked` is the share of pixels where an unwarped source does better. It reads `image` and `camera`.

    Raises:
        UserError: for an unknown choice, or an add-on without the tasks that it wants.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.self_supervised()
        >>> predicted = {"depth": jnp.ones((1, 2, 8, 8, 1)), "ego_motion": jnp.zeros((1, 2, 6))}
        >>> batch = {"image": jnp.ones((1, 2, 8, 8, 3)), "camera": {"intrinsics": jnp.eye(3)[None]}}
        >>> total, count = jax.jit(task.loss)(predicted, batch)
        >>> print(bool(abs(total) < 1e-4), count)
        True 2.0
    """
    wanted = {"depth": depth, "ego_motion": ego_motion, "flow": flow, "backward_flow": backward_flow}
    wanted |= {"segment": segment, "normals": normals, "edges": edges}
    names = {key: parent for key, parent in wanted.items() if parent is not None}
    movable = None if semantic_mask is None else Movable(tuple(semantic_mask), semantic_steps, tuple(iou_quantiles))
    objective = Objective(
        names, smoothness, auto_mask, blur, velocity, rigid_flow, occlusion, motion_mask, movable, edge_normal
    )
    objective.check(name)
    return Task(
        name=name,
        head=head or heads.Parents(static=heads.Dense(1, width=width) if motion_mask else None),
        labels=(),
        loss=objective.loss,
        metrics=_metrics(movable),
        sums=objective.sums,
        constant=None,
        draw=objective.draw,
        parents=tuple(dict.fromkeys(names.values())),
        optional_labels=("ego_motion",) if velocity else (),
    )


def _metrics(movable: Movable | None) -> tuple[Metric, ...]:
    found = [Metric(key, False, ratio(key, over="frames")) for key in ("photometric", "auto_masked")]
    if movable is not None:
        found += [Metric(f"iou_{share}", True, _iou(share / 100)) for share in _IOU_SHARES]
    return of_numbers(*found)


def _iou(share: float) -> Any:
    def value(sums: Sums) -> float:
        return quantile(sums["iou"], share) / BINS

    return value
