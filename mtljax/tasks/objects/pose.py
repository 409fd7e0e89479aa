"""Pose: how objects lie in space."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError, unknown
from mtljax.models import heads
from mtljax.objects.decoding import read
from mtljax.objects.detections import centres
from mtljax.objects.frames import PIXELS
from mtljax.objects.poses import pose as pose_of
from mtljax.objects.poses import ray, split
from mtljax.objects.symmetry import CONE, CUBE, CYLINDER, NONE, SPHERE
from mtljax.objects.views import seen_by
from mtljax.tasks.drawing.solids import draw_poses
from mtljax.tasks.losses import objects as losses
from mtljax.tasks.metrics.objects import solids as shapes
from mtljax.tasks.metrics.objects.pairing import found_for
from mtljax.tasks.metrics.objects.poses import CLOSE, Errors, pose_errors, pose_figures
from mtljax.tasks.metrics.objects.slots import sides_of
from mtljax.tasks.objects.rows import BESIDE, CLIPS, Listed, check_categories, clips_of, objects_of, once, rows_where
from mtljax.tasks.task import Baseline, Batch, Metric, Rows, Task

# name -> how it looks the same, and the solid whose points are compared
SOLIDS = {
    "sphere": (SPHERE, shapes.SPHERE),
    "box": (CUBE, shapes.BOX),
    "cylinder": (CYLINDER, shapes.CYLINDER),
    "cone": (CONE, shapes.CONE),
    "other": (NONE, shapes.BOX),
}
SCENES = ("sphere", "box", "cylinder", "cone")
# of the metrics: name -> the figure, and whether higher is better
FIGURES = {
    "ADD_S": ("ADD-S < 0.1 d", True),
    "ADD": ("ADD(-S) < 0.1 d", True),
    "metres": ("median metres", False),
    "degrees": ("median degrees_symmetric", False),
    "degrees_plain": ("median degrees", False),
    "AUC_ADD_S": ("AUC ADD-S", True),
    "AUC_ADD": ("AUC ADD(-S)", True),
    "close": ("close symmetric", True),
}
_TYPES = {"found": bool, "symmetric": bool}  # of columns that hold no numbers


def pose(
    detect: str = "detect",
    solids: Sequence[str] = SCENES,
    head: Any = None,
    name: str = "pose",
    close: tuple[float, float] = CLOSE,
    width: int = 48,
    stride: int = 4,
    least: int = PIXELS,
) -> Task:
    """Tells where in space an object is, how it is turned and how large it is (GDR-Net: Wang 2021).

    The loss is `mtljax.tasks.losses.poses`': nothing is paid for a turn after which an object looks the same. Metrics
    over the objects that count; one that was not found fails every share and is in no median. ADD_S and ADD: shares
    whose ADD-S, and ADD (ADD-S where an object is symmetric), is below a tenth of the diameter; metres of the
    translation and degrees to the nearest rotation that looks the same, medians (degrees_plain: to the true one;
    spheres are in neither, since no image shows how they are turned);
    AUC_ADD_S and AUC_ADD: areas up to 0.1 m; close: the share within 5 cm and 5 degrees. The share of the objects that
    were found is told. The baseline puts each detection on the ray of its box's centre at the training set's median
    depth, with one rotation and one size.

    Args:
        detect: name of the task whose detections it reads.
        solids: of each class, `sphere`, `box`, `cylinder`, `cone`, or `other`, which looks the same after no turn.
        head: features -> numbers, see `heads.Pose`; default `heads.Pose(width, stride)`.
        name: of the task.
        close: metres and degrees of `close`.
        width: of the default head.
        stride: pixels of a cell's side.
        least: pixels in which an object must be seen to count.

    Returns:
        The task; its primary metric is ADD_S.

    Raises:
        UserError: for an unknown solid.

    Example:
        >>> import mtljax as mtl
        >>> mtl.tasks.pose().primary.name
        'ADD_S'
    """
    for solid in solids:
        if solid not in SOLIDS:
            raise unknown("solid of pose:", solid, SOLIDS)
    it = _Pose(name, tuple(SOLIDS[solid] for solid in solids), stride, least, (close[0], close[1]))
    return Task(
        name=name,
        head=head or heads.Pose(width=width, stride=stride, least=least),
        labels=("instances",),
        optional_labels=BESIDE,
        parents={"boxes": detect},
        loss=losses.pose_of(stride, [kind for kind, _ in it.solids], least),
        metrics=tuple(Metric(key, up, lambda sums, key=key: sums[key]) for key, (_, up) in FIGURES.items()),
        told=(Metric("found", True, lambda sums: sums["found"]),),
        sums=lambda decoded, batch: {},
        decode=it.decode,
        host_rows=it.host_rows,
        figures=it.figures,
        constant=None,
        baseline=it.baseline,
        draw=it.draw,
        fits=it.fits,
        check=it.check,
        kind="objects",
        unit="metres",
    )


@dataclasses.dataclass(frozen=True)
class _Pose:
    name: str
    solids: tuple[tuple[int, int], ...]
    stride: int
    least: int
    close: tuple[float, float]

    def decode(self, prediction: Mapping[str, Any], batch: Batch) -> dict[str, jax.Array]:
        found = prediction["detections"]
        middle = read(prediction["centres"], found.cell) if "centres" in prediction else centres(found, self.stride)
        pose = pose_of(split(read(prediction["numbers"], found.cell)), middle, _intrinsics(batch), self.stride)
        return {**pose._asdict(), "boxes": found.box, "score": found.score, "probability": found.classes}

    def fits(self, prediction: Mapping[str, Any], batch: Batch) -> None:
        lacking = [key for key in ("positions", "quaternions", "scale") if key not in batch["instances"]]
        if "camera" not in batch:
            raise UserError("pose wants a camera: 'camera' with positions, quaternions and intrinsics.")
        if lacking:
            raise UserError(
                f"pose reads {', '.join(lacking)} of 'instances', which has {', '.join(batch['instances'])}."
            )

    def check(self, batch: Batch) -> None:
        check_categories(batch, len(self.solids), "pose(solids=...) names")

    def host_rows(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> Rows:
        self.check(batch)
        objects = objects_of(batch, self.least)
        view = _seen(objects, batch, self.name)
        wanted = objects.counts & view["in_front"]
        frames = np.argwhere(wanted.any(axis=-1)).tolist()
        errors = [one for clip, frame in frames for one in self._errors(objects, view, decoded, wanted, (clip, frame))]
        columns = {
            key: np.array([getattr(one, key) for one in errors], _TYPES.get(key, float)) for key in Errors._fields
        }
        broken = np.isnan(decoded["score"]) & objects.labelled[..., None]
        return {
            CLIPS: clips_of(batch),
            "errors": rows_where(wanted, batch, turned=self._turned(objects)) | columns,
            "broken": rows_where(broken, batch),
        }

    def _turned(self, objects: Listed) -> np.ndarray:
        """Whether an image can show how an object is turned: (B, s, M)."""
        kinds = np.array([kind for kind, _ in self.solids])
        return kinds[np.clip(objects.category, 0, len(kinds) - 1)] != SPHERE  # what is not wanted may be of any class

    def _errors(
        self,
        objects: Listed,
        view: Mapping[str, np.ndarray],
        decoded: Mapping[str, np.ndarray],
        wanted: np.ndarray,
        at: tuple[int, int],
    ) -> Iterator[Errors]:
        """Of the wanted objects of a frame, in their order."""
        own = np.flatnonzero(wanted[at])
        found = sides_of(decoded["boxes"][at].astype(np.float64))
        slots = found_for(sides_of(objects.boxes[at][own].astype(np.float64)), found, decoded["score"][at])
        for one, slot in zip(own, slots, strict=True):
            kind, solid = self.solids[objects.category[at][one]]
            points = shapes.solid_points(solid, objects.half_sizes[at][one].astype(np.float64))
            rotation = None if slot < 0 else decoded["rotation"][at][slot].astype(np.float64)
            place = decoded["translation"][at][slot].astype(np.float64)
            turn, centre = (view[key][at][one].astype(np.float64) for key in ("rotation", "translation"))
            yield pose_errors(points, rotation, place, turn, centre, kind)

    def figures(self, tables: Rows) -> dict[str, float]:
        rows = once(tables["errors"], tables[CLIPS])
        errors = Errors(**{key: rows[key] for key in Errors._fields})
        turned = Errors(*(x[rows["turned"]] for x in errors))
        figures = pose_figures(errors, self.close)
        if not np.isnan(figures["ADD-S < 0.1 d"]):
            figures |= {key: x for key, x in pose_figures(turned, self.close).items() if "degrees" in key}
        named = {key: figures[name] for key, (name, _) in FIGURES.items()}
        named["found"] = float(np.mean(errors.found)) if len(errors.found) else float("nan")
        return dict.fromkeys(named, float("nan")) if len(tables["broken"]["frame"]) else named

    def baseline(self, labels: Batch) -> Baseline:
        objects = objects_of(labels, self.least)
        view = _seen(objects, labels, self.name)
        known = objects.counts & view["in_front"]
        depth = np.median(view["translation"][..., 2][known]) if known.any() else 1.0
        turn = mean_rotation(view["rotation"][known])
        size = np.median(objects.half_sizes[known], axis=0) if known.any() else np.ones(3)

        def predict(predictions: Mapping[str, Any], batch: Batch) -> dict[str, np.ndarray]:
            own = predictions[self.name]
            middle = (own["boxes"][..., :2] + own["boxes"][..., 2:]) / 2
            where = depth * np.asarray(ray(middle, _intrinsics(batch)))
            said = {"rotation": turn, "half_sizes": size}
            alike = {key: np.broadcast_to(x, (*where.shape[:-1], *x.shape)) for key, x in said.items()}
            return {**own, **alike, "translation": where}

        return predict

    def draw(self, decoded: Mapping[str, np.ndarray], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        objects = objects_of(batch, self.least)
        view = _seen(objects, batch, self.name)
        solid = np.array([shape for _, shape in self.solids])
        true = {**view, "half_sizes": objects.half_sizes}
        best = solid[np.argmax(np.nan_to_num(decoded["probability"][..., : len(solid)]), axis=-1)]
        intrinsics = np.asarray(batch["camera"]["intrinsics"])
        found = draw_poses(batch["image"], decoded, decoded["score"], best, intrinsics)
        wanted = np.where(objects.counts & view["in_front"], 1.0, 0.0)
        return found, draw_poses(batch["image"], true, wanted, solid[objects.category], intrinsics)


def _intrinsics(batch: Batch) -> jax.Array:
    return jnp.asarray(batch["camera"]["intrinsics"], jnp.float32)[:, None, None]


_view = jax.jit(seen_by, static_argnums=2)


def _seen(objects: Listed, batch: Batch, name: str) -> dict[str, np.ndarray]:
    """How objects lie for their cameras: `rotation`, `translation` and `in_front` of `mtljax.objects.views.View`."""
    return {key: np.asarray(x) for key, x in _view(batch["camera"], objects, name)._asdict().items()}


def mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """The rotation nearest to the mean of matrices (N, 3, 3), in the sense of least squares; none for none.

    Example:
        >>> print(mean_rotation(np.eye(3)[None]) + 0.0)
        [[1. 0. 0.]
         [0. 1. 0.]
         [0. 0. 1.]]
    """
    if not len(rotations):
        return np.eye(3)
    left, _, right = np.linalg.svd(np.mean(rotations, axis=0, dtype=np.float64))
    return left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
