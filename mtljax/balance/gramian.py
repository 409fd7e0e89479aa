"""What gradient methods look at: norms and cosines of the tasks' shared gradients, float32 whatever the parameters."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance.branches import branches_pay, surely_finite, unless

dot = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
_MANY, _PIECE, _PIECES = 8, 4000, 32  # tasks from which rows are cut; columns of a piece, at least; pieces, at most
_HELD = 2**18  # elements of a scaled copy, at least
_LEAST = -(2**14)  # below the exponent of every number


class Gramian(NamedTuple):
    """The T x T Gramian `G = J J^T`, as row norms and cosines: `G[i, j] = norms[i] * norms[j] * cosines[i, j]`.

    So held, it neither overflows nor underflows in float32 for rows of any representable scale.

    Attributes:
        norms: (T,) Euclidean norms of the rows; not finite where a row is not.
        cosines: (T, T), its diagonal 1; rows and columns of zero or non-finite rows are 0.
    """

    norms: jax.Array
    cosines: jax.Array

    def matrix(self) -> jax.Array:
        """The Gramian itself, (T, T)."""
        return self.norms[:, None] * self.cosines * self.norms


Rows = Sequence[jax.Array | None]


def shared_rows(jacobian: Any, params: Any, num_tasks: int) -> Rows:
    """The leaves of a Jacobian in their order: stacked ones `(T, *shape)`, None for private ones.

    Raises:
        ValueError: where a leaf has neither its parameter's shape nor that with a leading axis of `num_tasks`, or the
            Jacobian has another structure than `params`.
    """
    return [leaf if is_shared(leaf, param, num_tasks, path) else None for path, leaf, param in _pairs(jacobian, params)]


def is_shared(leaf: jax.Array, param: jax.Array, num_tasks: int, path: Any = ()) -> bool:
    """Whether a Jacobian's leaf is stacked over tasks, told by its parameter's shape."""
    if jnp.shape(leaf) == (num_tasks, *jnp.shape(param)):
        return True
    if jnp.shape(leaf) == jnp.shape(param):
        return False
    raise ValueError(
        f"Jacobian leaf {jax.tree_util.keystr(path)} has shape {jnp.shape(leaf)}; expected "
        f"{(num_tasks, *jnp.shape(param))} where num_tasks={num_tasks} tasks share the parameter, or "
        f"{jnp.shape(param)} where one task owns it."
    )


def gramian(jacobian: Any, params: Any, num_tasks: int, axis_name: str | None = None) -> Gramian:
    """Norms and cosines of the rows of the shared leaves; private leaves play no part.

    Args:
        jacobian: a tree as `params`, shared leaves stacked `(T, *shape)`.
        params: the parameters, or their shapes.
        num_tasks: T, the number of tasks.
        axis_name: a mapped axis over which the rows are split (each device holds a part of every row), if any.

    Returns:
        A `Gramian`, float32 (float64 for float64 leaves), its products at the highest precision.

    Example:
        >>> import jax.numpy as jnp
        >>> seen = gramian(jnp.array([[3.0, 4.0], [4.0, -3.0]]), jnp.zeros(2), num_tasks=2)
        >>> print(seen.norms, seen.cosines[0])
        [5. 5.] [1. 0.]
    """
    return gramian_of_rows(shared_rows(jacobian, params, num_tasks), num_tasks, axis_name)


def gramian_of_rows(rows: Rows, num_tasks: int, axis_name: str | None = None) -> Gramian:
    """`gramian` of leaves `(T, *shape)`; None is passed over."""
    leaves = [row.reshape(num_tasks, -1) for row in rows if row is not None]
    dtype = jnp.result_type(jnp.float32, *leaves)
    leaves = [leaf.astype(dtype) for leaf in leaves]
    if axis_name is not None or not branches_pay():
        return _of_scaled(leaves, dtype, num_tasks, axis_name)
    # The plain products save two passes over the Jacobian, where no square overflows or vanishes.
    products = _products(leaves, dtype, num_tasks)
    squares = jnp.diagonal(products)
    limits = jnp.finfo(dtype)
    safe = jnp.all((squares > limits.tiny**0.5) & (squares < limits.max**0.9))
    return jax.lax.cond(
        safe,
        lambda: _normalised(products, jnp.ones(num_tasks, bool)),
        lambda: _of_scaled(leaves, dtype, num_tasks, axis_name),
    )


def _products(leaves: list[jax.Array], dtype: Any, num_tasks: int) -> jax.Array:
    products = jnp.zeros((num_tasks, num_tasks), dtype)
    for leaf in leaves:
        # Pieces that stay in the cache: at 40 tasks on two cores, 0.6 of the time.
        pieces = min(_PIECES, leaf.shape[1] // _PIECE) if num_tasks >= _MANY and branches_pay() else 1
        for piece in jnp.array_split(leaf, max(1, pieces), axis=1):
            products += dot(piece, piece.T)
    return products


def _normalised(products: jax.Array, usable: jax.Array) -> Gramian:
    norms = root(jnp.diagonal(products))
    inverse = jnp.where(usable, 1 / jnp.where(usable, norms, 1.0), 0.0)
    cosines = jnp.clip(products * inverse[:, None] * inverse, -1.0, 1.0)
    return Gramian(norms, jnp.where(jnp.eye(len(norms), dtype=bool), usable.astype(norms.dtype), cosines))


def _of_scaled(leaves: list[jax.Array], dtype: Any, num_tasks: int, axis_name: str | None) -> Gramian:
    """The Gramian of rows scaled to order 1, exact for rows of any representable scale."""
    largest = jnp.zeros(num_tasks, dtype)
    for leaf in leaves:
        largest = jnp.maximum(largest, jnp.max(jnp.abs(leaf), axis=1, initial=0.0))
    if axis_name is not None:
        largest = jax.lax.pmax(_with_infinities(largest), axis_name)
    exponent, usable = _exponents(largest)
    scale = jnp.ldexp(jnp.ones(num_tasks, dtype), -exponent)[:, None]
    products = _products([leaf * scale for leaf in leaves], dtype, num_tasks)
    if axis_name is not None:
        products = jax.lax.psum(products, axis_name)
    norms, cosines = _normalised(jnp.where(usable[:, None] & usable, products, 0.0), usable)
    return Gramian(jnp.where(usable, jnp.ldexp(norms, exponent), largest), cosines)


class RunningGramian(NamedTuple):
    """The Gramian of the leaves that have been looked at so far, one after the other, none of them kept.

    Each row has an exponent that grows with the leaves, so that rows of any representable scale are exact in one pass.

    Attributes:
        products: (T, T), finite, of rows that are multiplied by `2 ** -exponents`.
        exponents: (T,) int32.
        largest: (T,) the largest magnitude in each row; not finite where one is not.
    """

    products: jax.Array
    exponents: jax.Array
    largest: jax.Array

    @classmethod
    def of_none(cls, num_tasks: int) -> "RunningGramian":
        """That of no leaves."""
        zeros = jnp.zeros((num_tasks, num_tasks), jnp.float32)
        return cls(zeros, jnp.full(num_tasks, _LEAST, jnp.int32), zeros[0])

    def plus(self, rows: Sequence[jax.Array]) -> "RunningGramian":
        """With the T rows of one more leaf."""
        dtype = jnp.result_type(jnp.float32, *rows)
        largest = jnp.stack([jnp.max(jnp.abs(row.astype(dtype)), initial=0.0) for row in rows])
        now, usable = _exponents(largest)
        found = _products_of_scaled(rows, jnp.ldexp(jnp.ones((), dtype), -now))
        found = jnp.where(usable[:, None] & usable, found, 0.0)
        now = jnp.where(usable, now, _LEAST)
        common = jnp.maximum(self.exponents, now)
        products = _rescaled(self.products, self.exponents - common) + _rescaled(found, now - common)
        return RunningGramian(products, common, jnp.maximum(self.largest, largest))

    def gramian(self, axis_name: str | None = None) -> Gramian:
        """Norms and cosines; of all parts of the rows, where they are split over a mapped axis."""
        products, exponents, largest = self
        if axis_name is not None:
            largest, common = jax.lax.pmax((_with_infinities(largest), exponents), axis_name)
            products, exponents = jax.lax.psum(_rescaled(products, exponents - common), axis_name), common
        _, usable = _exponents(largest)
        norms, cosines = _normalised(jnp.where(usable[:, None] & usable, products, 0.0), usable)
        return Gramian(jnp.where(usable, jnp.ldexp(norms, exponents), largest), cosines)


def _products_of_scaled(rows: Sequence[jax.Array], scale: jax.Array) -> jax.Array:
    """Products of T rows of one leaf that are multiplied by a factor each, (T,).

    Many columns are scaled and stacked piece by piece, in a loop, so that there is never a second copy of all of them.
    """
    number, width, dtype = len(rows), rows[0].size, scale.dtype
    flat = [row.reshape(width) for row in rows]

    def of_columns(start: Any, size: int) -> jax.Array:
        # Scaled before they are stacked: the copy that this makes is the only one.
        cut = [jax.lax.dynamic_slice_in_dim(row, start, size) for row in flat]
        scaled = jnp.stack([piece.astype(dtype) * scale[t] for t, piece in enumerate(cut)])
        return _products([scaled], dtype, number)

    pieces = min(_PIECES, number * width // _HELD)
    if pieces < 2:
        return of_columns(0, width)
    size, rest = divmod(width, pieces)
    return jax.lax.fori_loop(
        0, pieces, lambda i, sum_: sum_ + of_columns(i * size, size), of_columns(width - rest, rest)
    )


def _with_infinities(largest: jax.Array) -> jax.Array:
    """Infinity in the place of NaN, which the largest over devices does not see."""
    return jnp.where(jnp.isnan(largest), jnp.inf, largest)


def _exponents(largest: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of rows, the exponent of two that brings the largest element to order 1; and whether they have one."""
    usable = jnp.isfinite(largest) & (largest > 0)
    # Powers of two keep the scaling exact; those whose inverse is no normal number are left out.
    _, exponent = jnp.frexp(jnp.where(usable, largest, 1.0))
    limit = -jnp.finfo(largest.dtype).minexp
    return jnp.clip(exponent, -limit, limit), usable


