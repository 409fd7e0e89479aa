"""Soft sharing: a network for each task, joined after chosen stages."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders import Staged
from mtljax.models.sharing.tasked import PENALTIES, Tasked, copies

Start = tuple[float, float] | str


class Joined(Tasked):
    """Networks of one shape that run side by side, stage by stage. A mixin of Linen modules."""

    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "networks": 0}

    def __post_init__(self) -> None:
        self._adopt(encoder=self.encoder, heads=self.heads)
        check_stages(self)
        if isinstance(self.stages, str):
            raise ValueError(f"{type(self).__name__}(stages={self.stages!r}): expected a tuple of names.")
        for stage in self.stages or ():
            if stage not in self.encoder.stages:
                raise ValueError(
                    f"{type(self).__name__}(stages=...): {type(self.encoder).__name__} has no stage {stage!r}; "
                    f"it has {', '.join(self.encoder.stages)}."
                )
        super().__post_init__()

    @property
    def joined_after(self) -> tuple[str, ...]:
        """The stages after which networks are joined."""
        return self.encoder.stages if self.stages is None else tuple(self.stages)

    def _side_by_side(self, x: jax.Array, train: bool) -> dict[str, dict[str, jax.Array]]:
        """The outputs of all stages of each task's network, as they are after joining."""
        outputs: dict[str, dict[str, jax.Array]] = {task: {} for task in self.heads}
        for stage in self.encoder.stages:
            found = [self._staged(self.networks[task], stage, x, outputs[task], train) for task in self.heads]
            if stage in self.joined_after:
                found = self.join(stage, found, train)
            for task, value in zip(self.heads, found, strict=True):
                outputs[task][stage] = value
        return outputs


def check_stages(model: Any) -> None:
    """Raises `TypeError` where a model's encoder has no stages."""
    if not isinstance(model.encoder, Staged):
        raise TypeError(
            f"{type(model).__name__} joins networks between their stages; expected an encoder with stages "
            f"(AlexNet, LeNet, MLP, ResNet, UNet, ViT), not {type(model.encoder).__name__}."
        )


def convex(start: Start, number: int) -> jax.Array:
    """How much each of `number` networks takes of each at the start: rows (number, number).

    Args:
        start: (same, different), the share of a network itself and the sum of the others'; `identity`; or `ones`.
        number: of networks.

    Example:
        >>> print(convex((0.9, 0.1), 3))
        [[0.9  0.05 0.05]
         [0.05 0.9  0.05]
         [0.05 0.05 0.9 ]]
    """
    if start == "ones":
        return jnp.ones((number, number))
    if isinstance(start, str) and start != "identity":
        raise ValueError(f"start {start!r}: expected a pair (same, different), 'identity' or 'ones'.")
    same, different = (1.0, 0.0) if start == "identity" else start
    identity = jnp.eye(number)
    return same * identity + different / max(1, number - 1) * (1 - identity)


class _Stitch(nn.Module):
    """x_i <- sum_j alpha_ij x_j, for each channel or for the layer."""

    start: Start
    per_channel: bool

    @nn.compact
    def __call__(self, inputs: Sequence[jax.Array]) -> list[jax.Array]:
        shape = (inputs[0].shape[-1],) if self.per_channel else (1,)

        def init(_: jax.Array) -> jax.Array:
            alpha = convex(self.start, len(inputs))
            return jnp.broadcast_to(alpha[..., None], (*alpha.shape, *shape)).astype(jnp.float32)

        alpha = self.param("alpha", init).astype(inputs[0].dtype)
        return list(jnp.einsum("ijc,j...c->i...c", jnp.broadcast_to(alpha, (*alpha.shape[:2], inputs[0].shape[-1])),
                               jnp.stack(inputs)))  # fmt: skip


