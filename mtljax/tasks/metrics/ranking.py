"""Where scores put the true class, and how well they tell two apart, from counts that add over batches and devices."""

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.tasks.task import Sums

_BITS = 16  # of a float16


def rank_of(classes: jax.Array, scores: jax.Array) -> jax.Array:
    """How many classes of scores (B, C) come before each example's own, (B,): (B,) int32.

    Ties count by order, so that a constant prediction has one best class, as argmax has.
    """
    own = jnp.take_along_axis(scores, classes[:, None], axis=1)
    earlier = jnp.arange(scores.shape[1])[None] < classes[:, None]
    return jnp.sum((scores > own) | ((scores == own) & earlier), axis=1)


def score_counts(scores: jax.Array, positive: jax.Array, valid: jax.Array, bits: int = _BITS) -> jax.Array:
    """How often each score came, rounded to float16, or to its first bits.

    Args:
        scores: (B,) floating.
        positive: (B,) bool, the class of each.
        valid: (B,) bool, those that count.
        bits: that are kept of a float16, at most 16.

    Returns:
        (2, 2^bits) int32: negatives and positives, by the order of their scores.
    """
    stored = jax.lax.bitcast_convert_type(scores.astype(jnp.float16) + jnp.float16(0), jnp.uint16)  # -0 becomes 0
    # The bits of negative numbers grow with their size: turned round, all are in order.
    order = jnp.where(stored >> 15 == 1, ~stored, stored | jnp.uint16(1 << 15)).astype(jnp.int32) >> (_BITS - bits)
    return jnp.zeros((2, 2**bits), jnp.int32).at[positive.astype(jnp.int32), order].add(valid)


def area_under_curve(sums: Sums) -> float:
    """The share of pairs of a positive and a negative in which the positive has the higher score, ties half.

    The area under the curve of true over false positive rates (Hanley and McNeil 1982). NaN without both classes.

    Args:
        sums: with `scores`, what `score_counts` gave.
    """
    negative, positive = np.asarray(sums["scores"], np.float64)
    pairs = negative.sum() * positive.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / pairs)


def average_precision(counts: np.ndarray) -> float:
    """The sum over thresholds, from the highest score, of precision times the gain in recall: AP.

    NaN without a positive.

    Args:
        counts: (2, n), negatives and positives by the order of their scores, what `score_counts` gave.

    Example:
        >>> print(average_precision(np.array([[1, 0, 1, 0], [0, 1, 0, 1]])).__round__(4))  # found first and third
        0.8333
    """
    negative, positive = np.asarray(counts, np.float64)[:, ::-1]
    if positive.sum() == 0:
        return float("nan")
    there = positive > 0
    right, all_ = np.cumsum(positive)[there], np.cumsum(positive + negative)[there]
    return float(np.sum(positive[there] * right / all_) / positive.sum())
