"""Gradients kept from step to step: one array a leaf, `(T, *shape)` float32."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from mtljax.balance.gramian import Rows, gramian_of_rows, root
from mtljax.balance.memory import typical_size


def zeros(leaves: Sequence[jax.ShapeDtypeStruct], num_tasks: int) -> list[jax.Array]:
    """What is kept before the first step."""
    return [jnp.zeros((num_tasks, *leaf.shape), jnp.promote_types(jnp.float32, leaf.dtype)) for leaf in leaves]


def moved(
    kept: Sequence[jax.Array], rows: Rows, present: jax.Array, rule: Callable[[jax.Array, jax.Array], jax.Array]
) -> list[jax.Array]:
    """`rule(kept, row)` for the tasks that are present and the leaves that are shared; what was kept elsewhere."""

    def one(old: jax.Array, row: jax.Array) -> jax.Array:
        there = present.reshape(-1, *[1] * (row.ndim - 1))
        return jnp.where(there, rule(old, row.astype(old.dtype)), old)

    return [old if row is None else one(old, row) for old, row in zip(kept, rows, strict=True)]


def tempered(
    rows: Rows, present: jax.Array, known: typical_size.Typical, scale: jax.Array | None = None
) -> tuple[Rows, jax.Array, typical_size.Typical]:
    """Rows that may be kept: none longer than ten times the task's usual length, once five are known.

    Args:
        rows: leaves `(T, *shape)`, None of private ones.
        present: (T,) bool.
        known: the usual length of each task's row.
        scale: (T,), numbers to multiply the rows by first.

    Returns:
        The rows, float32; which of them may be kept, (T,) bool: of the tasks that are present, those whose squares are
        finite; and what is usual now.
    """
    number = len(present)
    scale = jnp.ones(number, jnp.float32) if scale is None else scale
    squares = jnp.zeros(number, jnp.float32)
    for row in rows:
        if row is not None:
            squares += jnp.sum(jnp.square(row.astype(jnp.float32)), axis=tuple(range(1, row.ndim)))
    lengths = root(squares) * scale
    counted = present & typical_size.in_range(lengths)
    bound = typical_size.limit_of(known)
    factor = scale * jnp.where(lengths > bound, bound / jnp.where(lengths > bound, lengths, 1.0), 1.0)
    known = typical_size.after(known, jnp.minimum(lengths, bound), counted)

    def one(row: jax.Array) -> jax.Array:
        row = row.astype(jnp.result_type(jnp.float32, row))
        return row * factor.astype(row.dtype).reshape(-1, *[1] * (row.ndim - 1))

    return [None if row is None else one(row) for row in rows], counted, known


def shared(kept: Sequence[jax.Array], rows: Rows) -> Rows:
    """What is kept of shared leaves; None in the places of private ones."""
    return [None if row is None else old for old, row in zip(kept, rows, strict=True)]


def finite_gramian(rows: Rows, num_tasks: int) -> jax.Array:
    """`J J^T`, (T, T), its entries limited to what sums of T of them can hold."""
    matrix = gramian_of_rows(rows, num_tasks).matrix()
    return limited(matrix)


def cross_gramian(one: Rows, other: Rows, num_tasks: int) -> jax.Array:
    """`J_1 J_2^T`, (T, T), its entries limited to what sums of T of them can hold."""
    dtype = jnp.result_type(jnp.float32, *[row for row in one if row is not None])
    products = jnp.zeros((num_tasks, num_tasks), dtype)  # where nothing is shared, as of one task, it stays
    scales = [
        jnp.asarray(optax.tree.max([jnp.zeros(()), *(jnp.max(jnp.abs(r)) for r in rows if r is not None)]), dtype)
        for rows in (one, other)
    ]
    scales = [jnp.where(scale > 0, scale, 1.0) for scale in scales]
    for a, b in zip(one, other, strict=True):
        if a is not None and b is not None:
            left = a.reshape(num_tasks, -1).astype(dtype) / scales[0]
            right = b.reshape(num_tasks, -1).astype(dtype) / scales[1]
            products += jnp.matmul(left, right.T, precision=jax.lax.Precision.HIGHEST)
    return limited(products * scales[0] * scales[1])


def limited(matrix: jax.Array) -> jax.Array:
    """The matrix with its entries limited to what sums of T of them can hold."""
    limit = jnp.finfo(matrix.dtype).max / (16 * len(matrix))
    return jnp.clip(jnp.nan_to_num(matrix), -limit, limit)
