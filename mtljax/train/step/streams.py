"""Random streams of one seed: a name, then a step. No two parts of a run draw the same numbers."""

import hashlib

import jax

BALANCE = "balance"
DROPOUT = "dropout"


def seed_of(seed: int, name: str) -> int:
    """The seed of the stream of a name, an integer of 31 bits.

    Example:
        >>> seed_of(0, "dropout") == seed_of(0, "balance"), seed_of(0, "dropout") == seed_of(1, "dropout")
        (False, False)
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1


def key_of(seed: int, name: str, step: int | jax.Array = 0) -> jax.Array:
    """The key of the stream of a name at a step."""
    return key_at(seed_of(seed, name), step)


def key_at(seed: int | jax.Array, step: int | jax.Array) -> jax.Array:
    """The key at a step, of a stream whose seed (`seed_of`) is known; both may be arrays, inputs of a program."""
    return jax.random.fold_in(jax.random.key(seed), step)
