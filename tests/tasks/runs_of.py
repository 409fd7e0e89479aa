"""Masks from run lengths, as the golden files have them."""

import numpy as np


def mask(counts, size):
    """The mask (H, W) of COCO's run lengths: column by column, zeros first."""
    height, width = size
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T
