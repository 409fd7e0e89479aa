"""Colours for pictures of dense predictions."""

import numpy as np

_PALETTE_SEED = 7


def coloured(values: np.ndarray, low: float, high: float, valid: np.ndarray | None = None) -> np.ndarray:
    """Numbers in a perceptual colour map: (...) -> (..., 3) uint8, black where not valid."""
    import matplotlib

    scaled = np.clip((np.asarray(values, np.float32) - low) / max(high - low, 1e-6), 0, 1)
    colours = (255 * matplotlib.colormaps["viridis_r"](scaled)[..., :3]).astype(np.uint8)
    return colours if valid is None else np.where(np.asarray(valid)[..., None], colours, 0).astype(np.uint8)


def normal_colours(normals: np.ndarray) -> np.ndarray:
    """Normals in the camera's frame: right, up and towards it are red, green and blue, (..., 3) -> (..., 3) uint8."""
    n = np.where(np.isfinite(normals), normals, np.nan)
    length = np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-6)
    grey = 127.5 * (1 + n / length * np.array([1, -1, -1]))
    return np.nan_to_num(grey.clip(0, 255)).astype(np.uint8)


def palette(num_classes: int) -> np.ndarray:
    """Fixed colours, (num_classes, 3) uint8, the first a dark grey; the same for a class however many there are."""
    rng = np.random.default_rng(_PALETTE_SEED)
    hues = (np.arange(max(num_classes, 2)) * 0.61803 + 0.02) % 1.0
    value = 0.75 + 0.25 * rng.random(len(hues))
    wheel = np.clip(np.abs((hues[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    colours = (255 * value[:, None] * (0.2 + 0.8 * wheel)).astype(np.uint8)
    colours[0] = 60
    return colours[:num_classes]


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
