"""Trajectories: where objects will go."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.objects.baselines import constant_velocity, standing
from mtljax.objects.frames import PIXELS
from mtljax.tasks.drawing.futures import draw_futures
from mtljax.tasks.losses import objects as losses
from mtljax.tasks.metrics.objects.pairing import found_for
from mtljax.tasks.metrics.objects.paths import MISS, path_errors
from mtljax.tasks.metrics.objects.slots import sides_of
from mtljax.tasks.objects.rows import BESIDE, CLIPS, Listed, clips_of, objects_of, once, rows_where
from mtljax.tasks.task import PLACE, Baseline, Batch, Metric, Rows, Task

FUTURE = "future"
WORLD, IMAGE = "world", "image"
BASELINES = {"constant_velocity": constant_velocity, "standing": standing}


def trajectory(
    track: str | None = "track",
    pose: str | None = "pose",
    modes: int = 3,
    steps: int = 8,
    history: int = 4,
    space: str = WORLD,
    head: Any = None,
    name: str = "trajectory",
    miss: float = MISS,
    width: int = 128,
    stride: int = 4,
    least: int = PIXELS,
) -> Task:
    """Tells several paths that each track may take, and how likely they are (MTP: Cui 2019).

    The loss is `mtljax.tasks.losses.paths`'. It is judged where `history` frames came before and `steps` are known to
    come: those of the clip and, in the world, those behind it of the label `future`. Metrics over the objects that are
    tracked there: ADE and FDE of the likeliest mode, minADE_k and minFDE_k of the k likeliest, each its own minimum,
    and miss_k, the share whose minFDE_k is above `miss`. Told: `followed`, the share of objects that are tracked; ADE
    and FDE of standing. The baseline goes on at constant velocity.

    Without `track` the features are vectors of histories: a model's inputs are one array of places (B, H, 2), as those
    of `eth_ucy`, and `future` (B, T, 2) is relative to their last place.

    Args:
        track: name of the task whose tracks it reads; None where examples are histories themselves.
        pose: name of the task that tells where objects are; None in the image.
        modes: k.
        steps: T.
        history: H.
        space: `world`, metres on the ground, or `image`, pixels.
        head: see `heads.Trajectory`; by default one with these arguments.
        name: of the task.
        miss: metres, or pixels.
        width: of the default head.
        stride: pixels of a cell's side.
        least: pixels in which an object must be seen to count.

    Returns:
        The task; its primary metric is ADE.

    Raises:
        UserError: where there are tracks in the world, and no poses.

    Example:
        >>> import mtljax as mtl
        >>> mtl.tasks.trajectory().parents
        {'tracks': 'track', 'poses': 'pose'}
    """
    if track is not None and space == WORLD and pose is None:
        raise UserError("trajectory(space='world') wants pose=..., a task that tells where objects are.")
    options = {"modes": modes, "steps": steps, "history": history, "space": space}
    options |= {"width": width, "stride": stride, "least": least}
    it: Any = _OfVectors(name, modes, steps, miss)
    parents = {}
    if track is not None:
        it = _OfTracks(name, modes, steps, miss, history, space, least)
        parents = {"tracks": track} | ({"poses": pose} if pose is not None and space == WORLD else {})
    return Task(
        name=name,
        head=head or heads.Trajectory(**options),
        labels=(FUTURE,) if track is None else ("instances",),
        optional_labels=() if track is None else (*((FUTURE,) if space == WORLD else ()), *BESIDE),
        parents=parents,
        loss=losses.path() if track is None else losses.trajectory(stride, space, least),
        metrics=tuple(Metric(key, False, lambda sums, key=key: sums[key]) for key in _figures(modes)),
        told=() if track is None else tuple(
            Metric(key, key == "followed", lambda sums, key=key: sums[key])
            for key in ("followed", "ADE_standing", "FDE_standing")
        ),
        sums=lambda decoded, batch: {},
        decode=it.decode,
        host_rows=it.host_rows,
        figures=it.figures,
        constant=None,
        baseline=it.baseline,
        draw=None if track is None else it.draw,
        drawn_frame=0 if track is None else history - 1,
        fits=it.fits,
        check=None if track is None else it.check,
        kind="objects",
        unit="metres" if space == WORLD else "pixels",
    )  # fmt: skip


def _figures(modes: int) -> tuple[str, ...]:
    return ("ADE", "FDE") + ((f"minADE_{modes}", f"minFDE_{modes}", f"miss_{modes}") if modes > 1 else ())


@dataclasses.dataclass(frozen=True)
class _OfVectors:
    """Of examples that are histories themselves."""

    name: str
    modes: int
    steps: int
    miss: float

    def decode(self, prediction: Mapping[str, Any], batch: Batch) -> dict[str, jax.Array]:
        return {key: prediction[key] for key in ("paths", "logits")}

    def fits(self, prediction: Mapping[str, Any], batch: Batch) -> None:
        steps = prediction["paths"].shape[-2]
        if batch[FUTURE].shape[-2] != steps:
            raise UserError(f"paths have {steps} steps; label {FUTURE!r} has shape {tuple(batch[FUTURE].shape)}.")

    def host_rows(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> Rows:
        valid = np.asarray(batch[f"{FUTURE}_valid"], bool)[..., 0]
        return {
            "paths": {
                PLACE: np.asarray(batch[PLACE]), "paths": decoded["paths"], "logits": decoded["logits"],
                "truth": np.asarray(batch[FUTURE]), "valid": valid,
            }
        }  # fmt: skip

    def figures(self, tables: Rows) -> dict[str, float]:
        return self.errors(tables["paths"])

    def errors(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        paths, logits, truth = (rows[key].astype(np.float64) for key in ("paths", "logits", "truth"))
        first, all_ = (path_errors(paths, logits, truth, rows["valid"], best=k) for k in (1, self.modes))
        missed = np.where(np.isnan(all_["minFDE"]), np.nan, all_["minFDE"] > self.miss)
        found = {"ADE": first["minADE"], "FDE": first["minFDE"]}
        found |= dict(zip(_figures(self.modes)[2:], (all_["minADE"], all_["minFDE"], missed), strict=self.modes > 1))
        return {key: float(np.mean(x)) if len(x) else float("nan") for key, x in found.items()}

    def baseline(self, labels: Batch) -> Baseline:
        def predict(predictions: Mapping[str, Any], batch: Batch) -> dict[str, np.ndarray]:
            [history] = jax.tree.leaves(batch["inputs"])
            return _one_mode(constant_velocity(np.asarray(history, np.float64), self.steps))

        return predict


@dataclasses.dataclass(frozen=True)
class _OfTracks(_OfVectors):
    """Of the tracks of clips."""

    history: int
    space: str
    least: int

    def decode(self, prediction: Mapping[str, Any], batch: Batch) -> dict[str, jax.Array]:
        keys = ("paths", "logits", "last", "ids", "history", "seen")
        found = prediction["detections"]
        return {key: prediction[key] for key in keys} | {"boxes": found.box, "score": found.score}

    def fits(self, prediction: Mapping[str, Any], batch: Batch) -> None:
        if self.space == WORLD and "positions" not in batch["instances"]:
            there = ", ".join(batch["instances"])
            raise UserError(f"trajectory(space='world') reads 'positions' of 'instances', which has {there}.")
        self._long_enough(batch, batch[FUTURE].shape[2] if self.space == WORLD and FUTURE in batch else 0)

    def check(self, batch: Batch) -> None:
        if "image" in batch:  # of the validation split, as it is judged; windows of training may know of less
            self._long_enough(batch, int(self._steps_behind(batch).max(initial=0)))

    def _long_enough(self, batch: Batch, later: int) -> None:
        frames = batch["image"].shape[1]
        if frames < 2 or frames + later < self.history + self.steps:
            behind = f" and {later} behind them" if later else ""
            other = f", or the label {FUTURE!r} behind them" if self.space == WORLD else ""
            raise UserError(
                f"trajectory wants clips of at least {self.history + self.steps} frames, history={self.history} and "
                f"steps={self.steps}{other}; the data has {frames}{behind}."
            )

    def _steps_behind(self, batch: Batch) -> np.ndarray:
        """How many frames behind each clip the label `future` knows of, in the world: (B,)."""
        if self.space != WORLD or FUTURE not in batch:
            return np.zeros(len(batch["instances_valid"]), int)
        return np.asarray(batch[f"{FUTURE}_valid"], bool)[..., 0].any(axis=1).sum(axis=1)

    def _futures(self, objects: Listed, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Where each object goes, (B, s, M, T, 2), and what is known of it, (B, s, M, T), where paths are judged."""
        labels = {key: batch[key] for key in ("instances_valid", FUTURE, f"{FUTURE}_valid") if key in batch}
        truth, valid = map(np.asarray, _later(labels, objects, self.steps, 1, self.space))
        frame, known = np.arange(valid.shape[1]), valid.shape[1] + self._steps_behind(batch)
        judged = (frame >= self.history - 1) & (frame + self.steps < known[:, None])
        return truth, valid[..., 0] & judged[..., None, None]

    def host_rows(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> Rows:
        objects = objects_of(batch, self.least)
        truth, valid = self._futures(objects, batch)
        wanted = objects.counts & valid.any(axis=-1)
        slot = np.full(wanted.shape, -1)
        score = np.where(decoded["ids"] > 0, decoded["score"], 0.0)
        for clip, frame in np.argwhere(wanted.any(axis=-1)):
            own = np.flatnonzero(wanted[clip, frame])
            true = sides_of(objects.boxes[clip, frame, own].astype(np.float64))
            found = sides_of(decoded["boxes"][clip, frame].astype(np.float64))
            slot[clip, frame, own] = found_for(true, found, score[clip, frame])
        paths = decoded["paths"] + decoded["last"][..., None, None, :2]
        column = {"paths": paths, "logits": decoded["logits"]} | self._simple(decoded)
        columns = {key: _taken(x, slot) for key, x in column.items()}
        broken = np.isnan(decoded["score"]) & objects.labelled[..., None]
        return {
            CLIPS: clips_of(batch),
            "paths": rows_where(wanted & (slot >= 0), batch, truth=truth, valid=valid, **columns),
            "wanted": rows_where(wanted, batch),
            "broken": rows_where(broken, batch),
        }

    def _simple(self, decoded: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Where slots go by simple rules from what is known of their tracks: (B, s, K, 1, T, 2)."""
        last = decoded["last"].astype(np.float64)
        past = (decoded["history"] + last[..., None, :])[..., :2]
        return {key: rule(past, self.steps, decoded["seen"])[..., None, :, :] for key, rule in BASELINES.items()}

    def figures(self, tables: Rows) -> dict[str, float]:
        rows, wanted = (once(tables[name], tables[CLIPS], tables["wanted"]) for name in ("paths", "wanted"))
        number = len(wanted["image"])
        figures = self.errors(rows)
        still = self.errors({**rows, "paths": rows["standing"], "logits": np.zeros((len(rows["image"]), 1))})
        figures |= {f"{key}_standing": still[key] for key in ("ADE", "FDE")}
        figures["followed"] = len(rows["image"]) / number if number else float("nan")
        return dict.fromkeys(figures, float("nan")) if len(tables["broken"]["frame"]) else figures

    def baseline(self, labels: Batch) -> Baseline:
        def predict(predictions: Mapping[str, Any], batch: Batch) -> dict[str, np.ndarray]:
            own = predictions[self.name]
            paths = self._simple(own)["constant_velocity"] - own["last"][..., None, None, :2]
            return {**own, "paths": paths, "logits": np.zeros(paths.shape[:-2])}

        return predict

    def draw(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        objects = objects_of(batch, self.least)
        truth, valid = self._futures(objects, batch)
        places = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
        places = places if self.space == IMAGE else objects.positions[..., :2]
        return draw_futures(batch, self.space, decoded, (places, truth, valid & objects.counts[..., None]))


_later = jax.jit(losses.futures, static_argnums=(2, 3, 4))


def _one_mode(paths: np.ndarray) -> dict[str, np.ndarray]:
    """Paths (N, T, 2) as a prediction of a single mode."""
    return {"paths": paths[:, None], "logits": np.zeros((len(paths), 1))}


def _taken(x: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """What slots (B, s, K, ...) hold, for each object its slot (B, s, M); the first where it is in none."""
    index = np.maximum(slot, 0).reshape(*slot.shape, *[1] * (x.ndim - 3))
    return np.take_along_axis(x, index, axis=2)
