"""A head that finds objects."""

import itertools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.errors import UserError
from mtljax.models.heads.objects.branch import Branch
from mtljax.models.heads.objects.shared_map import given_back, shared_map
from mtljax.objects.detections import Detections, detected

HEAT = -2.19  # the bias of heat with which training begins: a probability of 0.1


class Detect(nn.Module):
    """Boxes and classes of objects, as peaks of a heat map (CenterNet: Zhou 2019).

    One branch gives all maps, or, `decoupled`, one those of where an object is and another the logits of its class. A
    heat map for all classes with logits of classes beside it finds an object once; with a heat map for each class (the
    paper's) each class finds it again.

    Attributes:
        classes: C.
        slots: K, detections that are read from a frame.
        by_class: whether each class has a heat map of its own; there are then no logits.
        decoupled: whether classes have a branch of their own (as in YOLOX: Ge 2021, section 2.1).
        width: channels of a branch.
        stride: pixels of a cell's side.
        dtype: of the computation; parameters and prediction are float32.

    Raises:
        UserError: for `decoupled` where `by_class` leaves no logits.

    Example:
        >>> import jax.numpy as jnp
        >>> head, key = Detect(classes=3, slots=5, width=8), jax.random.key(0)
        >>> out, _ = jax.eval_shape(lambda: head.init_with_output(key, jnp.ones((6, 8, 8, 16)), (32, 32), 3))
        >>> out["heat"].shape, out["classes"].shape, out["detections"].box.shape
        ((2, 3, 8, 8, 1), (2, 3, 8, 8, 3), (2, 3, 5, 4))
    """

    classes: int = 4
    slots: int = 16
    by_class: bool = False
    decoupled: bool = False
    width: int = 48
    stride: int = 4
    dtype: Any = None
    default_edge: ClassVar[str] = "detached"
    sees_frames_apart: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by_class and self.decoupled:
            raise UserError(
                "Detect(by_class=True, decoupled=True): heat maps by class leave no logits to decouple; take one."
            )

    @nn.compact
    def __call__(
        self, features: Any, size: tuple[int, int] | None = None, frames: int | None = None
    ) -> dict[str, jax.Array | Detections]:
        """Predicts maps of clips of s frames; without clips, the axis s is not there.

        Args:
            features: a map (B s, h, w, F).
            size: (H, W) of the images.
            frames: s.

        Returns:
            `heat` (B, s, h, w, 1), logits; (B, s, h, w, C) where `by_class`. `classes` (B, s, h, w, C), logits; not
            there where `by_class`. `size` (B, s, h, w, 2), width and height, and `offset` (B, s, h, w, 2), from the
            cell's corner to the box's centre, in cells. `detections`, K slots a frame.

        Raises:
            UserError: for a map of another stride.
        """
        seen = shared_map(self, features, size, frames)
        maps = self.classes if self.by_class else 1
        logits = 0 if self.by_class else self.classes
        # Sizes are of a few cells, offsets within one.
        start = {"heat": (HEAT,) * maps, "classes": (0.0,) * logits, "size": (2.0, 2.0), "offset": (0.5, 0.5)}
        prediction: dict[str, Any] = {}
        for name, keys in self._branches(logits).items():
            bias = tuple(itertools.chain.from_iterable(start[key] for key in keys))
            branch = Branch(self.width, len(bias), 3, 0.1, bias, over_map=True, dtype=self.dtype, name=name)
            ends = list(itertools.accumulate(len(start[key]) for key in keys))
            parts = jnp.split(branch(seen.x), ends[:-1], axis=-1)
            prediction |= {key: seen.by_clip(part) for key, part in zip(keys, parts, strict=True)}
        heat, classes = prediction["heat"], prediction.get("classes")
        found = detected(heat, classes, prediction["size"], prediction["offset"], self.slots, self.stride)
        return given_back({**prediction, "detections": found}, seen)

    def _branches(self, logits: int) -> dict[str, tuple[str, ...]]:
        """The name of each branch -> the maps that it gives, in their order."""
        if not logits:
            return {"maps": ("heat", "size", "offset")}
        if self.decoupled:
            return {"maps": ("heat", "size", "offset"), "kinds": ("classes",)}
        return {"maps": ("heat", "classes", "size", "offset")}
