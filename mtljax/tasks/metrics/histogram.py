"""Histograms, which add over batches and devices, and the quantiles that are read off them."""

import jax
import jax.numpy as jnp
import numpy as np


def histogram(places: jax.Array, counted: jax.Array, bins: int) -> jax.Array:
    """How often values fall into each bin.

    Args:
        places: (...) values over the width of a bin; those beyond the ends fall into the first or the last bin.
        counted: (...) bool, which of them count.
        bins: how many.

    Returns:
        (bins,) int32.
    """
    at = jnp.clip(places.astype(jnp.int32), 0, bins - 1)
    return jnp.zeros(bins, jnp.int32).at[at.reshape(-1)].add(counted.reshape(-1))


def quantile(counts: np.ndarray, share: float) -> float:
    """The middle of the bin below which a share of what was counted lies, in widths of a bin; NaN of nothing.

    Example:
        >>> quantile(np.array([1, 1, 2]), 0.5)
        1.5
    """
    counts = np.asarray(counts, np.float64)
    if counts.sum() == 0:
        return float("nan")
    return float(np.searchsorted(np.cumsum(counts), share * counts.sum()) + 0.5)
