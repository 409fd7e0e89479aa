"""Soft sharing by projections of the features of all networks."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.norm import Norm
from mtljax.models.parts.pyramid import levels_of, resized
from mtljax.models.sharing.base.copies import copies
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.joined import Joined
from mtljax.models.sharing.base.shares import Start, convex


class NDDR(Joined, nn.Module):
    """Neural discriminative dimensionality reduction (Gao et al. 2019): features of all tasks joined and projected.

    After a stage, the channels of all networks are concatenated; for each task a 1 x 1 convolution without bias, a
    normalisation and a ReLU, as in the authors' code, make its own number of channels of them again. Convolutions start
    as the shares of `start` on the diagonal of each network's block. With `shortcut`, the outputs of the joined stages
    that are of the coarsest features' kind, maps or vectors, are brought to their size and projected to make them
    (NDDR-CNN-Shortcut).

    Attributes:
        encoder: with stages; every task has one with parameters of its own, in its task's optimiser group, as are
            its convolutions.
        heads: task name -> head.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        stages: after which networks are joined; all by default.
        start: (same, different), the share of a network itself and the sum of the others'; `identity`; or `ones`.
        norm: `batch` (the paper), `group` or `none`.
        shortcut: whether the coarsest features are made of all joined stages.
        axis_name: the mapped axis over which batch statistics are synchronised.
        remat: whether each backward pass computes the stages' activations again, rather than keeping them.
        relu: whether a ReLU follows each normalisation; False for stages that do not end in one, such as `ViT`'s.

    Raises:
        TypeError: for an encoder without stages.
        ValueError: for an unknown stage, or a shortcut for which no joined stage has what the features are.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = NDDR(mtl.encoders.MLP((8, 6)), heads)
        >>> params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 5)))["params"]
        >>> params["fusion_a"]["layer1"]["kernel"].shape
        (16, 8)
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Parents | None = None
    stages: Sequence[str] | None = None
    start: Start = (0.9, 0.1)
    norm: str = "batch"
    shortcut: bool = True
    axis_name: str | tuple[str, ...] | None = None
    remat: bool = False
    relu: bool = True
    edges: Mapping[str, str] | None = None
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "networks": 0, "fusion": 0}

    def setup(self) -> None:
        """A network and its projections for each task."""
        self.networks = copies(self.encoder, list(self.heads))
        self.fusion = {
            task: _Projections(i, len(self.heads), self.start, self.norm, self.axis_name, self.relu)
            for i, task in enumerate(self.heads)
        }

    def join(self, stage: str, inputs: Sequence[jax.Array], train: bool) -> Sequence[jax.Array]:
        """One stage's outputs of all networks, projected for each task."""
        joined = jnp.concatenate(inputs, axis=-1)
        return [self.fusion[task](stage, joined, train) for task in self.heads]

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's own features, of which all networks' are a part."""
        outputs = self._side_by_side(self._folded(images), train)
        found = {task: self.networks[task].features(outputs[task]) for task in self.in_order(tasks)}
        if not self.shortcut:
            return found
        return {task: self._with_shortcut(task, outputs[task], x, train) for task, x in found.items()}

    def _with_shortcut(self, task: str, outputs: Mapping[str, jax.Array], features: Any, train: bool) -> Any:
        levels = levels_of(features)
        like = [outputs[stage] for stage in self.joined_after if outputs[stage].ndim == levels[-1].ndim]
        if not like:
            fitting = ", ".join(stage for stage, x in outputs.items() if x.ndim == levels[-1].ndim)
            raise ValueError(
                f"NDDR(shortcut=True) makes the coarsest features, of shape {levels[-1].shape}, of the joined stages' "
                f"outputs; none of {', '.join(self.joined_after) or 'no stages'} has as many axes. Expected "
                f"shortcut=False{f', or one of {fitting} in stages' if fitting else ''}."
            )
        sized = [resized(x, levels[-1].shape[1:-1]) for x in like]
        last = self.fusion[task]("shortcut", jnp.concatenate(sized, axis=-1), train, levels[-1].shape[-1])
        return (*levels[:-1], last) if isinstance(features, tuple | list) else last


class _Projections(nn.Module):
    """The 1 x 1 convolutions, normalisations and ReLUs of one task."""

    index: int
    number: int
    start: Start
    norm: str
    axis_name: str | tuple[str, ...] | None
    relu: bool

    @nn.compact
    def __call__(self, name: str, joined: jax.Array, train: bool, channels: int | None = None) -> jax.Array:
        def diagonal(_: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
            shares = convex(self.start, self.number)[self.index]
            return jnp.concatenate([share * jnp.eye(shape[1], dtype=dtype) for share in shares])

        init = diagonal if channels is None else nn.initializers.lecun_normal()
        width = channels or joined.shape[-1] // self.number
        x = nn.Dense(width, use_bias=False, kernel_init=init, dtype=joined.dtype, name=name)(joined)
        x = Norm(self.norm, self.axis_name, joined.dtype, name=f"{name}_norm")(x, train)
        return nn.relu(x) if self.relu else x
