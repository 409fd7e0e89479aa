"""Tags: any number of them an example."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtljax.errors import UserError, unknown
from mtljax.models import heads
from mtljax.tasks.drawing.written import clips_of
from mtljax.tasks.labels import fits, numbers_of
from mtljax.tasks.losses.masked import number, where_valid
from mtljax.tasks.metrics.not_finite import NOT_FINITE, of_numbers
from mtljax.tasks.metrics.ranking import average_precision, score_counts
from mtljax.tasks.task import Batch, Metric, Sums, Task

_MOST = 2**23  # counts of scores that a batch may give, beyond which scores are rounded more
_FLOAT16 = 16  # bits


def tags(
    num_tags: int,
    label: str,
    name: str = "tags",
    head: Any = None,
    primary: str = "mAP",
    names: Sequence[str] | None = None,
) -> Task:
    """Any number of tags an example: a sigmoid and binary cross-entropy for each; mAP, F1.

    AP of a tag is the sum over its thresholds of precision times the gain in recall; mAP is the mean over the tags that
    any example has, and the share of those without one is a figure, `unseen`. Scores are rounded to float16, of more
    than 64 tags to fewer bits, and are counted, so that sums add. F1 is that of all tags together where the probability
    is a half or more, 2 TP / (2 TP + FP + FN); F1_macro is the mean over the tags that any example has.

    Args:
        num_tags: K.
        label: batch key, (B, K) of 0 and 1; its mask is (B, 1), or (B, K) where tags are known one by one.
        name: of the task.
        head: features -> logits (B, K); default `heads.Linear(num_tags)`.
        primary: the metric to be judged by: `mAP`, `F1` or `F1_macro`.
        names: of the tags, for pictures.

    Returns:
        The task.

    Raises:
        UserError: for no tags, another number of names, or an unknown metric.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.tags(num_tags=2, label="colours")
        >>> batch = {"colours": jnp.array([[1, 0], [1, 1]]), "colours_valid": jnp.array([[True], [False]])}
        >>> total, count = task.loss(jnp.zeros((2, 2)), batch)
        >>> print(total.round(4), count)
        1.3863 2.0
    """
    if isinstance(num_tags, bool) or not isinstance(num_tags, int) or num_tags < 1:
        raise UserError(f"tags(num_tags={num_tags!r}): expected a whole number, at least 1.")
    if names is not None and len(names) != num_tags:
        raise UserError(f"tags(num_tags={num_tags}): {len(names)} names; expected one for each tag.")
    if primary not in _METRICS:
        raise unknown("primary metric of tags(...):", primary, _METRICS)
    it = _Tags(label, num_tags, tuple(names or map(str, range(num_tags))))
    return Task(
        name=name,
        head=head or heads.Linear(num_tags),
        labels=(label,),
        loss=it.loss,
        metrics=tuple(sorted(of_numbers(*_METRICS.values()), key=lambda metric: metric.name != primary)),
        sums=it.sums,
        constant=it.constant,
        draw=it.draw,
        kind="tags",
        told=(Metric("unseen", False, _unseen),),
        check=it.check,
    )


@dataclasses.dataclass(frozen=True)
class _Tags:
    """What the task computes; attributes as the arguments of `tags`."""

    label: str
    number: int
    names: tuple[str, ...]

    def loss(self, prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        truth, valid = self._read(prediction, batch)
        entropy = optax.sigmoid_binary_cross_entropy(where_valid(prediction, valid), truth.astype(jnp.float32))
        return jnp.sum(jnp.where(valid, entropy, 0.0)), number(valid)

    def sums(self, prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        truth, valid = self._read(prediction, batch)
        taken = prediction >= 0
        bits = min(_FLOAT16, (_MOST // (2 * self.number)).bit_length() - 1)
        return {
            "scores": jax.vmap(lambda x, y, z: score_counts(x, y, z, bits))(prediction.T, truth.T, valid.T),
            "hits": jnp.sum(valid & truth & taken, axis=0, dtype=jnp.int32),
            "misses": jnp.sum(valid & (truth != taken), axis=0, dtype=jnp.int32),
            "there": jnp.sum(valid & truth, axis=0, dtype=jnp.int32),
            "known": jnp.sum(valid, axis=0, dtype=jnp.int32),
            NOT_FINITE: jnp.sum(valid & ~jnp.isfinite(prediction), dtype=jnp.int32),
        }

    def constant(self, labels: Batch) -> np.ndarray:
        """The logit of how often each tag comes."""
        truth, valid = map(np.asarray, self._flags(labels))
        share = (np.sum(valid & (truth > 0), axis=0) + 1e-3) / (valid.sum(axis=0) + 2e-3)
        return np.log(share / (1 - share)).astype(np.float32)

    def draw(self, prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Names on bars, as long as each is likely, the likeliest first; the true ones beside them."""
        truth, valid = map(np.asarray, self._flags(batch))
        found = np.nan_to_num(np.asarray(prediction, np.float64), nan=-60, posinf=60, neginf=-60)
        found = 1 / (1 + np.exp(-found.clip(-60, 60)))
        likely = [[(f"{self.names[i]} {100 * p[i]:.0f} %", p[i]) for i in np.argsort(-p, kind="stable")] for p in found]
        true = [
            [(self.names[i], 1.0) for i in np.flatnonzero(t & v)] or [("none" if v.any() else "no label", 0.0)]
            for t, v in zip(truth > 0, valid, strict=True)
        ]
        return clips_of(likely, batch.get("image")), clips_of(true, batch.get("image"))

    def check(self, labels: Batch) -> str:
        """A sentence on tags that no example has; `UserError` where labels are no 0 and 1."""
        truth, valid = map(np.asarray, self._flags(labels))
        strange = np.setdiff1d(truth[valid], (0, 1))
        if strange.size:
            raise UserError(f"label {self.label!r} holds {strange[0]:g}; expected 0 and 1, for each tag.")
        seen = np.any(valid & (truth > 0), axis=0).tolist()
        lacking = [name for name, there in zip(self.names, seen, strict=True) if not there]
        return f"no example has the tags {', '.join(lacking[:8])}." if lacking and valid.any() else ""

    def _read(self, prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        truth, valid = self._flags(batch)
        fits(prediction, truth, self.label, self.number)
        return truth > 0, valid

    def _flags(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """The label and its mask, (B, K) each."""
        truth, valid = numbers_of(batch, self.label, self.number)
        if truth.ndim != 2:
            raise UserError(f"label {self.label} has shape {truth.shape}; expected (B, {self.number}), flags.")
        return truth, valid


def _seen(sums: Sums) -> np.ndarray:
    return np.asarray(sums["there"]) > 0


def _mean_average_precision(sums: Sums) -> float:
    found = [average_precision(counts) for counts in np.asarray(sums["scores"])[_seen(sums)]]
    return float(np.mean(found)) if found else float("nan")


def _f1(sums: Sums) -> float:
    hits, misses = np.sum(sums["hits"]), np.sum(sums["misses"])
    return float(2 * hits / (2 * hits + misses)) if hits + misses > 0 else float("nan")


def _f1_macro(sums: Sums) -> float:
    hits, misses = (np.asarray(sums[key], np.float64)[_seen(sums)] for key in ("hits", "misses"))
    return float(np.mean(2 * hits / (2 * hits + misses))) if hits.size else float("nan")


def _unseen(sums: Sums) -> float:
    known = np.asarray(sums["known"]) > 0
    return float(np.mean(~_seen(sums)[known])) if known.any() else float("nan")


_METRICS = {
    "mAP": Metric("mAP", True, _mean_average_precision),
    "F1": Metric("F1", True, _f1),
    "F1_macro": Metric("F1_macro", True, _f1_macro),
}
