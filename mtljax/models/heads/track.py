"""A head that tells which object is the same as a frame ago."""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.heads.objects.branch import Branch
from mtljax.models.heads.objects.prior import before, prior
from mtljax.models.heads.objects.shared_map import boxes_of, given_back, shared_map
from mtljax.objects.association import BORN, FOUND, UNSEEN
from mtljax.objects.decoding import read
from mtljax.objects.detections import Detections, tracked
from mtljax.objects.frames import PIXELS


class Track(nn.Module):
    """Where an object's centre was a frame before (CenterTrack: Zhou 2020, section 4), and who is who.

    The branch reads the map, that of the frame before, and one heat map of the centres there. In training these are the
    true ones, moved a little, some left out and false ones added (`mtljax.models.heads.objects.prior`);
    elsewhere they are the parent's detections. Offsets are predicted at the true centres in training, where labels are
    given, and everywhere else; there detections are associated as well.

    Attributes:
        width: channels of the branch.
        reach: side of the window of cells that an offset is made of, odd.
        found: least score of a detection that is associated, or drawn in the heat map.
        born: a new track has a higher score.
        unseen: a track ends when it is unseen for more frames.
        stride: pixels of a cell's side.
        least: pixels in which an object of labels must be seen to count.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> from mtljax.models.heads import Detect
        >>> x, key = jnp.ones((6, 8, 8, 16)), jax.random.key(0)
        >>> boxes, _ = jax.eval_shape(lambda: Detect(slots=5).init_with_output(key, x, frames=3))
        >>> made = lambda boxes: Track(width=8).init_with_output(key, x, frames=3, parents={"boxes": boxes})
        >>> out, _ = jax.eval_shape(made, boxes)
        >>> out["offset"].shape, out["ids"].shape
        ((2, 3, 8, 8, 2), (2, 3, 5))
    """

    width: int = 48
    reach: int = 3
    found: float = FOUND
    born: float = BORN
    unseen: int = UNSEEN
    stride: int = 4
    least: int = PIXELS
    dtype: Any = None
    default_edge: ClassVar[str] = "detached"

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
            edges: `boxes` -> its word. `attached`, the heat map is the parent's own, in training too; so its head is
                moved by this task's loss. `none`, there is no heat map.
            labels: the batch in training; also elsewhere where the edge is `truth`.
            train: whether this is training.

        Returns:
            `offset` (B, s, h, w, 2), centre(t - 1) - centre(t) in cells, (x, y); with labels in training (B, s, M, 2),
            of the objects. On a clip's first frame it means nothing. `detections`, K slots a frame. But in training
            with labels, `ids` (B, s, K) int32 of the detections, from 1 on, 0 for none.

        Raises:
            UserError: for a map of another stride, or without a parent.
        """
        seen = shared_map(self, features, size, frames, labels if train else None)
        detections = boxes_of(self, seen, parents, edges, labels)
        key = self.make_rng("dropout") if seen.objects is not None else None
        heat = prior(self, seen, detections, parents, edges, key)
        x = jnp.concatenate([seen.x, before(seen.x, seen.frames), heat.astype(seen.x.dtype)], axis=-1)
        branch = Branch(self.width, 2, self.reach, 0.1, dtype=self.dtype, name="offset")
        prediction: dict[str, Any] = {"offset": seen.by_clip(branch(x, seen.cells)), "detections": detections}
        if seen.objects is None:
            offsets = read(prediction["offset"], detections.cell)
            options = (self.stride, self.found, self.born, self.unseen)
            prediction["ids"] = jax.lax.stop_gradient(tracked(detections, offsets, *options))
        return given_back(prediction, seen)
