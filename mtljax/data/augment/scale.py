"""A window of the image, shown at the image's size."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from mtljax.data.augment.augmentation import Augmentation, checked
from mtljax.data.dataset import Example
from mtljax.data.kinds import fields, replaced
from mtljax.data.window import Window, shown
from mtljax.errors import UserError, unknown

_DEPTHS = ("divided", "kept")
_LENGTHS = ("depth", "positions", "lengths", "ground")  # kinds in metres


def scale(
    low: float = 1.0, high: float = 1.5, choices: Sequence[float] | None = None, depth: str = "divided"
) -> Augmentation:
    """Zooms by r: a window of 1/r the image's size, at a random place, is shown at the image's size.

    Below 1 the whole image is shown at a random place, with zeros and no valid label about it. The focal length and
    flow grow r-fold. Taken alone, that leaves depth, poses and normals as they were: `depth='kept'`. But to a network
    that is not told of the focal length, what looks r times as large is r times as near; so the field's protocol
    divides depth by r: `depth='divided'`. Then every length is divided by it, camera positions and translations and
    the positions and sizes of objects too: a scene r times as small gives the same image. So either way depth,
    intrinsics and poses explain flow and normals as they did before, and normals stay.

    Args:
        low: least r; it is drawn once a clip, uniformly.
        high: greatest r.
        choices: values of r, one of which is drawn, in place of a range: (1.0, 1.2, 1.5) in MTAN's protocol.
        depth: `divided` by r, or `kept`.

    Raises:
        UserError: for a range or choices that cannot be.

    References:
        Eigen, Puhrsch and Fergus, Depth Map Prediction from a Single Image using a Multi-Scale Deep Network, NeurIPS
        2014, section 3.4, for depth / r; Liu, Johns and Davison, End-to-End Multi-Task Learning with Attention, CVPR
        2019, whose code for NYUv2 has the choices.

    Example:
        >>> depth = np.full((1, 4, 4, 1), 3.0, np.float32)
        >>> example = {"image": np.zeros((1, 4, 4, 3), np.uint8), "depth": depth}
        >>> zoomed = scale(choices=[1.5])(example, np.random.default_rng(0))
        >>> zoomed["depth"].shape, float(zoomed["depth"].max())
        ((1, 4, 4, 1), 2.0)
    """
    for name, value in (("low", low), ("high", high)):
        checked("scale", name, value, 1e-2, 1e2)
    if low > high:
        raise UserError(f"scale(low={low}, high={high}): expected low to be at most high.")
    if choices is not None and (not isinstance(choices, Sequence) or isinstance(choices, str) or not choices):
        raise UserError(f"scale(choices={choices!r}): expected a list of numbers.")
    for value in choices or ():
        checked("scale", "choices", value, 1e-2, 1e2)
    if depth not in _DEPTHS:
        raise unknown("depth of scale(...):", depth, _DEPTHS)
    drawn = f"{low}, {high}" if choices is None else f"choices={choices!r}"
    apply = functools.partial(_scaled, (low, high), choices, depth == "divided")
    return Augmentation(f"scale({drawn}, depth={depth!r})", apply, by_kind=True)


def _scaled(
    bounds: tuple[float, float],
    choices: Sequence[float] | None,
    divided: bool,
    example: Example,
    rng: np.random.Generator,
    kinds: Mapping[str, str],
) -> Example:
    r = float(rng.uniform(*bounds) if choices is None else rng.choice(choices))
    h, w = example["image"].shape[1:3]
    top, left = rng.random(2) * (h - h / r, w - w / r)
    zoomed = shown(example, Window(top, left, h / r, w / r, (h, w)), kinds)
    return _shrunk(zoomed, r, kinds) if divided else zoomed


def _shrunk(example: Example, r: float, kinds: Mapping[str, str]) -> Example:
    """The example of a world in which every length is divided by r."""
    lengths = {}
    for field in fields(example, kinds):
        if field.kind in _LENGTHS:
            lengths[field.path] = field.value / np.float32(r)
        elif field.kind == "motion":
            lengths[field.path] = field.value / np.array([r] * 3 + [1] * 3, np.float32)
    return replaced(example, lengths)
