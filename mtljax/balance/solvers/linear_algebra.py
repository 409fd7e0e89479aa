"""Pseudo-inverses and polar factors of Jacobians, from norms and cosines of their rows."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax.balance.gramian import Gramian, dot, root
from mtljax.balance.solvers import quadratic_program

NEAR = 0.05  # what an equation that is called solved may be off, of its right side


@jax.custom_jvp
def length(vector: jax.Array) -> jax.Array:
    """The Euclidean norm, of numbers whose squares overflow too, with a gradient of 0 at 0."""
    return _length_and_unit(vector)[0]


@length.defjvp
def _length_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    size, unit = _length_and_unit(*primals)
    return size, dot(unit, tangents[0])


def _length_and_unit(vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    limits = jnp.finfo(vector.dtype)
    least, largest = jnp.sqrt(limits.tiny), jnp.max(jnp.abs(vector))
    there = largest > least
    # A power of two, whose inverse is a normal number: as the largest number's is not.
    exponent = jnp.clip(jnp.frexp(jnp.where(there, largest, 1.0))[1], limits.minexp, -limits.minexp)
    relative = vector * jnp.ldexp(jnp.ones((), vector.dtype), -exponent)
    size = jnp.sqrt(jnp.where(there, jnp.sum(relative**2), 1.0))
    return jnp.where(there, jnp.ldexp(size, exponent), least), jnp.where(there, relative / size, 0.0)


def rounding(cosines: jax.Array, vector: jax.Array) -> jax.Array:
    """How far errors of cosines change `C v`, (T,): they are sums over all parameters, good to some 16 rounding errors.

    Of 5000 parameters on a CPU, 29 were the most that was seen, of one cosine; a row of C has several.
    """
    return 16 * jnp.finfo(cosines.dtype).eps * dot(jnp.abs(cosines), jnp.abs(vector))


def holds(cosines: jax.Array, vector: jax.Array, wanted: jax.Array, usable: jax.Array, times: Any = 1.0) -> jax.Array:
    """Whether `C v` is what is wanted, (T,), to 5 % in each usable row, whatever errors the cosines have; ().

    It is not where gradients are so nearly dependent that float32 cosines do not tell what v is.

    Args:
        cosines: C, (T, T).
        vector: v, (T,).
        wanted: (T,); a row of 0 is measured by the largest.
        usable: (T,) bool.
        times: how much worse than the rows what depends on v is known.
    """
    size = jnp.where(wanted == 0, jnp.max(jnp.abs(wanted)), jnp.abs(wanted))
    off = jnp.abs(dot(cosines, vector) - wanted) + rounding(cosines, vector)
    return jnp.all((times * off <= NEAR * size) | ~usable)


def eigenvectors(cosines: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`C = V diag(l) V^T`: l (T,) descending and V (T, T), with l and the columns of V made 0 beyond the rank."""
    values, vectors = jnp.linalg.eigh(cosines, symmetrize_input=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > 10 * len(values) * jnp.finfo(values.dtype).eps * jnp.maximum(values[0], 0.0)
    return jnp.where(kept, values, 0.0), jnp.where(kept, vectors, 0.0)


def _independent(values: jax.Array, norms: jax.Array) -> jax.Array:
    """Whether the rows that are not 0 are independent, and the smallest eigenvalue of C is good to 5 %; ()."""
    least = 16 / NEAR * jnp.finfo(values.dtype).eps * values[0]
    return jnp.sum(values > least) >= jnp.sum(norms > 0)


def pinv_times(cosines: jax.Array, vector: jax.Array) -> jax.Array:
    """`pinv(C) v`, (T,)."""
    values, vectors = eigenvectors(cosines)
    inverse = jnp.where(values > 0, 1 / jnp.where(values > 0, values, 1.0), 0.0)
    return dot(vectors, inverse * dot(vectors.T, vector))


def pinv_times_norms(gramian: Gramian) -> tuple[jax.Array, jax.Array]:
    """`pinv(G) sqrt(diag G)` up to a positive factor, (T,), and whether the rows are surely independent.

    Where the rows are independent it is `(C^-1 1) / |g|`, exact however badly they are scaled. Otherwise
    `G = A A^T` with `A = diag(|g|) V sqrt(l)` of full column rank, and `pinv(G) = Q R^-T R^-1 Q^T` for `A = Q R`.
    """
    norms, cosines = gramian
    usable = norms > 0
    lengths = norms / jnp.maximum(jnp.max(norms), jnp.finfo(norms.dtype).tiny)
    values, vectors = eigenvectors(cosines)
    independent = jnp.sum(values > 0) >= jnp.sum(usable)
    ones = usable.astype(norms.dtype)
    inverse = jnp.where(values > 0, 1 / jnp.where(values > 0, values, 1.0), 0.0)
    straight = dot(vectors, inverse * dot(vectors.T, ones))
    straight = jnp.where(usable, straight * quadratic_program.unit_ratio(norms, usable), 0.0)
    left, right = jnp.linalg.qr(lengths[:, None] * vectors * root(values))
    kept = values > 0
    right = jnp.where(kept[:, None] & kept, right, jnp.eye(len(norms), dtype=norms.dtype))
    back = jnp.where(kept, dot(left.T, lengths), 0.0)
    back = jax.scipy.linalg.solve_triangular(right, back)
    back = jax.scipy.linalg.solve_triangular(right, back, trans="T")
    general = dot(left, jnp.where(kept, back, 0.0))
    return jnp.where(usable, jnp.where(independent, straight, general), 0.0), _independent(values, norms)


def singular_triplets(gramian: Gramian) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Left singular vectors (T, T) and singular values (T,) of the Jacobian, both 0 beyond its rank; and whether its
    rows are surely independent.

    From the factor `A = diag(|g|) V sqrt(l)`, `A A^T = G`, whose singular values are those of J: so they are known to
    the precision of the dtype, where eigenvalues of G would be to its square root.
    """
    norms, cosines = gramian
    values, vectors = eigenvectors(cosines)
    factor = norms[:, None] * vectors * root(values)
    left, sizes, _ = jnp.linalg.svd(factor)
    kept = jnp.arange(len(sizes)) < jnp.sum(values > 0)
    return jnp.where(kept, left, 0.0), jnp.where(kept, sizes, 0.0), _independent(values, norms)
