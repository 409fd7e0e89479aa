"""The loss of `self_supervised` and what is measured of it."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError, unknown
from mtljax.tasks.labels import fits, labels_of
from mtljax.tasks.losses.masked import image_means, number
from mtljax.tasks.metrics.histogram import histogram
from mtljax.tasks.metrics.not_finite import NOT_FINITE
from mtljax.tasks.self_supervision import neighbours
from mtljax.tasks.self_supervision.clip_geometry import ClipGeometry, clip_geometry
from mtljax.tasks.self_supervision.consensus import mask_entropy, mixed
from mtljax.tasks.self_supervision.movable import BINS, Movable
from mtljax.tasks.self_supervision.occlusion import RULES
from mtljax.tasks.self_supervision.photometric import tie_breaking
from mtljax.tasks.self_supervision.smoothness import edge_aware, edge_released, inverse_depth, reduced
from mtljax.tasks.task import Batch

_CHANNELS = {"ego_motion": 6, "normals": 3, "edges": 1, "static": 1}  # of others any number
_RIGID_FLOWS = ("dfnet", "geonet")
_FLOW_WEIGHT = 0.5
_VELOCITY_WEIGHT = 0.1

Prediction = Mapping[str, jax.Array]


class Found(NamedTuple):
    """What is found out about the frames of clips, (B, s) each.

    Attributes:
        loss: of each frame.
        photometric: the mean over pixels of the error at the finest scale.
        auto_masked: the share of pixels where an unwarped source does better.
        iou: of what may move in a frame and in its neighbours, as warped; 1 without a semantic mask.
        any_movable: whether anything may.
        numbers: whether all that is read of its clip's predictions is finite; else its loss is NaN.
    """

    loss: jax.Array
    photometric: jax.Array
    auto_masked: jax.Array
    iou: jax.Array
    any_movable: jax.Array
    numbers: jax.Array


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss of `self_supervised`, whose arguments these are; `names`: what is wanted -> the task it is from."""

    names: Mapping[str, str]
    smoothness: float
    auto_mask: bool
    blur: int
    velocity: bool
    rigid_flow: str | None
    occlusion: str | None
    motion_mask: bool
    movable: Movable | None
    edge_normal: bool

    def check(self, name: str) -> None:
        """Raises a `UserError` where arguments do not fit each other."""
        for argument, choice, known in (
            ("rigid_flow", self.rigid_flow, _RIGID_FLOWS),
            ("occlusion", self.occlusion, RULES),
        ):
            if choice is not None and choice not in known:
                raise unknown(f"{argument} of {name}", choice, known)
        for argument, chosen, needs in (
            ("rigid_flow", self.rigid_flow, ["flow"]),
            ("motion_mask", self.motion_mask, ["flow"]),
            ("backward_flow", "backward_flow" in self.names, ["flow"]),
            ("semantic_mask", self.movable, ["segment"]),
            ("edge_normal", self.edge_normal, ["normals", "edges"]),
        ):
            for need in needs if chosen else []:
                if need not in self.names:
                    raise UserError(f"{name}({argument}=...) wants the task that predicts {need}: {need}='...'.")
        if self.movable:
            self.movable.check(name)

    def loss(self, prediction: Prediction, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """(total, count) over the frames that have a neighbour."""
        counted = _counted(batch)
        if counted.shape[1] < 2:
            return jnp.zeros(()), jnp.zeros(())
        loss = self.found(prediction, batch).loss
        return jnp.sum(jnp.where(counted, loss, 0.0)), number(counted)

    def sums(self, prediction: Prediction, batch: Batch) -> dict[str, jax.Array]:
        """What the metrics are made of."""
        counted = _counted(batch)
        if counted.shape[1] < 2:
            zeros = {key: jnp.zeros(()) for key in ("photometric", "auto_masked")}
            zeros |= {key: jnp.zeros((), jnp.int32) for key in ("frames", NOT_FINITE)}
            return zeros | ({"iou": jnp.zeros(BINS, jnp.int32)} if self.movable else {})
        found = self.found(prediction, batch)
        sums = {key: jnp.sum(jnp.where(counted, getattr(found, key), 0.0)) for key in ("photometric", "auto_masked")}
        if self.movable:
            sums["iou"] = histogram(found.iou * BINS, counted & found.any_movable, BINS)
        sums[NOT_FINITE] = jnp.sum(counted & ~found.numbers, dtype=jnp.int32)
        return sums | {"frames": jnp.sum(counted, dtype=jnp.int32)}

    def draw(self, prediction: Mapping[str, np.ndarray], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Each frame made from its next one (the last from the one before), black where not seen; and as it is."""
        image = np.asarray(batch["image"], np.float32)
        made = image if image.shape[1] < 2 else np.asarray(jax.jit(self._made)(prediction, batch))
        made, image = (np.nan_to_num(255 * np.clip(x, 0, 1)).astype(np.uint8) for x in (made, image))
        return made, image

    def _made(self, prediction: Prediction, batch: Batch) -> jax.Array:
        at = self._geometry(prediction, batch, blur=0)
        views = jnp.where(at.valid, at.views(), 0.0)[:, :, :, 0]
        return jnp.concatenate([views[:, 0], views[:, 1, -1:]], axis=1)

    def found(self, prediction: Prediction, batch: Batch) -> Found:
        """The loss of every frame, and what the metrics read; for clips of two frames or more."""
        at = self._geometry(prediction, batch, self.blur)
        seen = None if self.occlusion is None else at.seen(self.occlusion)
        error = at.rigid_error(seen)
        unwarped = at.unwarped_error
        unwarped = jnp.min(unwarped + tie_breaking((2, 1, *unwarped.shape[3:])), axis=1)
        shown = jnp.isfinite(error[:, :, 0])
        masked = shown & (unwarped <= error[:, :, 0])
        least = jnp.where(shown, self._least(error[:, :, 0], unwarped), 0.0)
        loss, error = self._by_flow(at, seen, error, prediction)
        error = jnp.where(jnp.isfinite(error), self._least(error, unwarped[:, :, None]), 0.0)
        iou = any_movable = jnp.ones(error.shape[:2])
        if self.movable:
            logits = prediction[self.names["segment"]]
            movable, iou, any_movable = self.movable.seen(logits, at.pixels[:, :, :, 0], at.valid[:, :, :, 0])
            disagree = iou < self.movable.threshold(batch.get("step"), len(iou))
            error = jnp.where((movable & disagree[..., None, None, None])[:, :, None], 0.0, error)
        loss += jnp.mean(error, axis=(2, 3, 4, 5)) + self._smoothness(at, prediction)
        if self.velocity:
            loss += _VELOCITY_WEIGHT * self._velocity(prediction, batch)
        photometric, auto_masked = (jnp.mean(x, axis=(2, 3, 4), dtype=jnp.float32) for x in (least, masked))
        numbers = jnp.broadcast_to(self._numbers(prediction)[:, None], loss.shape)
        loss = jnp.where(numbers, loss, jnp.nan)
        return Found(loss, photometric, auto_masked, iou, any_movable > 0, numbers)

    def _by_flow(
        self, at: ClipGeometry, seen: jax.Array | None, error: jax.Array, prediction: Prediction
    ) -> tuple[jax.Array, jax.Array]:
        """What flows add to each frame's loss, and the error (B, s, S, H, W, 1), mixed with theirs by the mask."""
        loss = jnp.zeros(())
        if self.rigid_flow == "dfnet":
            loss += _FLOW_WEIGHT * _flow_distance(at, seen)
        if not (self.motion_mask or self.rigid_flow == "geonet"):
            return loss, error
        free_error = at.flow_error(seen)
        if self.rigid_flow == "geonet":
            loss += image_means(free_error, jnp.isfinite(free_error))[0]
        if self.motion_mask:
            logits = jnp.asarray(prediction["static"], jnp.float32)
            loss += mask_entropy(logits, error[:, :, 0], free_error, _largest_difference(at))
            error = mixed(logits[:, :, None], error, free_error[:, :, None])
        return loss, error

    def _numbers(self, prediction: Prediction) -> jax.Array:
        """Whether all that is read of each clip's predictions is finite, (B,) bool.

        What is no number leads nowhere in the image, and would pass for a pixel that no source shows.
        """
        read = self._read(prediction)
        for key in read.keys() & {"ego_motion", "flow"}:
            read[key] = read[key][:, :-1]  # the last frame has no next
        if "backward_flow" in read:
            read["backward_flow"] = read["backward_flow"][:, 1:]
        for key in read.keys() & {"flow", "backward_flow"}:
            read[key] = read[key][..., :2]
        if "segment" in read:
            read["segment"] = jnp.max(read["segment"], axis=-1)  # a class may be ruled out by minus infinity
        finite = [jnp.all(jnp.isfinite(x), axis=range(1, x.ndim)) for x in read.values()]
        return jnp.all(jnp.stack(finite), axis=0)

    def _read(self, prediction: Prediction) -> dict[str, jax.Array]:
        """What is wanted -> its prediction."""
        read = {key: prediction[task] for key, task in self.names.items()}
        return read | ({"static": prediction["static"]} if self.motion_mask else {})

    def _geometry(self, prediction: Prediction, batch: Batch, blur: int) -> ClipGeometry:
        for key, x in self._read(prediction).items():
            places = batch["image"].shape[:2] if key == "ego_motion" else batch["image"].shape[:-1]
            fits(x, (*places, 1), f"image, of the task that predicts {key}", _CHANNELS.get(key))
        flows = [prediction[self.names[key]] for key in ("flow", "backward_flow") if key in self.names]
        depth, ego_motion = (prediction[self.names[key]] for key in ("depth", "ego_motion"))
        return clip_geometry(batch, depth, ego_motion, flows, self.rigid_flow == "geonet", blur)

    def _least(self, error: jax.Array, unwarped: jax.Array) -> jax.Array:
        """Where an unwarped source wins the pixel is masked: what it adds is a constant."""
        return jnp.minimum(error, unwarped) if self.auto_mask else error

    def _smoothness(self, at: ClipGeometry, prediction: Prediction) -> jax.Array:
        """(B, s)."""
        scales = at.depth.shape[-1]
        added = jnp.zeros(())
        for scale in range(scales):
            inverse = inverse_depth(reduced(at.depth[..., scale : scale + 1], 2**scale))
            added += self.smoothness / 2**scale * edge_aware(inverse, reduced(at.image, 2**scale)) / scales
        if self.edge_normal:
            normals, edges = (jnp.asarray(prediction[self.names[k]], jnp.float32) for k in ("normals", "edges"))
            added += edge_released(at.depth[..., :1], normals, jax.nn.sigmoid(edges))
        return added

    def _velocity(self, prediction: Prediction, batch: Batch) -> jax.Array:
        """How far each frame's motions are from as long as they should be, in metres; 0 without a label: (B, s)."""
        if "ego_motion" not in batch:
            return jnp.zeros(())
        truth, valid = (x[:, :-1] for x in labels_of(batch, "ego_motion", channels=6))
        motion = jnp.where(valid, prediction[self.names["ego_motion"]][:, :-1].astype(jnp.float32), 1.0)
        error = jnp.abs(_length(motion[..., :3]) - _length(truth[..., :3]))
        return neighbours.frame_means(jnp.stack([error] * 2, axis=1), jnp.stack([valid[..., 0]] * 2, axis=1))


def _counted(batch: Batch) -> jax.Array:
    """Which frames count, (B, s) bool: not those of examples that only fill a batch up."""
    shape = batch["image"].shape[:2]
    return jnp.broadcast_to(jnp.asarray(batch.get("example_valid", True)).reshape(-1, 1), shape)


def _flow_distance(at: ClipGeometry, seen: jax.Array | None) -> jax.Array:
    """The mean L1 distance of each frame's flows from the rigid ones, where both stay in the image: (B, s)."""
    ways = at.free_flow.shape[1]
    valid = at.valid[:, :ways, :, 0] & at.flow_inside()
    valid = valid if seen is None else valid & seen[:, :ways]
    distance = jnp.sum(jnp.abs(at.rigid_flow[:, :ways] - at.free_flow), axis=-1, keepdims=True)
    return neighbours.frame_means(*image_means(distance, valid))


def _largest_difference(at: ClipGeometry) -> jax.Array:
    """The larger component of rigid less predicted flow, the least of a frame's: (B, s, H, W, 1)."""
    difference = jnp.max(jnp.abs(at.rigid_flow[:, : at.free_flow.shape[1]] - at.free_flow), axis=-1, keepdims=True)
    return jnp.min(neighbours.by_frame(difference, jnp.inf), axis=1)


def _length(x: jax.Array) -> jax.Array:
    """(..., 3) -> (...), with a finite gradient at 0."""
    return jnp.sqrt(jnp.maximum(jnp.sum(x**2, axis=-1), 1e-12))
