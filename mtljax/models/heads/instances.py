"""A head that tells which pixels are whose."""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.models.heads.objects.branch import Branch
from mtljax.models.heads.objects.shared_map import BOXES, boxes_of, centres_of, given_back, parent_of, shared_map
from mtljax.objects.detections import Detections
from mtljax.objects.frames import PIXELS
from mtljax.objects.masks import FEATURES, NUMBERS


class Instances(nn.Module):
    """What the masks of objects are made of: features, and a small network for each object (CondInst: Tian 2020).

    `mtljax.objects.masks.mask_logits` makes the masks. Controllers are predicted at the true centres in training, where
    labels are given, and everywhere else: the loss reads them at true centres, decoding at the parent's detections.

    Attributes:
        width: channels of the branches.
        reach: side of the window of cells that a controller is made of, odd.
        stride: pixels of a cell's side.
        least: pixels in which an object of labels must be seen to count.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax.numpy as jnp
        >>> from mtljax.models.heads import Detect
        >>> x, key = jnp.ones((6, 8, 8, 16)), jax.random.key(0)
        >>> boxes, _ = jax.eval_shape(lambda: Detect(slots=5).init_with_output(key, x, frames=3))
        >>> made = lambda boxes: Instances(width=8).init_with_output(key, x, frames=3, parents={"boxes": boxes})
        >>> out, _ = jax.eval_shape(made, boxes)
        >>> out["features"].shape, out["controller"].shape, out["detections"].cell.shape
        ((2, 3, 8, 8, 8), (2, 3, 8, 8, 169), (2, 3, 5, 2))
    """

    width: int = 48
    reach: int = 3
    stride: int = 4
    least: int = PIXELS
    dtype: Any = None
    default_edge: ClassVar[str] = "detached"
    sees_frames_apart: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = (BOXES,)

    @nn.compact
    def __call__(
        self,
        features: Any,
        size: tuple[int, int] | None = None,
        frames: int | None = None,
        parents: Mapping[str, Any] | None = None,
        edges: Mapping[str, str] | None = None,
        labels: Any = None,
        train: bool = False,
    ) -> dict[str, jax.Array | Detections]:
        """Predicts for clips of s frames; without clips, the axis s is not there.

        Args:
            features: a map (B s, h, w, F).
            size: (H, W) of the images.
            frames: s.
            parents: `boxes`, what `Detect` predicts.
            edges: `boxes` -> its word. `attached`, places are relative to the centres that the parent predicts, in
                the place of those cells in which centres lie; so its head is moved by this task's loss.
            labels: the batch in training; also elsewhere where the edge is `truth`.
            train: whether this is training.

        Returns:
            `features` (B, s, h, w, 8); `controller` (B, s, h, w, 169), with labels in training (B, s, M, 169), of the
            objects; `detections`, K slots a frame. `attached`, `centres` as well, as controllers, with a last axis of
            2: in cells, those of cells themselves being integers.

        Raises:
            UserError: for a map of another stride, or without a parent.
        """
        seen = shared_map(self, features, size, frames, labels if train else None)
        shared = Branch(self.width, FEATURES, over_map=True, dtype=self.dtype, name="features")(seen.x)
        controller = Branch(self.width, NUMBERS, self.reach, 0.3, dtype=self.dtype, name="controller")
        prediction: dict[str, Any] = {
            "features": seen.by_clip(shared),
            "controller": seen.by_clip(controller(seen.x, seen.cells)),
            "detections": boxes_of(self, seen, parents, edges, labels),
        }
        if (edges or {}).get(BOXES) == "attached":
            prediction["centres"] = centres_of(seen, parent_of(self, BOXES, parents, seen)) - 0.5
        return given_back(prediction, seen)
