"""Numbers: of a whole example, or of every pixel."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtljax.errors import UserError, unknown
from mtljax.models import heads
from mtljax.tasks.drawing.colours import coloured
from mtljax.tasks.drawing.written import clips_of, number_text
from mtljax.tasks.labels import fits, numbers_of
from mtljax.tasks.losses.masked import number, where_valid
from mtljax.tasks.metrics.not_finite import NOT_FINITE, of_numbers
from mtljax.tasks.task import Batch, Metric, Sums, Task

LOSSES = ("huber", "l2", "l1", "gaussian")
_NARROWEST, _WIDEST = -14.0, 14.0  # logarithms of variances, of errors over `std`
_FAR = 3.0  # a mean, or the logarithm of a spread, of labels beyond which a note is made


def regress(
    label: str,
    loss: str = "huber",
    outputs: int = 1,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    delta: float = 1.0,
    name: str = "regress",
    head: Any = None,
    primary: str = "MAE",
) -> Task:
    """Numbers, such as an age or a price: MAE, RMSE and R² in the label's own unit.

    The loss is one of e = (prediction - label) / std, added up over all numbers that are labelled: `huber`, e²/2 up to
    delta and `delta (|e| - delta/2)` beyond (Huber 1964); `l2`, e²; `l1`, `|e|`; `gaussian`, (e²/v + log(2 pi v)) / 2
    with a variance v that the head predicts as well (Nix and Weigend 1994). R² is 1 - the sum of squared errors over
    that of squared deviations from the mean, averaged over outputs; NaN where the labels of one do not differ.

    Args:
        label: batch key, (B,) or (B, outputs) float; with a head of maps, (B, s, H, W, outputs). Each number may have a
            mask of its own.
        loss: `huber`, `l2`, `l1` or `gaussian`.
        outputs: how many numbers an example, or a pixel, has.
        mean: of the labels, about; one, or one for each output. The default head begins there.
        std: their standard deviation, about, likewise: it makes losses of one size whatever the unit is.
        delta: of `huber`, in units of `std`.
        name: of the task.
        head: features -> (B, outputs) in the label's unit, or (B, s, H, W, outputs); for `gaussian` twice as many
            channels, the second half logarithms of variances in that unit. Default: `heads.Linear`, scaled by `mean`
            and `std`.
        primary: the metric to be judged by: `MAE`, `RMSE` or `R2`. The constant predictor is the median for `MAE`, else
            the mean.

    Returns:
        The task.

    Raises:
        UserError: for an unknown loss or metric, or numbers that cannot be.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.regress(label="age", loss="l1", std=10.0)
        >>> batch = {"age": jnp.array([30.0, 50.0]), "age_valid": jnp.array([True, False])}
        >>> total, count = task.loss(jnp.array([[25.0], [0.0]]), batch)
        >>> print(total, count)
        0.5 1.0
    """
    centre, spread = _checked(loss, outputs, mean, std, delta)
    if primary not in _METRICS:
        raise unknown("primary metric of regress(...):", primary, _METRICS)
    it = _Regression(label, loss, outputs, centre, spread, delta, by_median=primary == "MAE")
    return Task(
        name=name,
        head=head or heads.Linear(it.channels, output=functools.partial(_in_unit, centre, spread, it.gaussian)),
        labels=(label,),
        loss=it.total,
        metrics=tuple(sorted(of_numbers(*_METRICS.values()), key=lambda metric: metric.name != primary)),
        sums=it.sums,
        host_sums=it.host_sums,
        constant=it.constant,
        draw=it.draw,
        kind="gaussian" if it.gaussian else "numbers",
        check=it.note,
    )


@dataclasses.dataclass(frozen=True)
class _Regression:
    """What the task computes; attributes as the arguments of `regress`, `centre` and `spread` (outputs,) float32."""

    label: str
    loss: str
    outputs: int
    centre: np.ndarray
    spread: np.ndarray
    delta: float
    by_median: bool

    @property
    def gaussian(self) -> bool:
        return self.loss == "gaussian"

    @property
    def channels(self) -> int:
        return 2 * self.outputs if self.gaussian else self.outputs

    def total(self, prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        p, truth, valid = self._judged(prediction, batch)
        error = (p - truth) / self.spread
        log_variance = where_valid(prediction[..., self.outputs :], valid) if self.gaussian else None
        return jnp.sum(jnp.where(valid, self._loss(error, log_variance), 0.0)), number(valid)

    def sums(self, prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        p, truth, valid = self._judged(prediction, batch)
        error, places = jnp.where(valid, p - truth, 0.0), tuple(range(p.ndim - 1))
        finite = jnp.isfinite(p)
        if self.gaussian:
            finite = finite & jnp.isfinite(prediction[..., self.outputs :])
        return {
            "AbsErr": jnp.sum(jnp.abs(error), axis=places),
            "square": jnp.sum(error**2, axis=places),
            "numbers": jnp.sum(valid, axis=places, dtype=jnp.int32),
            NOT_FINITE: jnp.sum(valid & ~finite, dtype=jnp.int32),
        }

    def host_sums(self, prediction: np.ndarray, batch: Batch) -> dict[str, np.ndarray]:
        """The labels' own sums, in float64: in float32 the spread of large numbers would be lost."""
        fits(prediction, self._read(batch)[0], self.label, self.channels)
        known = self._known(batch)
        return {"labels": np.array([x.sum() for x in known]), "label_square": np.array([(x**2).sum() for x in known])}

    def constant(self, labels: Batch) -> np.ndarray:
        middle = np.median if self.by_median else np.mean
        known = self._known(labels)
        best = [middle(x) if x.size else centre for x, centre in zip(known, self.centre, strict=True)]
        if not self.gaussian:
            return np.array(best, np.float32)
        units = zip(known, best, self.spread, strict=True)
        variances = [np.mean((x - b) ** 2) if x.size else unit**2 for x, b, unit in units]
        return np.array([*best, *np.log(np.maximum(variances, 1e-12))], np.float32)

    def draw(self, prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Maps in colours, by their first channel; numbers in writing, on bars within the range of the labels."""
        truth, valid = self._read(batch)
        prediction = np.asarray(prediction, np.float32)[..., : self.outputs]
        known = truth[valid]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        if truth.ndim == 5:
            found = np.nan_to_num(prediction[..., 0], posinf=high, neginf=low)
            return coloured(found, low, high), coloured(truth[..., 0], low, high, valid[..., 0])

        def line(value: float, there: bool) -> tuple[str, float]:
            share = np.nan_to_num((value - low) / max(high - low, 1e-9), posinf=0, neginf=0)
            return (number_text(value), float(share)) if there else ("no label", 0.0)

        truths = [[line(*one) for one in zip(*row, strict=True)] for row in zip(truth, valid, strict=True)]
        found = [[line(value, True) for value in row] for row in prediction]
        return clips_of(found, batch.get("image")), clips_of(truths, batch.get("image"))

    def note(self, labels: Batch) -> str:
        """What there is to tell of labels that are far from where the head begins."""
        for i, (known, centre, unit) in enumerate(zip(self._known(labels), self.centre, self.spread, strict=True)):
            if known.size < 2:
                continue
            mean, std = known.mean(), max(known.std(), 1e-9)
            which = f"output {i} of " if self.outputs > 1 else ""
            if np.ptp(known) == 0:
                return (
                    f"{which}the labels {self.label!r} are {mean:.4g} in all of {known.size}: nothing can be learned."
                )
            if abs(mean - centre) > _FAR * unit or abs(np.log(std / unit)) > _FAR:
                return (
                    f"{which}the labels {self.label!r} have mean {mean:.4g} and deviation {std:.4g}, far from "
                    f"regress(mean={centre:g}, std={unit:g}): training takes long to get there. Say what they are: "
                    f"mean={mean:.3g}, std={std:.3g}."
                )
        return ""

    def _judged(self, prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The prediction and the truth, float32, and where there is one: (..., outputs) each."""
        truth, valid = numbers_of(batch, self.label, self.outputs)
        fits(prediction, truth, self.label, self.channels)
        return where_valid(prediction[..., : self.outputs], valid), truth.astype(jnp.float32), valid

    def _loss(self, error: jax.Array, log_variance: jax.Array | None) -> jax.Array:
        if log_variance is not None:
            scaled = log_variance - 2 * jnp.log(self.spread)
            scaled = jnp.where(jnp.isfinite(scaled), jnp.clip(scaled, _NARROWEST, _WIDEST), jnp.nan)
            return 0.5 * (error**2 * jnp.exp(-scaled) + scaled + jnp.log(2 * jnp.pi))
        if self.loss == "huber":
            return optax.huber_loss(error, delta=self.delta)
        return jnp.abs(error) if self.loss == "l1" else error**2

    def _read(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        truth, valid = numbers_of(batch, self.label, self.outputs)
        return np.asarray(truth), np.asarray(valid)

    def _known(self, batch: Batch) -> list[np.ndarray]:
        """The labels of each output that are there, float64."""
        truth, valid = self._read(batch)
        return [truth[..., i][valid[..., i]].astype(np.float64) for i in range(self.outputs)]


def _checked(loss: str, outputs: int, mean: Any, std: Any, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """(outputs,) float32 each: where the head begins, and the unit of errors."""
    if loss not in LOSSES:
        raise unknown("loss of regress(...):", loss, LOSSES)
    if isinstance(outputs, bool) or not isinstance(outputs, int) or outputs < 1:
        raise UserError(f"regress(outputs={outputs!r}): expected a whole number, at least 1.")
    found = []
    for key, value in (("mean", mean), ("std", std)):
        numbers = np.array([np.nan]) if isinstance(value, str) else np.atleast_1d(np.asarray(value, np.float64))
        fit = numbers.shape in ((1,), (outputs,)) and np.isfinite(numbers).all()
        if not fit or (key == "std" and numbers.min() <= 0):
            least = " above 0" if key == "std" else ""
            raise UserError(f"regress({key}={value!r}): expected a number{least}, or {outputs} of them.")
        found.append(np.broadcast_to(numbers, outputs).astype(np.float32))
    if not 0 < delta < np.inf:
        raise UserError(f"regress(delta={delta!r}): expected a number above 0.")
    return found[0], found[1]


def _in_unit(centre: np.ndarray, spread: np.ndarray, gaussian: bool, x: jax.Array) -> jax.Array:
    """What a head says, about 0 and of size 1, in the label's unit; logarithms of variances too."""
    value = jnp.asarray(centre) + spread * x[..., : len(centre)]
    if not gaussian:
        return value
    return jnp.concatenate([value, x[..., len(centre) :] + 2 * jnp.log(spread)], axis=-1)


def _mae(sums: Sums) -> float:
    return _over(np.sum(sums["AbsErr"]), np.sum(sums["numbers"]))


def _rmse(sums: Sums) -> float:
    return float(np.sqrt(_over(np.sum(sums["square"]), np.sum(sums["numbers"]))))


def _r2(sums: Sums) -> float:
    square, labels, squares, numbers = (
        np.asarray(sums[key], np.float64) for key in ("square", "labels", "label_square", "numbers")
    )
    there = numbers > 0
    deviation = squares[there] - labels[there] ** 2 / numbers[there]
    if not there.any() or (deviation <= 1e-12 * squares[there]).any():
        return float("nan")
    return float(np.mean(1 - square[there] / deviation))


def _over(total: Any, count: Any) -> float:
    return float(total / count) if count > 0 else float("nan")


_METRICS = {"MAE": Metric("MAE", False, _mae), "RMSE": Metric("RMSE", False, _rmse), "R2": Metric("R2", True, _r2)}
