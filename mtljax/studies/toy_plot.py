"""The picture of the toy landscape: every method's trajectories in the plane of parameters and of losses."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from mtljax.studies.toy_landscape import PARETO_X2, SCALES, Trajectories, landscape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


def draw(file: pathlib.Path, found: Mapping[str, Trajectories]) -> None:
    """Writes a grid of pictures: a column a method; a row of parameters for each scale, and one of losses.

    Args:
        file: where to.
        found: method -> its trajectories.
    """
    import matplotlib.pyplot as plt  # which takes a second, and is wanted at the end of this study alone

    rows = len(SCALES) + 1
    figure, axes = plt.subplots(rows, len(found), figsize=(2.6 * len(found) + 0.6, 2.6 * rows), squeeze=False)
    grid = _grid()
    for column, (method, where) in enumerate(found.items()):
        for row, scale in enumerate(SCALES):
            axis = axes[row, column]
            _parameters(axis, where.points[row], grid)
            if row == 0:
                axis.set_title(method, fontsize=10)
            if column == 0:
                axis.set_ylabel(f"scale of loss 1: {scale}\n$x_2$", fontsize=9)
        _losses(axes[-1, column], where.losses[0])
        if column == 0:
            axes[-1, column].set_ylabel(f"scale {SCALES[0]}\nloss 2", fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x1, x2 = np.meshgrid(np.linspace(-10, 10, 200), np.linspace(-10, 10, 200))
    losses = jnp.vectorize(landscape, signature="(p)->(t)")(jnp.stack([x1, x2], axis=-1))
    return x1, x2, np.asarray(losses.mean(-1))


def _parameters(axis: "Axes", points: np.ndarray, grid: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    axis.contour(*grid, levels=12, colors="0.75", linewidths=0.6)
    axis.plot([-7, 7], [PARETO_X2] * 2, color="0.35", linewidth=4, alpha=0.5, solid_capstyle="butt")
    for colour, path in zip(_COLOURS, points, strict=True):
        axis.plot(*path.T, color=colour, linewidth=1.3)
        axis.plot(*path[0], "o", color="black", markersize=3)
        axis.plot(*path[-1], "*", color=colour, markersize=9, markeredgecolor="black", markeredgewidth=0.5)
    axis.set(xlim=(-10, 10), ylim=(-10, 10))
    axis.set_xlabel("$x_1$", fontsize=8)
    axis.tick_params(labelsize=7)


def _losses(axis: "Axes", losses: np.ndarray) -> None:
    line = np.stack([np.linspace(-7, 7, 100), np.full(100, PARETO_X2)], axis=-1)
    front = np.asarray(jnp.vectorize(landscape, signature="(p)->(t)")(line))
    axis.plot(*front.T, color="0.35", linewidth=4, alpha=0.5, solid_capstyle="butt")
    for colour, path in zip(_COLOURS, losses, strict=True):
        axis.plot(*path.T, color=colour, linewidth=1.3)
        axis.plot(*path[0], "o", color="black", markersize=3)
        axis.plot(*path[-1], "*", color=colour, markersize=9, markeredgecolor="black", markeredgewidth=0.5)
    axis.set_xlabel("loss 1", fontsize=8)
    axis.tick_params(labelsize=7)
