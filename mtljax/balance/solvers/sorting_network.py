"""Sorts the rows of an array in every place, by comparisons of whole rows."""

import jax
import jax.numpy as jnp
import numpy as np


def sorted_rows(rows: jax.Array) -> jax.Array | list[jax.Array]:
    """Rows (T, ...), ascending in every place, by Batcher's odd-even merge sort.

    A sorting network is elementwise; XLA's own sort along the first axis took 20 times as long on a CPU. Up to 40 rows
    its comparisons are written out one by one, beyond that all of a round are made at once, which compiles in seconds.
    """
    number = len(rows)
    if number <= 40:
        parts = [rows[i] for i in range(number)]
        for pairs in _rounds(number):
            for i, j in pairs:
                low, high = parts[i], parts[j]
                parts[i], parts[j] = jnp.minimum(low, high), jnp.maximum(low, high)
        return parts
    for pairs in _rounds(number):
        partner, first = np.arange(number), np.zeros(number, bool)
        for i, j in pairs:
            partner[i], partner[j], first[i] = j, i, True
        other = rows[partner]
        first = first.reshape(-1, *[1] * (rows.ndim - 1))
        rows = jnp.where(first, jnp.minimum(rows, other), jnp.maximum(rows, other))
    return rows


def _rounds(number: int) -> list[list[tuple[int, int]]]:
    """The pairs (i, j), i < j, that each round of the network compares."""
    rounds, width = [], 1
    while width < number:
        distance = width
        while distance >= 1:
            starts = range(distance % width, number - distance, 2 * distance)
            firsts = [i for start in starts for i in range(start, min(start + distance, number - distance))]
            rounds.append([(i, i + distance) for i in firsts if i // (2 * width) == (i + distance) // (2 * width)])
            distance //= 2
        width *= 2
    return rounds