def _rescaled(products: jax.Array | float, exponent: jax.Array) -> jax.Array:
    """Products of rows that are multiplied by powers of two, none above 1."""
    factor = jnp.ldexp(jnp.ones(len(exponent), jnp.result_type(jnp.float32, products)), exponent)
    return factor[:, None] * (factor * products)


def root(square: jax.Array) -> jax.Array:
    """The square root, 0 below 0, whose derivative at 0 is 0 and not infinite."""
    above = ~(square <= 0)
    return jnp.where(above, jnp.sqrt(jnp.where(above, square, 1.0)), 0.0)


def combine(jacobian: Any, weights: jax.Array, params: Any) -> Any:
    """The direction `J^T w` for shared leaves; private leaves as they are.

    A row of weight 0 is left out, whatever it holds. Sums are float32; each leaf keeps its dtype.

    Args:
        jacobian: a tree as `params`, shared leaves stacked `(T, *shape)`.
        weights: (T,).
        params: the parameters, or their shapes.

    Returns:
        A tree of the structure and shapes of `params`.
    """
    rows = shared_rows(jacobian, params, weights.shape[0])
    leaves = zip(combine_rows(rows, weights), jax.tree.leaves(jacobian), strict=True)
    return jax.tree.structure(params).unflatten([own if found is None else found for found, own in leaves])


