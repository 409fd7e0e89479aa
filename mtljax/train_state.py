"""Flax's own `TrainState`, for a Jacobian in the place of a gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.training import train_state


class TrainState(train_state.TrainState):
    """`flax.training.train_state.TrainState`, whose `tx` begins with a balancer: Flax's idiom for a loop of your own.

    It has the same fields and the same `create`; one word more is given to `apply_gradients`. (The state of our own
    training loop is another, `mtl.train.TrainState`.)

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl, optax
        >>> params = {"trunk": jnp.ones(2), "a": jnp.float32(1), "b": jnp.float32(1)}
        >>> def losses_fn(params):
        ...     return [jnp.sum((params[task] * params["trunk"] - goal) ** 2) for task, goal in (("a", 1), ("b", 2))]
        >>> tx = optax.chain(mtl.gradnorm(num_tasks=2), optax.sgd(0.1))
        >>> state = mtl.TrainState.create(apply_fn=losses_fn, params=params, tx=tx)
        >>> losses, jacobian = mtl.value_and_jacobian(losses_fn)(state.params)
        >>> state = state.apply_gradients(jacobian, losses=losses)
        >>> print(state.step, bool(losses_fn(state.params)[1] < losses[1]))
        1 True
    """

    def apply_gradients(
        self, jacobian: Any = None, *, grads: Any = None, losses: Any = None, **kwargs: Any
    ) -> "TrainState":
        """The state after an update by a Jacobian; `grads=` is another name for it, as in Flax.

        Args:
            jacobian: as `mtl.value_and_jacobian` gives it.
            grads: the same.
            losses: (T,), for balancers that look at them (`gradnorm`, `uncertainty`, ...).
            **kwargs: `present`, `owners` and `samples`, for the balancer; and fields to replace, as `batch_stats=...`.

        Raises:
            ValueError: where there is not one Jacobian, or `tx` leaves the shapes of parameters: no balancer is in it.
        """
        if (jacobian is None) == (grads is None):
            raise ValueError(
                "apply_gradients(jacobian, losses=losses): expected one Jacobian, the first argument or grads=."
            )
        known = {"losses": losses, **{key: kwargs.pop(key) for key in _OF_BALANCERS if key in kwargs}}
        tx = optax.with_extra_args_support(self.tx)
        given = jacobian if grads is None else grads
        updates, opt_state = tx.update(
            given, self.opt_state, self.params, **{key: value for key, value in known.items() if value is not None}
        )
        _check_shapes(updates, self.params)
        params = optax.apply_updates(self.params, updates)
        return self.replace(step=self.step + 1, params=params, opt_state=opt_state, **kwargs)


_OF_BALANCERS = ("present", "owners", "samples")


def _check_shapes(updates: Any, params: Any) -> None:
    """Refuses updates that would be added to parameters all the same, by NumPy's rules, and change their shapes."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    for (path, leaf), update in zip(leaves, jax.tree.leaves(updates), strict=True):
        if jnp.shape(update) != jnp.shape(leaf):
            where = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(
                f"tx gives an update of shape {jnp.shape(update)} for {where}, of shape {jnp.shape(leaf)}: it was "
                "given a Jacobian and has no balancer; expected optax.chain(mtl.gradnorm(num_tasks=T), ...)."
            )
