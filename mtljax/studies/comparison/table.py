"""The table of a comparison in Markdown."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mtljax.report.runs import SINGLE
from mtljax.tasks import delta_m

Results = dict[str, dict[str, dict[str, float]]]  # method -> seed -> figure -> value


def table(results: Results, primary: Mapping[str, tuple[str, bool]], methods: Sequence[str]) -> str:
    """A Markdown table: a row a method, a column a task.

    Where `single` is among the methods, the last column is the mean relative gain over it, in per cent (Maninis et
    al., Attentive Single-Tasking of Multiple Tasks, CVPR 2019, equation 4): positive is better, the
    opposite of `mtljax.delta_m`. Its standard error holds the baseline's own; see `gain_over`.

    Args:
        results: method -> seed -> figure -> value.
        primary: figure of each task -> (its heading, whether higher is better).
        methods: in the order of the rows.

    Example:
        >>> runs = {"equal()": {"0": {"a/error": 1.0}, "1": {"a/error": 3.0}}}
        >>> print(table(runs, {"a/error": ("a error (down)", False)}, ["equal()"]))
        | method | seeds | a error (down) |
        |---|---|---|
        | `equal()` | 2 | 2.0000 ± 1.0000 |
    """
    alone = results.get(SINGLE) if SINGLE in methods else None
    headings = ["method", "seeds", *(heading for heading, _ in primary.values())]
    lines = [headings + (["gain over single, % (up; -delta_m)"] if alone else [])]
    for method in methods:
        runs = results.get(method, {})
        if not runs:
            continue
        row = [f"`{method}`", str(len(runs)), *(_mean([run[key] for run in runs.values()], 4) for key in primary)]
        if alone:
            row.append(_shown(*gain_over(runs, alone, primary), 2) if method != SINGLE else "")
        lines.append(row)
    lines.insert(1, ["---"] * len(lines[0]))
    text = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([text[0], text[1].replace(" ", ""), *text[2:]])


def gain_over(
    runs: Mapping[str, Mapping[str, float]],
    alone: Mapping[str, Mapping[str, float]],
    primary: Mapping[str, tuple[str, bool]],
) -> tuple[float, float | None]:
    """The gain of a method over a baseline in per cent, and its standard error, the baseline's included.

    Args:
        runs: of the method: seed -> figure -> value.
        alone: of the baseline, likewise.
        primary: the figures that count -> (heading, whether higher is better).

    Returns:
        The mean gain of the runs over the baseline's mean. The standard error over seeds of the gains over the same
        seed's baseline, where both have the same seeds; else the root of the sum of squares of the two parts' own, each
        against the other's mean. None where either has but one seed.

    Example:
        >>> primary = {"error": ("error", False)}
        >>> alone = {"0": {"error": 1.0}, "1": {"error": 2.0}}
        >>> gain, error = gain_over({"0": {"error": 0.5}, "1": {"error": 1.0}}, alone, primary)
        >>> print(round(gain, 2), error)  # a half, with either seed
        50.0 0.0
    """
    base, mean = _means(alone, primary), _means(runs, primary)
    gains = [_gain(run, base, primary) for run in runs.values()]
    if min(len(runs), len(alone)) == 1:
        return float(np.mean(gains)), None
    if set(runs) == set(alone):
        error = _error([_gain(run, alone[seed], primary) for seed, run in runs.items()])
    else:
        error = float(np.hypot(_error(gains), _error([_gain(mean, other, primary) for other in alone.values()])))
    return float(np.mean(gains)), error


def _means(runs: Mapping[str, Mapping[str, float]], keys: Iterable[str]) -> dict[str, float]:
    return {key: float(np.mean([run[key] for run in runs.values()])) for key in keys}


def _gain(run: Mapping[str, float], base: Mapping[str, float], primary: Mapping[str, tuple[str, bool]]) -> float:
    figures, baseline = ({key: {"primary": values[key]} for key in primary} for values in (run, base))
    directions = {key: {"primary": higher} for key, (_, higher) in primary.items()}
    return 0.0 - delta_m(figures, baseline, directions)  # and never -0.0


def _mean(values: Sequence[float], digits: int) -> str:
    return _shown(float(np.mean(values)), _error(values) if len(values) > 1 else None, digits)


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _shown(mean: float, error: float | None, digits: int) -> str:
    return f"{mean:.{digits}f}" if error is None else f"{mean:.{digits}f} ± {error:.{digits}f}"
