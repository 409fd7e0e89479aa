"""What a data set is to mtljax, and the one form that every example has.

An example is a dict of NumPy arrays without a batch axis. All of its keys but `image` are optional (what is no image
has `inputs` instead, any tree of arrays); each label `k` comes with its mask `k_valid` (bool, the label's shape with a
last axis of 1; for one number or class, `()`; for a vector of numbers, its own shape too).

| key | shape, dtype | meaning |
|---|---|---|
| `image` | (s, H, W, 3) uint8 | frames, RGB; or (s, H, W, C) float32, as a data set normalises them |
| `semantic` | (s, H, W, 1) int32 | class of each pixel |
| `depth` | (s, H, W, 1) float32 | z-depth in metres |
| `normal` | (s, H, W, 3) float32 | unit normals in the camera frame (x right, y down, z forward), towards it |
| `edge` | (s, H, W, 1) uint8 | 1 on an edge, else 0 |
| `forward_flow`, `backward_flow` | (s, H, W, 2) float32 | (x, y) pixels to where a point is a frame later, earlier |
| `moving` | (s, H, W, 1) uint8 | 1 where a point moves in the world between this frame and the next, else 0 |
| `ego_motion` | (s, 6) float32 | next camera's points to this one's: metres, then axis-angle |
| `keypoints` | (s, K, 2) float32 | (x, y) of points in pixels, centres at integers + 0.5; its mask is (s, K, 1) |
| `frame_index` | (s,) int32 | place in the split: consecutive in a sequence, a gap between sequences |
| `sequence` | () int32 | number of the sequence that the clip is of, in the split |
| `segmentations` | (s, H, W, 1) uint8 | object of each pixel, 1 + its place in `instances`, or 0; it has no mask |
| `camera` | dict of float32 | `positions` (s, 3), `quaternions` (s, 4), `intrinsics` (3, 3) |
| `instances` | dict | of up to M objects, below; `instances_valid` (M,) bool says which there are |
| `objects_valid` | (s,) bool | frames whose objects are all listed: else "unlabelled" and "empty" are one |
| `future` | (M, T, 2) float32 | (x, y) of objects in the world, in the T frames behind the last; mask (M, T, 1) |

`ego_motion_valid` is (s, 1), `frame_index_valid` (s,). What needs a next frame is not valid on a clip's last.

`instances`, M objects; `bboxes` and `visibility` are always there. Zeros are what is not known: an object whose
`quaternions` are 0 has no pose that is known, of a mix with a set that tells none.

| key | shape, dtype | meaning |
|---|---|---|
| `bboxes` | (M, s, 4) float32 | [ymin, xmin, ymax, xmax] in shares of the image; 0 where it is not seen |
| `visibility` | (M, s) int32 | its pixels, those of `segmentations` if there is a map, else a bound |
| `ignored` | (M, s) bool | neither wanted nor wrong, such as a crowd; without this key none is |
| `category` | (M,) int32 | class, from 1 on |
| `id` | (M,) int32 | one number for an object in all clips of its sequence |
| `positions`, `quaternions` | (M, s, 3), (M, s, 4) float32 | object to world: metres, and (w, x, y, z) |
| `scale` | (M, 3) float32 | half sizes in metres |

What augmentations do to a label goes by its kind: that of `KINDS`, which a data set may add to (`DataSet`).

| kind | shape | what it is |
|---|---|---|
| `map` | (s, H, W, C) | a value of each pixel; so is, unless said otherwise, what has the image's first three axes |
| `depth`, `normals`, `flow` | likewise | metres, unit vectors of the camera's frame, (x, y) pixels |
| `edges` | likewise | lines: a pixel that covers one is one |
| `ids` | (s, H, W, 1) | the object of each pixel |
| `masks` | (M, s, H, W) | of objects, each its own |
| `points` | (..., 2) | (x, y) in pixels; without a mask, zeros are none |
| `boxes` | (..., 4) | [ymin, xmin, ymax, xmax] in shares of the image; zeros are none |
| `motion` | (s, 6) | metres, then axis-angle |
| `positions`, `quaternions` | (..., 3), (..., 4) | in the world: metres, and (w, x, y, z) |
| `ground` | (..., 2) | (x, y) of the world in metres, no axis of frames |
| `lengths` | any | metres, no axis of frames |
| `intrinsics` | (3, 3) | of the camera |
| `frames` | (s, ...) | numbers or classes of each frame |
| `whole` | any | of the whole example; so is what else is not said |

An axis of frames is the first one; within `instances` the second.

Camera poses are camera to world, quaternions (w, x, y, z), intrinsics for pixel centres at integers + 0.5.
Where a label is not valid its value is 0. What is converted, is converted here, once: no task guesses units.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, SupportsIndex, runtime_checkable

import numpy as np

from mtljax.errors import unknown

Example = dict[str, Any]
SPLITS = ("train", "validation")

# Of each label, its kind; with a slash within a dict.
KINDS: Mapping[str, str] = {
    "semantic": "map",
    "depth": "depth",
    "normal": "normals",
    "edge": "edges",
    "forward_flow": "flow",
    "backward_flow": "flow",
    "moving": "map",
    "ego_motion": "motion",
    "keypoints": "points",
    "frame_index": "frames",
    "sequence": "whole",
    "segmentations": "ids",
    "objects_valid": "frames",
    "future": "ground",
    "camera/positions": "positions",
    "camera/quaternions": "quaternions",
    "camera/intrinsics": "intrinsics",
    "instances/bboxes": "boxes",
    "instances/visibility": "frames",
    "instances/ignored": "frames",
    "instances/category": "whole",
    "instances/id": "whole",
    "instances/positions": "positions",
    "instances/quaternions": "quaternions",
    "instances/scale": "lengths",
}
# Labels of what is between two frames -> the frame of a clip that has no other one: there they are not valid.
BETWEEN: Mapping[str, int] = {"forward_flow": -1, "moving": -1, "ego_motion": -1, "backward_flow": 0}


@runtime_checkable
class Source(Protocol):
    """Random access to examples: what `grain.MapDataset.source` takes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: SupportsIndex) -> Example: ...