def combine_rows(rows: Rows, weights: jax.Array) -> Rows:
    """`combine` of leaves `(T, *shape)`; None stays None."""
    return [None if row is None else _weighted_sum(row, weights) for row in rows]


def _weighted_sum(leaf: jax.Array, weights: jax.Array) -> jax.Array:
    dtype = jnp.result_type(jnp.float32, leaf)
    if leaf.dtype != dtype or not branches_pay():
        return _sum_of_weighted(leaf, weights)
    # A row that is not finite shows in the product, whatever its weight; only then rows are looked at one by one.
    product = dot(weights.astype(dtype), leaf.reshape(len(weights), -1)).reshape(leaf.shape[1:])
    return unless(surely_finite(product), product, lambda: _sum_of_weighted(leaf, weights))


def _sum_of_weighted(leaf: jax.Array, weights: jax.Array) -> jax.Array:
    w = weights.astype(jnp.result_type(jnp.float32, leaf))
    # Written out: XLA's CPU backend takes ten times as long for a sum over the first axis.
    terms = [jnp.where(w[t] == 0, 0.0, w[t] * leaf[t]) for t in range(len(weights))]
    return functools.reduce(jnp.add, terms).astype(leaf.dtype)


def _pairs(jacobian: Any, params: Any) -> list[tuple[Any, jax.Array, jax.Array]]:
    if jax.tree.structure(jacobian) != jax.tree.structure(params):
        raise ValueError(
            "the Jacobian must be a tree of the structure of params; got "
            f"{jax.tree.structure(jacobian)} for {jax.tree.structure(params)}."
        )
    paths = jax.tree_util.tree_leaves_with_path(jacobian)
    return [(path, leaf, param) for (path, leaf), param in zip(paths, jax.tree.leaves(params), strict=True)]
