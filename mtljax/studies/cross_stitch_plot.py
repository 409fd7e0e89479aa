"""What cross-stitch units learned: as text and as a picture."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def unit_table(units: Mapping[str, np.ndarray], tasks: Sequence[str]) -> str:
    """The mixing weights of every unit: mean and standard deviation over the channels.

    Args:
        units: stage -> alpha (K, K, C), or (K, K, 1).
        tasks: names of the K tasks.

    Example:
        >>> print(unit_table({"pool1": np.array([[[0.9, 0.7], [0.1, 0.3]], [[0.2, 0.2], [0.8, 0.8]]])}, ["a", "b"]))
        stage  network  of a         of b
        pool1  a        0.80 ± 0.10  0.20 ± 0.10
        pool1  b        0.20 ± 0.00  0.80 ± 0.00
    """
    rows = [("stage", "network", *(f"of {task}" for task in tasks))]
    for stage, alpha in units.items():
        for task, weights in zip(tasks, alpha, strict=True):
            rows.append((stage, task, *(f"{w.mean():.2f} ± {w.std():.2f}" for w in weights)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def draw(file: pathlib.Path, units: Mapping[str, np.ndarray], tasks: Sequence[str]) -> None:
    """Writes a picture: a part for each network, in it for each unit the weight of every channel of all networks.

    Args:
        file: where to.
        units: stage -> alpha (K, K, C), or (K, K, 1).
        tasks: names of the K tasks.
    """
    import matplotlib.pyplot as plt  # which takes a second, and is wanted at the end of this study alone

    figure, axes = plt.subplots(1, len(tasks), figsize=(1.2 + 3.6 * len(tasks), 3.2), sharey=True, squeeze=False)
    for i, axis in enumerate(axes[0]):
        for j, task in enumerate(tasks):
            _weights(axis, [alpha[i, j] for alpha in units.values()], j, len(tasks), f"of {task}")
        axis.set_title(f"what the network of {tasks[i]} takes", fontsize=10)
        axis.set_xticks(range(len(units)), list(units), fontsize=8)
        axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axis.tick_params(labelsize=8)
    axes[0, 0].set_ylabel(r"$\alpha$", fontsize=10)
    axes[0, -1].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _weights(axis: Any, weights: Sequence[np.ndarray], number: int, of: int, label: str) -> None:
    """The channels' weights as points beside the stage's place, and their means joined."""
    rng = np.random.default_rng(0)
    colour, place = _COLOURS[number % len(_COLOURS)], np.arange(len(weights)) + (number - (of - 1) / 2) * 0.3
    for x, values in zip(place, weights, strict=True):
        axis.plot(x + rng.uniform(-0.1, 0.1, len(values)), values, ".", color=colour, markersize=2, alpha=0.35)
    axis.plot(place, [values.mean() for values in weights], "o-", color=colour, markersize=4, linewidth=1, label=label)
