"""The head of tasks that tie others together."""

from typing import Any

import flax.linen as nn
import jax

from mtljax.models.parts.clips import by_clip


class Parents(nn.Module):
    """Passes on what the task's parents predict, for tasks that tie others together: a dict of predictions.

    Attributes:
        static: a head of maps, such as `Dense(1)`, whose prediction comes along as `static`; by default there is none,
            and no parameter.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from mtljax.models.heads import Dense
        >>> parents = {"depth": jnp.ones((1, 2, 8, 8, 1))}
        >>> head, features = Parents(static=Dense(1, width=8)), jnp.ones((2, 4, 4, 8))
        >>> out, _ = head.init_with_output(jax.random.key(0), features, size=(8, 8), frames=2, parents=parents)
        >>> jax.tree.map(jnp.shape, out)
        {'depth': (1, 2, 8, 8, 1), 'static': (1, 2, 8, 8, 1)}
    """

    static: Any = None

    @nn.compact
    def __call__(
        self, features: Any, size: tuple[int, int] | None = None, frames: int | None = None, parents: Any = None
    ) -> dict[str, jax.Array]:
        """The predictions of `parents`, a dict, with clip axes as they have."""
        if self.static is None:
            return dict(parents or {})
        static = self.static(features, size=size)
        return {**(parents or {}), "static": by_clip(static, frames)}
