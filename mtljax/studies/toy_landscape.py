"""The two-objective landscape on which CAGrad, Nash-MTL and FAMO show what a balancer does."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtljax.balance import Ahead, value_and_jacobian
from mtljax.train.config.experiment import balancer_of, optimizer_of

STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
SCALES = (1.0, 0.1)
PARETO_X2 = -8.355  # where both valleys end; the Pareto set is x1 in [-7, 7] there
POINTS = 500  # of a trajectory that are kept


class Trajectories(NamedTuple):
    """Where a method went.

    Attributes:
        points: (scales, starts, kept, 2), the parameters.
        losses: (scales, starts, kept, 2), without the scale of the first loss.
    """

    points: np.ndarray
    losses: np.ndarray


def landscape(x: jax.Array) -> jax.Array:
    """The two losses at a point.

    Args:
        x: (2,).

    Returns:
        (2,), both -15.09 at the balanced optimum (0, -8.355).

    References:
        Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021, section 5.1 and appendix.

    Example:
        >>> [round(float(loss), 2) for loss in landscape(jnp.array([0.0, -8.355]))]
        [-15.09, -15.09]
    """
    x1, x2 = x
    wall1 = jnp.log(jnp.maximum(jnp.abs(0.5 * (-x1 - 7) - jnp.tanh(-x2)), 5e-6)) + 6
    wall2 = jnp.log(jnp.maximum(jnp.abs(0.5 * (-x1 + 3) + jnp.tanh(-x2) + 2), 5e-6)) + 6
    bowl1 = ((-x1 + 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    bowl2 = ((-x1 - 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    above, below = jnp.maximum(jnp.tanh(x2 / 2), 0), jnp.maximum(jnp.tanh(-x2 / 2), 0)
    return jnp.stack([above * wall1 + below * bowl1, above * wall2 + below * bowl2])


def trajectories(method: str, steps: int, optimizer: str = "adam(1e-3)", seed: int = 0) -> Trajectories:
    """Follows a balancer from every start, at every scale of the first loss.

    Args:
        method: a call-string, as `cagrad(c=0.4)`.
        steps: of the optimiser.
        optimizer: a call-string of optax.
        seed: of random methods.

    Raises:
        UserError: for an unknown method or optimiser, or wrong arguments.
    """
    # As in the papers, in double precision: the walls of the landscape are steep.
    with jax.enable_x64(True):
        balancer = balancer_of(method, num_tasks=2, seed=seed)
        tx = optax.chain(balancer, optimizer_of(optimizer, steps))
        every = max(1, steps // POINTS)

        def follow(start: jax.Array, scale: jax.Array) -> jax.Array:
            def losses_fn(x: jax.Array) -> jax.Array:
                return landscape(x) * jnp.stack([scale, 1.0])

            def step(carry: Any, _: None) -> tuple[Any, None]:
                x, state = carry
                losses, jacobian = value_and_jacobian(losses_fn)(x)
                # The validation losses are those of training: there is no other data.
                ahead = {"ahead": Ahead(x, losses_fn, losses_fn)} if balancer.needs else {}
                updates, state = tx.update(jacobian, state, x, losses=losses, **ahead)
                return (optax.apply_updates(x, updates), state), None

            def stretch(carry: Any, _: None) -> tuple[Any, jax.Array]:
                carry, _ = jax.lax.scan(step, carry, None, length=every)
                return carry, carry[0]

            _, kept = jax.lax.scan(stretch, (start, tx.init(start)), None, length=steps // every)
            return jnp.concatenate([start[None], kept])

        over_starts = jax.vmap(follow, (0, None))
        points = jax.jit(jax.vmap(over_starts, (None, 0)))(jnp.array(STARTS), jnp.array(SCALES))
        losses = jnp.vectorize(landscape, signature="(p)->(t)")(points)
        return Trajectories(np.asarray(points), np.asarray(losses))
