"""Colours for pictures of dense predictions."""

import numpy as np


def coloured(values: np.ndarray, low: float, high: float, valid: np.ndarray | None = None) -> np.ndarray:
    """Numbers in a perceptual colour map: (...) -> (..., 3) uint8, black where not valid."""
    import matplotlib

    scaled = np.clip((np.asarray(values, np.float32) - low) / max(high - low, 1e-6), 0, 1)
    colours = (255 * matplotlib.colormaps["viridis_r"](scaled)[..., :3]).astype(np.uint8)
    return colours if valid is None else np.where(np.asarray(valid)[..., None], colours, 0).astype(np.uint8)