@runtime_checkable
class DataSet(Protocol):
    """A named data set with splits, at least `train` and `validation`.

    It may say what its labels mean, where their names do not: `meanings`, a map from a label to the names of its
    classes in their order (a tuple), or to a sentence. `mix` wants it of labels that several sets have. And it may say
    of what kind labels of its own are: `kinds`, such as {"faces": "boxes", "instances/joints": "points"}, so that
    augmentations keep them true.

    Attributes:
        name: for messages and tables.
    """

    name: str

    def split(self, name: str) -> Source:
        """The examples of a split; `UserError` where the split does not exist."""
        ...


def valid_everywhere(label: np.ndarray) -> np.ndarray:
    """The mask of a label that is known at every pixel: (..., C) -> (..., 1), all True."""
    return np.ones((*label.shape[:-1], 1), bool)


def masked(key: str, label: np.ndarray, valid: np.ndarray) -> Example:
    """A label of one frame with its mask: (h, w) or (h, w, C), with (h, w) -> (1, h, w, C) and (1, h, w, 1).

    Where it is not valid it becomes 0.

    Example:
        >>> found = masked("depth", np.float32([[2, 3]]), np.array([[True, False]]))
        >>> print(found["depth"][0, 0, :, 0], found["depth_valid"].shape)
        [2. 0.] (1, 1, 2, 1)
    """
    label, valid = label.reshape(1, *label.shape[:2], -1), valid[None, ..., None]
    return {key: np.where(valid, label, 0).astype(label.dtype), f"{key}_valid": valid}


def checked_split(data_set: str, split: str, splits: Iterable[str] = SPLITS) -> str:
    """The name of a split that a data set has.

    Args:
        data_set: its name, for the message.
        split: the name.
        splits: those that it has.

    Raises:
        UserError: for another name.

    Example:
        >>> checked_split("kitchen", "validation")
        'validation'
    """
    if split not in splits:
        raise unknown(f"split of {data_set}:", split, splits)
    return split
