"""A head that tells how objects lie in space."""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.models.heads.objects.branch import Branch
from mtljax.models.heads.objects.shared_map import BOXES, boxes_of, centres_of, given_back, parent_of, shared_map
from mtljax.objects.detections import Detections
from mtljax.objects.frames import PIXELS
from mtljax.objects.poses import NUMBERS


class Pose(nn.Module):
    """Twelve numbers for an object's pose and size (6-D rotation: Zhou 2019; GDR-Net: Wang 2021).

    `mtljax.objects.poses` says what they stand for. They are predicted at the true centres in training, where labels
    are given, and everywhere else: the loss reads them at true centres, decoding at the parent's detections.

    Attributes:
        width: channels of the branch.
        reach: side of the window of cells that an object's numbers are made of, odd.
        stride: pixels of a cell's side.
        least: pixels in which an object of labels must be seen to count.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax.numpy as jnp
        >>> from mtljax.models.heads import Detect
        >>> x, key = jnp.ones((6, 8, 8, 16)), jax.random.key(0)
        >>> boxes, _ = jax.eval_shape(lambda: Detect(slots=5).init_with_output(key, x, frames=3))
        >>> made = lambda boxes: Pose(width=8).init_with_output(key, x, frames=3, parents={"boxes": boxes})
        >>> out, _ = jax.eval_shape(made, boxes)
        >>> out["numbers"].shape, out["detections"].box.shape
        ((2, 3, 8, 8, 12), (2, 3, 5, 4))
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
            edges: `boxes` -> its word. `attached`, an object lies about the ray of the centre that the parent
                predicts, in the place of the box's own, in training too; so its head is moved by this task's loss.
            labels: the batch in training; also elsewhere where the edge is `truth`.
            train: whether this is training.

        Returns:
            `numbers` (B, s, h, w, 12), with labels in training (B, s, M, 12), of the objects; `detections`, K slots a
            frame. `attached`, `centres` as well, as numbers, with a last axis of 2: (x, y) in cells.

        Raises:
            UserError: for a map of another stride, or without a parent.
        """
        seen = shared_map(self, features, size, frames, labels if train else None)
        branch = Branch(self.width, NUMBERS, self.reach, 0.1, dtype=self.dtype, name="numbers")
        prediction: dict[str, Any] = {
            "numbers": seen.by_clip(branch(seen.x, seen.cells)),
            "detections": boxes_of(self, seen, parents, edges, labels),
        }
        if (edges or {}).get(BOXES) == "attached":
            prediction["centres"] = centres_of(seen, parent_of(self, BOXES, parents, seen))
        return given_back(prediction, seen)
