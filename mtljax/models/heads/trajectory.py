"""A head that tells where objects will go."""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.errors import UserError, unknown
from mtljax.models.heads.objects.history import History, histories
from mtljax.models.heads.objects.tracks import IMAGE, SPACES, Tracks, tracks_of
from mtljax.objects.detections import Detections
from mtljax.objects.frames import PIXELS as LEAST
from mtljax.objects.views import at_rest

TRACKS, POSES = "tracks", "poses"
PIXELS = 16.0  # the unit of places in the image, as layers see them


class Trajectory(nn.Module):
    """Several paths that an object may take, and how likely each is (modes as in MTP: Cui 2019).

    Of each track that runs through a slot, its last places, whether it was seen there, how it moved in the image as
    `Track` has it, and the last place itself go through two layers. Places are those that `Pose` and the camera tell,
    in the world in metres, z being up; or those of boxes in the image, in pixels. In training, where labels are given,
    slots are the true objects, with the places that `Pose` tells of them; elsewhere they are detections.

    Without parents it makes paths of an encoder's vectors: of `inputs` that are histories themselves, say.

    Attributes:
        modes: k.
        steps: T.
        history: H, frames up to the last.
        space: `world`, or `image`, where neither poses nor a camera are wanted.
        width: of the layers.
        stride: pixels of a cell's side.
        least: pixels in which an object of labels must be seen to count.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> out, _ = Trajectory(modes=20, steps=12).init_with_output(jax.random.key(0), jnp.ones((5, 16)))
        >>> out["paths"].shape, out["logits"].shape
        ((5, 20, 12, 2), (5, 20))
    """

    modes: int = 3
    steps: int = 8
    history: int = 4
    space: str = "world"
    width: int = 128
    stride: int = 4
    least: int = LEAST
    dtype: Any = None
    default_edge: ClassVar[str] = "detached"
    needs: ClassVar[tuple[str, ...]] = (POSES,)

    @nn.compact
    def __call__(
        self,
        features: Any,
        size: tuple[int, int] | None = None,
        frames: int | None = None,
        camera: Mapping[str, jax.Array] | None = None,
        parents: Mapping[str, Any] | None = None,
        edges: Mapping[str, str] | None = None,
        labels: Any = None,
        train: bool = False,
    ) -> dict[str, jax.Array | Detections]:
        """Predicts paths of every slot of every frame of clips of s frames.

        Args:
            features: of which only the size is read; without parents vectors (B, F).
            size: (H, W) of the images.
            frames: s.
            camera: `positions` (B, s, 3), `quaternions` (B, s, 4), camera to world, `intrinsics` (B, 3, 3).
            parents: `tracks`, what `Track` predicts, and in the world `poses`, what `Pose` does.
            edges: role -> its word. `tracks`: `none`, the last place alone is known. `truth`, true ids at true centres
                and true motion; or true places, also in training.
            labels: the batch in training; also elsewhere where an edge is `truth`.
            train: whether this is training.

        Returns:
            `paths` (B, s, K, k, T, 2), (x, y) in metres, or pixels, relative to `last` (B, s, K, 3); `logits`
            (B, s, K, k); `ids` (B, s, K) int32, 0 where there is no track; `history` (B, s, K, H, 3), relative to
            `last` too, and `seen` (B, s, K, H) bool; `detections`. Where slots are true objects, `object` (B, s, M)
            int32 as well, the place of each among the labels'. Without parents only `paths` (B, k, T, 2) and `logits`
            (B, k).

        Raises:
            UserError: for an unknown space, clips without a camera, or with one parent alone.
        """
        if self.space not in SPACES:
            raise unknown("space of Trajectory", self.space, SPACES)
        if not parents:
            return self._of_vectors(features)
        wanted = (TRACKS,) if self.space == IMAGE else (TRACKS, POSES)
        lacking = [role for role in wanted if role not in parents]
        if lacking or frames is None:
            what = f"no parent {lacking[0]!r}" if lacking else "no frames"
            raise UserError(f"Trajectory has {what}; expected clips, and {' and '.join(wanted)} among its parents.")
        if camera is None and self.is_initializing():  # parameters do not depend on it
            camera = at_rest(*parents[TRACKS]["detections"].score.shape[:2])
        known = tracks_of(self, features, size, frames, camera, parents, edges or {}, labels, train)
        past = histories(known.places, known.motion, known.ids, self.history)
        if (edges or {}).get(TRACKS) == "none":
            past = _forgotten(past)
        seen = past.seen[..., None].astype(jnp.float32)
        unit = PIXELS if self.space == IMAGE else 1.0
        states = jnp.concatenate([past.places / unit, seen, past.motion], axis=-1)
        x = jnp.concatenate([states.reshape(*states.shape[:3], -1), known.places / unit], axis=-1)
        for i in (1, 2):
            x = nn.relu(nn.Dense(self.width, dtype=self.dtype, name=f"layer{i}")(x))
        return {**self._paths(x, unit), **_told(known, past)}

    def _of_vectors(self, x: Any) -> dict[str, jax.Array | Detections]:
        if getattr(x, "ndim", None) != 2:
            shape = getattr(x, "shape", type(x).__name__)
            raise UserError(
                f"Trajectory has neither parents 'tracks' and 'poses', nor vectors (B, F) of histories: features of "
                f"shape {shape}."
            )
        return self._paths(x)

    def _paths(self, x: jax.Array, unit: float = 1.0) -> dict[str, jax.Array | Detections]:
        said = nn.Dense(self.modes * (2 * self.steps + 1), dtype=self.dtype, name="modes")(x).astype(jnp.float32)
        paths, logits = unit * said[..., : -self.modes], said[..., -self.modes :]
        return {"paths": paths.reshape(*x.shape[:-1], self.modes, self.steps, 2), "logits": logits}


def _forgotten(past: History) -> History:
    """A history of which only the last place is known."""
    last = jnp.arange(past.seen.shape[-1]) == past.seen.shape[-1] - 1
    return History(jnp.zeros_like(past.places), jnp.zeros_like(past.motion), past.seen & last)


def _told(known: Tracks, past: History) -> dict[str, Any]:
    told = {
        "last": known.places,
        "ids": known.ids,
        "history": past.places,
        "seen": past.seen,
        "detections": known.detections,
    }
    if not known.true:
        return told
    number = known.ids.shape[-1]
    return told | {"object": jnp.broadcast_to(jnp.arange(number, dtype=jnp.int32), known.ids.shape)}
