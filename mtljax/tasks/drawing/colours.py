"""Colours for pictures of dense predictions."""

import numpy as np


def coloured(values: np.ndarray, low: float, high: float, valid: np.ndarray | None = None) -> np.ndarray:
    """Numbers in a perceptual colour map: (...) -> (..., 3) uint8, black where not valid."""
    import matplotlib

    scaled = np.clip((np.asarray(values, np.float32) - low) / max(high - low, 1e-6), 0, 1)
    colours = (255 * matplotlib.colormaps["viridis_r"](scaled)[..., :3]).astype(np.uint8)
    return colours if valid is None else np.where(np.asarray(valid)[..., None], colours, 0).astype(np.uint8)


_ARCS = (15, 6, 4, 11, 13, 6)  # red to yellow, to green, to cyan, to blue, to magenta, to red
_FAR = 1e9  # pixels, for infinitely many


def flow_colours(flow: np.ndarray, largest: float) -> np.ndarray:
    """Flow in the colour wheel of Middlebury (Baker et al., IJCV 2011): (..., 2) pixels (x, y) -> (..., 3) uint8.

    The hue is the direction, the saturation the length, up to `largest`; what is longer is darker.
    """
    scaled = np.nan_to_num(np.asarray(flow, np.float64), posinf=_FAR, neginf=-_FAR) / largest
    length = np.linalg.norm(scaled, axis=-1)
    place = (np.arctan2(-scaled[..., 1], -scaled[..., 0]) / np.pi + 1) / 2 * (sum(_ARCS) - 1)
    below = np.floor(place).astype(int)
    wheel, share = _wheel(), (place - below)[..., None]
    hue = (1 - share) * wheel[below] + share * wheel[(below + 1) % len(wheel)]
    inside = (length <= 1)[..., None]
    return (255 * np.where(inside, 1 - length[..., None] * (1 - hue), 0.75 * hue)).astype(np.uint8)


def _wheel() -> np.ndarray:
    """(55, 3) hues in [0, 1], the steps between which look about equally large."""
    corners = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], float)
    arcs = zip(corners[:-1], corners[1:], _ARCS, strict=True)
    return np.concatenate([a + np.arange(n)[:, None] / n * (b - a) for a, b, n in arcs])