class CrossStitch(Joined, nn.Module):
    """Cross-stitch networks (Misra et al. 2016, eq. 1): after some stages, each network goes on with a mixture.

    The mixing weights alpha are the optimiser group `stitch`, (K, K, C) or (K, K, 1) a stage. The paper has them
    learn 100 to 1000 times as fast as the networks, and starts from networks trained for each task alone.

    Attributes:
        encoder: with stages; every task has one with parameters of its own, in its task's optimiser group.
        heads: task name -> head.
        parents: task name -> names of the tasks whose predictions its head takes.
        stages: after which networks are stitched; all by default.
        alpha: at the start, (same, different), the share of a network itself and the sum of the others'; `ones`
            (LibMTL's); or `identity` (no sharing).
        per_channel: whether every channel has its own weights (the paper), or a stage has one for all.
        remat: whether each backward pass computes the stages' activations again, rather than keeping them.

    Raises:
        TypeError: for an encoder without stages.
        ValueError: for an unknown stage.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = CrossStitch(mtl.encoders.MLP((16, 8)), heads, stages=("layer1",))
        >>> params = model.init(jax.random.key(0), jnp.ones((2, 5)))["params"]
        >>> params["stitch_layer1"]["alpha"].shape
        (2, 2, 16)
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Mapping[str, Sequence[str]] | None = None
    stages: Sequence[str] | None = None
    alpha: Start = (0.9, 0.1)
    per_channel: bool = True
    remat: bool = False
    special_groups: ClassVar[tuple[str, ...]] = ("stitch",)

    def setup(self) -> None:
        """A network for each task, and a unit for each stage."""
        self.networks = copies(self.encoder, list(self.heads))
        self.stitch = {stage: _Stitch(self.alpha, self.per_channel) for stage in self.joined_after}

    def join(self, stage: str, inputs: Sequence[jax.Array], train: bool) -> Sequence[jax.Array]:
        """One stage's outputs of all networks, mixed."""
        return self.stitch[stage](inputs)

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's own features, of which all networks' are a part."""
        outputs = self._side_by_side(self._folded(images), train)
        return {task: self.networks[task].features(outputs[task]) for task in self.in_order(tasks)}


class Sluice(Joined, nn.Module):
    """Sluice networks: halves of layers mixed between tasks, and layers mixed for the output (Ruder et al. 2019).

    Every stage's channels are two subspaces; weights alpha, (2K, 2K) a stage, mix the subspaces of all networks.
    Weights beta, (K, L), mix the L stages for a task's output where they have its shape; they scale the levels of a
    pyramid, and an output that has no stage's shape. Both are the optimiser group `stitch`. The subspaces of a task are
    kept apart by a penalty, `orthogonality` times the mean over channel pairs of the squared products of their
    normalised activations: on activations (Bousmalis et al. 2016, eq. 5), where Ruder et al. take the weights, as
    stages of any kind have those.

    Attributes:
        encoder: with stages; every task has one with parameters of its own, in its task's optimiser group.
        heads: task name -> head.
        parents: task name -> names of the tasks whose predictions its head takes.
        stages: after which networks are joined; all by default.
        alpha: at the start, as in `CrossStitch`.
        orthogonality: factor of the penalty, which is added to the task's loss.
        remat: whether each backward pass computes the stages' activations again, rather than keeping them.

    Raises:
        TypeError: for an encoder without stages.
        ValueError: for an unknown stage, or one with an odd number of channels.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> params = Sluice(mtl.encoders.MLP((8, 8)), heads).init(jax.random.key(0), jnp.ones((2, 5)))["params"]
        >>> params["stitch_layer1"]["alpha"].shape, params["stitch_beta"].shape
        ((4, 4, 1), (2, 2))
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Mapping[str, Sequence[str]] | None = None
    stages: Sequence[str] | None = None
    alpha: Start = (0.9, 0.1)
    orthogonality: float = 0.01
    remat: bool = False
    special_groups: ClassVar[tuple[str, ...]] = ("stitch",)

    def setup(self) -> None:
        """A network for each task, and a unit for each stage."""
        self.networks = copies(self.encoder, list(self.heads))
        self.stitch = {stage: _Stitch(self.alpha, per_channel=False) for stage in self.joined_after}

    def join(self, stage: str, inputs: Sequence[jax.Array], train: bool) -> Sequence[jax.Array]:
        """One stage's outputs of all networks, mixed by halves."""
        if inputs[0].shape[-1] % 2:
            raise ValueError(f"Sluice halves the channels of stages; {stage} has {inputs[0].shape[-1]}.")
        halves = [half for x in inputs for half in jnp.split(x, 2, axis=-1)]
        for i, task in enumerate(self.heads):
            if train:
                self._noted(PENALTIES, task, self.orthogonality * _correlation(*halves[2 * i : 2 * i + 2]))
        mixed = self.stitch[stage](halves)
        return [jnp.concatenate(mixed[2 * i : 2 * i + 2], axis=-1) for i in range(len(inputs))]

    @nn.compact
    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's own features, of which all networks' are a part."""
        outputs = self._side_by_side(self._folded(images), train)
        whole = {task: self.networks[task].features(outputs[task]) for task in self.heads}
        found = next(iter(whole.values()))
        alike = [] if isinstance(found, tuple | list) else self._alike(next(iter(outputs.values())), found.shape)
        if not alike:  # the levels of a pyramid, or what is no stage's output
            number = len(found) if isinstance(found, tuple | list) else 1
            beta = self.param("stitch_beta", lambda _: jnp.ones((len(whole), number)))
            betas = dict(zip(whole, beta, strict=True))
            return {task: _scaled(betas[task], whole[task]) for task in self.in_order(tasks)}
        last = jnp.arange(len(alike)) == len(alike) - 1
        row = jnp.where(last, 0.9, 0.1 / max(1, len(alike) - 1)) if len(alike) > 1 else jnp.ones(1)
        betas = dict(zip(whole, self.param("stitch_beta", lambda _: jnp.tile(row, (len(whole), 1))), strict=True))
        return {
            task: sum(b.astype(found.dtype) * outputs[task][at] for b, at in zip(betas[task], alike, strict=True))
            for task in self.in_order(tasks)
        }

    def _alike(self, outputs: Mapping[str, jax.Array], shape: tuple[int, ...]) -> list[str]:
        """The stages whose outputs have a shape."""
        return [stage for stage in self.encoder.stages if outputs[stage].shape == shape]


def _scaled(beta: jax.Array, features: Any) -> Any:
    """Each level of a pyramid, or features of another kind, times its number."""
    levels, structure = jax.tree.flatten(features)
    return structure.unflatten([b.astype(x.dtype) * x for b, x in zip(beta, levels, strict=True)])


def _correlation(a: jax.Array, b: jax.Array) -> jax.Array:
    """Mean over pairs of channels of the squared cosine between their activations over the batch."""
    a, b = (x.reshape(-1, x.shape[-1]).astype(jnp.float32) for x in (a, b))
    a, b = (x * jax.lax.rsqrt(jnp.sum(x * x, axis=0) + 1e-6) for x in (a, b))
    return jnp.mean((a.T @ b) ** 2)
