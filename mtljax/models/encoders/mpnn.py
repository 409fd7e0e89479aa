"""A message-passing network for molecules."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

_KINDS = (1, 6, 7, 8, 9)  # H, C, N, O, F: the atoms of QM9
_FARTHEST = 10.0  # angstrom, the last of the distances that a pair of atoms is compared with
_COMPARED = 32


class MPNN(nn.Module):
    """Messages between all atoms of a molecule, and one vector for all: `inputs` -> (B, width).

    Each atom begins as a linear layer of its kind; then `rounds` times it hears the mean of all others' messages, where
    the matrix that makes a message of an atom is a network of the two atoms' distance, and a GRU takes it in; at last
    Set2Set (Vinyals et al. 2016) reads the atoms in three steps, and a layer of ReLU gives the vector. This is the
    network of Gilmer et al. 2017 (enn-s2s), as the tables of QM9 have it, but that it sees kinds and distances
    alone, no bonds. Molecules are padded to N atoms, with atoms of number 0; there are no edges to gather, since all
    atoms of one speak to each other.

    Attributes:
        width: of the states and of the vector.
        rounds: of messages.
        hidden: width of the network of distances.
        dtype: of the computation; parameters are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> water = {"numbers": jnp.array([[8, 1, 1, 0]]), "positions": jnp.ones((1, 4, 3))}
        >>> out, _ = jax.eval_shape(MPNN(width=16).init_with_output, jax.random.key(0), water)
        >>> out.shape
        (1, 16)
    """

    width: int = 64
    rounds: int = 3
    hidden: int = 128
    dtype: Any = None

    @nn.compact
    def __call__(self, molecules: Mapping[str, jax.Array]) -> jax.Array:
        """Encodes molecules.

        Args:
            molecules: `numbers` (B, N) integers, of protons, 0 where there is no atom; `positions` (B, N, 3) angstrom.

        Raises:
            ValueError: for something else.
        """
        numbers, positions = _checked(molecules)
        there = numbers > 0
        kinds = jnp.stack([numbers == kind for kind in _KINDS], axis=-1)
        known = jnp.concatenate([kinds.astype(jnp.float32), numbers[..., None] / max(_KINDS)], axis=-1)
        state = nn.relu(nn.Dense(self.width, dtype=self.dtype, name="atoms")(known))
        pairs = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="pairs")(_compared(positions)))
        both = there[:, :, None] & there[:, None, :] & ~jnp.eye(numbers.shape[1], dtype=bool)
        # The mean over neighbours is the same for all that is linear in the pair: it is taken first.
        pairs = jnp.where(both[..., None], pairs, 0) / jnp.maximum(both.sum(axis=2), 1)[..., None, None]
        some = jnp.where(both, 1.0, 0.0) / jnp.maximum(both.sum(axis=2), 1)[..., None]
        message = nn.Dense(self.width, dtype=self.dtype, name="messages")  # of what pairs say of neighbours
        constant = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="constant")  # the matrix' own bias
        own = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="own")
        cell = nn.GRUCell(self.width, dtype=self.dtype, name="gru")
        for _ in range(self.rounds):
            heard = jnp.einsum("bijk,bjc->bikc", pairs, state).reshape(*state.shape[:2], -1)
            said = nn.relu(own(state) + message(heard) + constant(jnp.einsum("bij,bjc->bic", some, state)))
            state, _ = cell(state, said)
        vector = _Set2Set(self.width, dtype=self.dtype, name="set2set")(state, there)
        return nn.relu(nn.Dense(self.width, dtype=self.dtype, name="vector")(vector))


class _Set2Set(nn.Module):
    """Reads a set in some steps of attention: (B, N, C), (B, N) bool -> (B, 2 C)."""

    width: int
    steps: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, items: jax.Array, there: jax.Array) -> jax.Array:
        cell = nn.OptimizedLSTMCell(self.width, dtype=self.dtype)
        batch = items.shape[0]
        nothing = jnp.zeros((batch, self.width), items.dtype)
        carry = (nothing, nothing)
        read = jnp.zeros((batch, 2 * self.width), items.dtype)
        for _ in range(self.steps):
            carry, query = cell(carry, read)
            score = jnp.where(there, jnp.einsum("bnc,bc->bn", items, query), jnp.finfo(items.dtype).min)
            share = jnp.where(there, jax.nn.softmax(score, axis=-1), 0.0)
            read = jnp.concatenate([query, jnp.einsum("bn,bnc->bc", share, items)], axis=-1)
        return read


def _compared(positions: jax.Array) -> jax.Array:
    """Distances of all pairs, by how near they are to each of some: (B, N, 3) -> (B, N, N, 1 + 32)."""
    apart = positions[:, :, None] - positions[:, None, :]
    squared = jnp.sum(apart**2, axis=-1, keepdims=True)
    distance = jnp.sqrt(jnp.where(squared > 0, squared, 1.0)) * (squared > 0)  # with a gradient at 0
    places = jnp.linspace(0.0, _FARTHEST, _COMPARED)
    near = jnp.exp(-(((distance - places) * _COMPARED / _FARTHEST) ** 2) / 2)
    return jnp.concatenate([distance / _FARTHEST, near], axis=-1)


def _checked(molecules: Any) -> tuple[jax.Array, jax.Array]:
    found = molecules if isinstance(molecules, Mapping) else {}
    if not {"numbers", "positions"} <= set(found) or found["positions"].shape != (*found["numbers"].shape, 3):
        given = {key: getattr(value, "shape", None) for key, value in found.items()} or type(molecules).__name__
        raise ValueError(f"MPNN takes inputs with `numbers` (B, N) and `positions` (B, N, 3), not {given}.")
    return found["numbers"], found["positions"]
