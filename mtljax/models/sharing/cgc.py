"""One level of experts, shared ones and each task's own."""

import flax.linen as nn

from mtljax.models.sharing.ple import PLE


class CGC(PLE, nn.Module):
    """Customised gate control (Tang et al. 2020, section 4.1): `PLE` with one level.

    Attributes:
        heads: task name -> head.
        expert: an encoder that gives vectors.
        shared: number of shared experts, the group `shared`.
        own: number of experts of each task's own, in its group.
        levels: 1.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        remat: whether each backward pass computes the experts' activations again, rather than keeping them.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> model = CGC({"a": mtl.heads.Linear(2)}, mtl.encoders.MLP((16,)), shared=2, own=1)
        >>> params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 5)))["params"]
        >>> params["gates_a_0"]["logits"]["kernel"].shape
        (5, 3)
    """

    levels: int = 1

    def __post_init__(self) -> None:
        if self.levels != 1:
            raise ValueError(f"CGC has one level, not {self.levels}; PLE has as many as are wanted.")
        super().__post_init__()
