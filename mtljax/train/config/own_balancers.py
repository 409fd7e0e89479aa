"""Balancers that are not of this package, tried on the shapes of a small Jacobian before a run trains."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax.balance import Balancer
from mtljax.errors import UserError, told
from mtljax.train.config import objects

_SIZE = 3  # of the parameters that are made up


def check_balancer(text: str, balancer: Balancer) -> None:
    """Tries the rule of a balancer that the config names by a path, or that was given as an object.

    Args:
        text: of the config.
        balancer: that it names.

    Raises:
        UserError: where the rule fails, or its weights or direction have another shape than they should.
    """
    if not (":" in text or objects.is_mark(text)) or balancer.samples > 1:
        return
    if balancer.needs or balancer.groups:  # they want a validation batch, and the model's own parameters
        return
    params, number = jax.ShapeDtypeStruct((_SIZE,), jnp.float32), balancer.num_tasks
    jacobian = jax.ShapeDtypeStruct((number, _SIZE), jnp.float32)

    def update(params: jax.Array, jacobian: jax.Array, losses: jax.Array) -> Any:
        return balancer.update(jacobian, balancer.init(params), params, losses=losses)[0]

    try:
        found = jax.eval_shape(update, params, jacobian, jax.ShapeDtypeStruct((number,), jnp.float32))
    except Exception as error:  # of whatever kind: it is the user's own code
        raise UserError(f"balance={text!r}, tried on {number} gradients: {told(error)}.") from error
    if found.shape != params.shape:
        raise UserError(
            f"balance={text!r}, tried on {number} gradients of shape {params.shape}: its direction has shape "
            f"{found.shape}."
        )
