"""What stands around a balancer in a program that is being traced."""

import sys

_WRAPPERS = {
    ("optax.transforms._accumulation", "MultiSteps"): "MultiSteps",
    ("optax.transforms._conditionality", "apply_if_finite"): "apply_if_finite",
    ("optax.transforms._conditionality", "conditionally_transform"): "conditionally_transform",
    ("optax.transforms._conditionality", "conditionally_mask"): "conditionally_mask",
}


def refuse() -> None:
    """Refuses optax transformations that expect updates in the shapes of the parameters, around a balancer.

    They run what they wrap in a branch whose other side keeps the updates as they came, T times too large; JAX can
    only say that the branches differ. Who calls is read from the stack, since a branch is traced without a trace of it.

    Raises:
        ValueError: with the wrapper's name and where it belongs.
    """
    frame = sys._getframe(1)
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_qualname.split(".")[0]
        wrapper = _WRAPPERS.get((module, name))
        if wrapper is not None:
            raise ValueError(
                f"optax.{wrapper} around a balancer: it expects updates in the shapes of the parameters, and a "
                f"balancer is given T gradients for each. Put it after: chain(balancer, {wrapper}(...)); to accumulate "
                "before balancing, add up Jacobians (their mean is that of the whole batch)."
            )
        frame = frame.f_back
