"""Figures of a study of relations: heat-maps, the taxonomy as a graph, a tree of tasks, losses, measures as points."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.relations import Relation, distance_shown
from mtljax.relations.taxonomy import RANDOM, SELF, Taxonomy
from mtljax.report.drawing.figures import (
    COLOURS,
    GRID,
    INK,
    Drawn,
    file_name,
    finished,
    legend,
    legend_height,
    panel,
    style,
    titled,
)
from mtljax.studies.relate.plan import Set

Band = tuple[float, float, float]  # mean, least, greatest


def heat_map(name: str, title: str, matrix: np.ndarray, tasks: Set, *, distance: bool = False) -> Drawn:
    """A matrix between tasks in colours, its numbers written in.

    Args:
        name: of the files.
        title: of the figure.
        matrix: (T, T) [source][target]; NaN is left white.
        tasks: its rows and columns.
        distance: whether colours are of exp(-20 P), dark where that is near 0; else of the numbers, dark is high.
    """
    shown = distance_shown(matrix) if distance else -matrix
    with panel(0.42 * len(tasks) + 0.5, labels=[f"{task}__" for task in tasks], below=0.75) as (figure, axes):
        low, high = _range(shown, distance)
        colours = "viridis" if distance else "cividis_r"
        axes.imshow(np.ma.masked_invalid(shown), cmap=colours, aspect="auto", vmin=low, vmax=high)
        for (i, j), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
                axes.text(j, i, f"{value:.3g}", ha="center", va="center", size=7.5, bbox=box)
        axes.set_xticks(range(len(tasks)), tasks, rotation=25, ha="right")
        axes.set_yticks(range(len(tasks)), tasks)
        axes.set_xlabel("target; a row is a source")
        axes.grid(visible=False)
        titled(figure, title)
        return finished(figure, name, f"{title}: a row a source, a column a target, {', '.join(tasks)}.")


def _range(shown: np.ndarray, distance: bool) -> tuple[float, float]:
    """The numbers that have the first and the last colour."""
    finite = shown[np.isfinite(shown)]
    return (0.0, 1.0) if distance or not finite.size else (float(finite.min()), float(finite.max()))


def taxonomy_graph(chosen: Taxonomy, budget: float) -> Drawn:
    """Sources on the left, targets on the right, combinations of several sources between them."""
    targets = list(chosen.transfers)
    sources = [source for source in dict.fromkeys((*chosen.sources, RANDOM)) if _used(chosen, source)]
    with panel(0.42 * max(len(targets), len(sources)) + 0.4, labels=["_"], below=0.2) as (figure, axes):
        places = {source: (0.0, _height(i, len(sources))) for i, source in enumerate(sources)}
        for i, (target, named) in enumerate(chosen.transfers.items()):
            end, through = (1.0, _height(i, len(targets))), [target if one == SELF else one for one in named]
            knot = (0.6, end[1]) if len(through) > 1 else end
            for source in through:
                own = named == (SELF,)
                _arrow(axes, places[source], knot, COLOURS[2] if own else COLOURS[0], arrow=knot is end)
            if knot is not end:
                axes.plot(*knot, "s", color=COLOURS[1], markersize=5)
                _arrow(axes, knot, end, COLOURS[0], arrow=True)
            _named(axes, end, target, "left")
        for source, place in places.items():
            _named(axes, place, source, "right")
        axes.set_xlim(-0.45, 1.45)
        axes.set_ylim(-0.1, 1.1)
        axes.axis("off")
        title = f"What to learn in full, and what to transfer: budget {budget:g}"
        titled(figure, title)
        lines = [f"{target} from {' + '.join(named)}" for target, named in chosen.transfers.items()]
        return finished(figure, file_name("taxonomy", f"{budget:g}"), f"{title}: {'; '.join(lines)}.")


def _used(chosen: Taxonomy, source: str) -> bool:
    return any(
        source in (target if one == SELF else one for one in named) for target, named in chosen.transfers.items()
    )


def _height(place: int, count: int) -> float:
    return 1 - (place + 0.5) / count


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], colour: str, *, arrow: bool) -> None:
    look = {"arrowstyle": "-|>" if arrow else "-", "color": colour, "shrinkA": 6, "shrinkB": 6, "lw": 1.2}
    axes.annotate("", xy=end, xytext=start, arrowprops=look)


def _named(axes: Any, place: tuple[float, float], name: str, side: str) -> None:
    axes.plot(*place, "o", color=INK, markersize=4)
    shift = 0.05 if side == "left" else -0.05
    axes.text(place[0] + shift, place[1], name, ha=side, va="center")


def task_tree(rows: np.ndarray, tasks: Set) -> Drawn:
    """Tasks by average-linkage clustering of what they give to others.

    Args:
        rows: (T, T) [source][target] affinities; of each task its row.
        tasks: names of the rows.
    """
    from scipy.cluster.hierarchy import dendrogram, linkage

    with panel(0.3 * len(tasks) + 0.4, labels=tasks, below=0.5) as (figure, axes):
        found = dendrogram(linkage(rows, "average"), labels=list(tasks), no_plot=True)
        for heights, places in zip(found["dcoord"], found["icoord"], strict=True):
            axes.plot(heights, places, color=COLOURS[0])
        axes.set_yticks([5 + 10 * i for i in range(len(tasks))], found["ivl"])
        axes.set_xlabel("distance of what they give, by average linkage")
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        titled(figure, "Tasks that serve others alike")
        return finished(figure, "task-tree", f"A tree of tasks; leaves from below: {', '.join(found['ivl'])}.")


def loss_against_budget(
    curves: Mapping[str, Mapping[float, float]], spread: Mapping[float, Band], alone: float, split: str
) -> Drawn:
    """Loss of what each method chooses, against the budget; random choices as a band.

    Args:
        curves: method -> budget -> loss; NaN where there is none.
        spread: budget -> mean, least and greatest loss of random choices.
        alone: loss of all networks of full size, each alone, drawn as a line.
        split: whose loss it is: `test`, or `validation` where the data has no test split.
    """
    names = [*curves, "random (mean and range)"]
    with panel(2.6, below=0.5 + legend_height(names)) as (figure, axes):
        handles = []
        for i, curve in enumerate(curves.values()):
            look = style(i)
            budgets = sorted(curve)
            options = {"color": look.colour, "linestyle": look.dashes, "marker": look.marker, "markersize": 4}
            handles += axes.plot(budgets, [curve[budget] for budget in budgets], **options)
        budgets = sorted(spread)
        mean, least, most = (np.array([spread[budget][k] for budget in budgets]) for k in range(3))
        axes.fill_between(budgets, least, most, color=GRID, alpha=0.6, linewidth=0)
        handles += axes.plot(budgets, mean, color="#7a7a7a", linestyle=":", marker=".")
        axes.axhline(alone, color=INK, linewidth=0.6)
        axes.set_xlabel("budget (FLOPs over those of one network)")
        axes.set_ylabel(f"loss on {split}, sum over tasks")
        legend(figure, handles, names)
        titled(figure, "What the networks that each method chooses are worth")
        return finished(figure, "loss-against-budget", _told(curves, split))


def _told(curves: Mapping[str, Mapping[float, float]], split: str) -> str:
    lines = [
        f"{name} " + ", ".join(f"{b:g}: {loss:.4g}" for b, loss in sorted(c.items())) for name, c in curves.items()
    ]
    return f"Loss on {split} against the budget; {'; '.join(lines)}."


def scatter(names: tuple[str, str], one: np.ndarray, other: np.ndarray, tasks: Set, relation: Relation) -> Drawn:
    """One measure against another, a point a pair of tasks, with bars of a standard deviation over seeds.

    Args:
        names: of the measures.
        one: (seeds, T, T) [source][target].
        other: likewise.
        tasks: names of rows and columns.
        relation: rho and p, for the title.
    """
    with panel(2.8, below=0.5) as (figure, axes):
        for i, source in enumerate(tasks):
            for j, target in enumerate(tasks):
                if i != j:
                    x, y = one[:, i, j], other[:, i, j]
                    bars = {"xerr": x.std(ddof=1), "yerr": y.std(ddof=1)} if len(x) > 1 else {}
                    axes.errorbar(
                        x.mean(),
                        y.mean(),
                        fmt="o",
                        color=COLOURS[i % len(COLOURS)],
                        markersize=3.5,
                        elinewidth=0.6,
                        **bars,
                    )
                    label, shift = f"{source} → {target}", (4, 3)
                    axes.annotate(label, (x.mean(), y.mean()), shift, textcoords="offset points", size=6)
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
        left, right = axes.get_xlim()
        axes.set_xlim(left, right + 0.25 * (right - left))  # room for the labels
        rho = f"rho {relation.spearman:.2f}, p {relation.spearman_p:.3f}"
        titled(figure, f"{rho} ({relation.permutations} permutations)")
        name = file_name("scatter", *(name.replace(" ", "-") for name in names))
        return finished(figure, name, f"{names[1]} against {names[0]}, a point a pair of tasks: {rho}.")


def of_files(drawn: Sequence[Drawn]) -> dict[str, str | bytes]:
    """File name -> content of figures."""
    found: dict[str, str | bytes] = {}
    for figure in drawn:
        found |= {f"{figure.name}.svg": figure.svg, f"{figure.name}.png": figure.png}
    return found
