"""The head of tasks that look at a prediction through a network that stands still."""

from collections.abc import Mapping
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

FROZEN = "frozen"  # collection: of networks that are no part of the parameters


class Network(Protocol):
    """A network that was trained before."""

    @property
    def shapes(self) -> Mapping[str, Any]:
        """Its variables, as `jax.ShapeDtypeStruct`s."""
        ...


class Frozen(nn.Module):
    """Passes on what the task's parents predict, and beside it, as `frozen`, the variables of a trained network.

    They are a collection of their own, `frozen`: no parameters, that an optimiser might move, and no constants of a
    program. A model's `init` makes zeros of them; what they are is read from the network's workdir.

    Attributes:
        network: whose variables they are; it has `shapes`.

    Example:
        >>> import collections
        >>> network = collections.namedtuple("Network", "shapes")({"params": jax.ShapeDtypeStruct((2,), jnp.float32)})
        >>> out, variables = Frozen(network).init_with_output(jax.random.key(0), None, parents={"depth": jnp.ones(3)})
        >>> sorted(out), jax.tree.map(jnp.shape, dict(variables))
        (['depth', 'frozen'], {'frozen': {'variables': {'params': (2,)}}})
    """

    network: Any

    @nn.compact
    def __call__(self, features: Any, frames: int | None = None, parents: Any = None) -> dict[str, Any]:
        """The predictions of `parents`, a dict, with clip axes as they have."""

        def zeros() -> Any:
            return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), dict(self.network.shapes))

        return {**(parents or {}), FROZEN: self.variable(FROZEN, "variables", zeros).value}
