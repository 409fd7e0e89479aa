"""`scenes`: a procedural data set with exact labels for every task, as a TFDS builder that needs no TensorFlow.

World frame: right-handed, z up, metres. Camera frame: x right, y down, z forward. Quaternions (w, x, y, z). Pinhole
intrinsics for pixel centres at integers + 0.5. Features of a clip of s frames, h x w:

| key | shape, dtype | meaning |
|---|---|---|
| `video` | (s, h, w, 3) uint8 | frames |
| `depth` | (s, h, w, 1) float32 | z-depth in metres |
| `normal` | (s, h, w, 3) float32 | unit normals in the camera frame, facing the camera |
| `segmentations` | (s, h, w, 1) uint8 | instance id, 0 background |
| `semantic` | (s, h, w, 1) uint8 | class id, see `CLASSES` |
| `edge` | (s, h, w, 1) uint8 | 1 where id, depth or normal is discontinuous to a 4-neighbour, below |
| `forward_flow`, `backward_flow` | (s, h, w, 2) float32 | (x, y) pixels to where a point is a frame later, earlier |
| `camera` | positions (s, 3), quaternions (s, 4), intrinsics (3, 3) | camera to world |
| `instances` | dict | of n objects, below |

`edge`: to a 4-neighbour the id changes, the normal turns by more than 30 degrees, or each lies off the other's tangent
plane by more than 5 % of the depth.

`instances`: `bboxes` (n, s, 4) as [ymin, xmin, ymax, xmax] in shares of the image, `positions` (n, s, 3),
`quaternions` (n, s, 4), object to world, `scale` (n, 3), half sizes in metres, `category` (n,), `visibility` (n, s) in
pixels. An object without a visible pixel has visibility 0 and the box (0, 0, 0, 0).
"""

from mtljax.data.scenes.dataset import scenes
from mtljax.data.scenes.world import CLASSES

__all__ = ["CLASSES", "scenes"]
