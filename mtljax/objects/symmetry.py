"""Rotations after which an object looks the same, and the one of them that is nearest to a guess.

The solids' axes are those of `scenes`: cylinder and cone about z, the cone's tip at +z. With `xp=np` the formulas are
computed by NumPy, in the arguments' own precision: figures are, in float64.
"""

import itertools
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.geometry.camera import Array

# Kinds of symmetry. A box of known sides looks the same after half turns; a box whose sides no image tells apart after
# every turn of a cube, if its sizes are permuted along.
NONE, BOX, CUBE, CYLINDER, CONE, SPHERE = range(6)


def _cube() -> np.ndarray:
    """The 24 turns of a cube, (24, 3, 3); the first four are the half turns, the first one is none."""
    signed = [
        np.diag(signs) @ np.eye(3)[list(order)]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]
    return np.stack([turn for turn in signed if np.linalg.det(turn) > 0])


TURNS = _cube()
_FLIP = np.diag([1.0, -1.0, -1.0])  # a half turn about x


def nearest(rotation: Array, truth: Array, kind: Array, half_sizes: Array, xp: ModuleType = jnp) -> tuple[Array, Array]:
    """Of the rotations that look as the true one does, the nearest to a guess: the one of greatest trace of R^T R'.

    No gradient goes through the choice, and none to the guess. Of equally near ones the first is taken.

    Args:
        rotation: (..., 3, 3), the guess.
        truth: (..., 3, 3).
        kind: (...) integers, of `NONE` to `SPHERE`.
        half_sizes: (..., 3), of the object along its own axes.
        xp: jax.numpy or numpy.

    Returns:
        The rotation, (..., 3, 3), and the half sizes along its axes, (..., 3): permuted for `CUBE`, else as given.

    Example:
        >>> turned, _ = jax.jit(nearest)(jnp.diag(jnp.array([-1.0, -1, 1])), jnp.eye(3), jnp.array(BOX), jnp.ones(3))
        >>> print(jnp.diag(turned))
        [-1. -1.  1.]
    """
    guess = jax.lax.stop_gradient(rotation) if xp is jnp else rotation
    kind, truth = xp.asarray(kind), xp.asarray(truth)
    turn = xp.asarray(TURNS, truth.dtype)
    between = _product(xp.swapaxes(guess, -1, -2), truth, xp)
    closeness = xp.sum(between[..., None, :, :] * xp.swapaxes(turn, -1, -2), axis=(-1, -2))  # of R and R_g P, (..., 24)
    number = xp.where(kind == CUBE, 24, xp.where(kind == BOX, 4, 1))
    best = xp.argmax(xp.where(xp.arange(24) < number[..., None], closeness, -xp.inf), axis=-1)
    chosen = turn[best]
    upright = _spun(guess, truth, xp)
    flipped = _spun(guess, _product(truth, xp.asarray(_FLIP, truth.dtype), xp), xp)
    over = (kind == CYLINDER) & (_trace(guess, flipped, xp) > _trace(guess, upright, xp))
    round_one = xp.where(over[..., None, None], flipped, upright)
    is_round = ((kind == CYLINDER) | (kind == CONE))[..., None, None]
    found = xp.where(is_round, round_one, _product(truth, chosen, xp))
    found = xp.where((kind == SPHERE)[..., None, None], guess, found)
    return found, xp.sum(xp.abs(chosen) * half_sizes[..., None], axis=-2)


def _spun(guess: Array, truth: Array, xp: ModuleType) -> Array:
    """The truth, turned about its own z so that it is nearest to a guess."""
    a = _product(xp.swapaxes(guess, -1, -2), truth, xp)
    angle = xp.arctan2(a[..., 0, 1] - a[..., 1, 0], a[..., 0, 0] + a[..., 1, 1])
    cos, sin, zero, one = xp.cos(angle), xp.sin(angle), xp.zeros_like(angle), xp.ones_like(angle)
    rows = [[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]
    return _product(truth, xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2), xp)


def _product(a: Any, b: Any, xp: ModuleType) -> Any:
    """Matrices multiplied, in full precision on accelerators too."""
    return jnp.matmul(a, b, precision="highest") if xp is jnp else a @ b


def _trace(a: Array, b: Array, xp: ModuleType) -> Array:
    """The trace of A^T B."""
    return xp.sum(a * b, axis=(-1, -2))
