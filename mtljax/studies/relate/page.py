"""What a study of relations leaves for readers: three sentences, tables, matrices as CSV, figures, JSON."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mtljax.relations.taxonomy import RANDOM, SELF, Taxonomy
from mtljax.report.drawing.figures import Drawn
from mtljax.studies.relate import agreement, choices, figures, transfers
from mtljax.studies.relate.conclude import Concluded
from mtljax.studies.relate.measures import as_texts
from mtljax.studies.relate.plan import Set

PAGE = "relations.md"


def sentences(found: Concluded) -> list[str]:
    """What to train together at each budget, in three sentences or fewer: by losses, by a look-ahead, by transfer."""
    return [*_of_networks(found), *_of_lookahead(found), *_of_transfer(found)]


def _of_networks(found: Concluded) -> Iterator[str]:
    method = choices.OPTIMAL if any(choices.OPTIMAL in one for one in found.chosen.values()) else choices.SURROGATE
    parts = []
    for budget, methods in found.chosen.items():
        if method in methods:
            worth = (
                "" if math.isnan(methods[method].loss) else f" (loss on {found.study.test} {methods[method].loss:.3f})"
            )
            parts.append(f"with a budget of {budget:g} {_and(methods[method].networks)}{worth}")
    if parts:
        known = found.chosen[max(found.chosen)]
        others = [f"{name} {known[name].loss:.3f}" for name in (choices.TOGETHER, choices.ALONE) if name in known]
        against = f", against {' and '.join(others)}" if others else ""
        yield f"By the losses of networks, train {'; '.join(parts)}{against}."


def _of_lookahead(found: Concluded) -> Iterator[str]:
    parts = [
        f"{_and(methods[choices.TAG].networks)} at {budget:g}"
        for budget, methods in found.chosen.items()
        if choices.TAG in methods
    ]
    if parts:
        yield f"By the look-ahead of one run of all tasks, train {'; '.join(parts)}."
    elif agreement.LOOKAHEAD in found.matrices:
        matrix = found.matrices[agreement.LOOKAHEAD].mean(axis=0)
        source, target = _greatest(matrix)
        tasks = found.study.tasks
        yield f"By the look-ahead of one run of all tasks, steps on {tasks[source]} help {tasks[target]} most."


def _of_transfer(found: Concluded) -> Iterator[str]:
    parts = [f"at {budget:g} {_learned(chosen)}" for budget, chosen in found.taxonomies.items()]
    if parts:
        yield f"By transfer, {'; '.join(parts)}."


def _learned(chosen: Taxonomy) -> str:
    full = [source for source in chosen.sources if source != RANDOM]
    read = [f"{t} from {' with '.join(named)}" for t, named in chosen.transfers.items() if named != (SELF,)]
    parts = [f"learn {_and(full)} in full" if full else "", f"read {_and(read)}" if read else ""]
    return " and ".join(filter(None, parts))


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _greatest(matrix: np.ndarray) -> tuple[int, int]:
    beside = np.where(np.eye(len(matrix), dtype=bool) | ~np.isfinite(matrix), -np.inf, matrix)
    place = int(np.argmax(beside))
    return place // len(matrix), place % len(matrix)


def matrices_of(found: Concluded) -> dict[str, tuple[np.ndarray, Set]]:
    """File's name -> matrix [source][target], the means over seeds, and the tasks of its rows and columns."""
    tasks = found.study.tasks
    known = {name.replace(" ", "-"): (matrix.mean(axis=0), tasks) for name, matrix in found.matrices.items()}
    if found.transfers is not None:
        known["transfer-before-ahp"] = (found.transfers.before, tasks)
        for name, rows in (("transfer-gain", found.transfers.gains), ("transfer-quality", found.transfers.qualities)):
            known[name] = (_first_order(rows, tasks), tasks)
    if found.covariance is not None:
        own, each = found.covariance
        known["task-covariance"] = (np.mean([one.omega for one in each], axis=0), own)
        known["task-correlation"] = (np.mean([one.correlation for one in each], axis=0), own)
    return known


def _first_order(rows: Mapping[str, Mapping[tuple[str, ...], float]], tasks: Set) -> np.ndarray:
    return np.array([[rows[t][(SELF,) if s == t else (s,)] for t in tasks] for s in tasks])


def _csv(matrix: np.ndarray, tasks: Set) -> str:
    """A row a source, a column a target; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", *tasks])
    for task, row in zip(tasks, matrix, strict=True):
        writer.writerow([task, *("" if math.isnan(value) else f"{value:.9g}" for value in row)])
    return text.getvalue()


def drawn(found: Concluded) -> list[Drawn]:
    """All figures."""
    tasks, shown = found.study.tasks, []
    if found.transfers is not None:
        before, after = found.transfers.before, found.transfers.first.mean(axis=0)
        shown.append(
            figures.heat_map(
                "transfer-before-ahp", "Shares of inverse losses, before AHP", before, tasks, distance=True
            )
        )
        shown.append(
            figures.heat_map("transfer-after-ahp", "Transfer affinity, after AHP", after, tasks, distance=True)
        )
        shown.append(figures.task_tree(after, tasks))
        shown += [figures.taxonomy_graph(chosen, budget) for budget, chosen in found.taxonomies.items()]
    for name, matrix in found.matrices.items():
        if name != agreement.AFFINITY:
            shown.append(figures.heat_map(name.replace(" ", "-"), name.capitalize(), matrix.mean(axis=0), tasks))
    if found.covariance is not None:
        own, each = found.covariance
        mean = np.mean([one.correlation for one in each], axis=0)
        shown.append(figures.heat_map("task-correlation", "Correlation of last layers", mean, own))
    if found.curves:
        curves = {name: {b: float(np.mean(each)) for b, each in curve.items()} for name, curve in found.curves.items()}
        alone = float(sum(found.importance.values()))
        shown.append(figures.loss_against_budget(curves, found.random, alone, found.study.test))
    for one in found.agreements:
        if one.relation is not None:
            pair = found.matrices[one.first], found.matrices[one.second]
            shown.append(figures.scatter((one.first, one.second), *pair, tasks, one.relation))
    return shown


def files_of(found: Concluded) -> dict[str, str | bytes]:
    """File's name -> content, but for the JSON."""
    shown = drawn(found)
    tables = {f"{name}.csv": _csv(matrix, tasks) for name, (matrix, tasks) in matrices_of(found).items()}
    return {**tables, **figures.of_files(shown), PAGE: _page(found, shown)}


def _page(found: Concluded, shown: Sequence[Drawn]) -> str:
    study = found.study
    lines = [
        "# Which tasks help which",
        "",
        *(line for one in sentences(found) for line in (one, "")),
        *_about(found),
        "",
    ]
    lines += [*_networks_table(found), *_transfer_table(found), *_agreement_table(found)]
    if found.surrogate is not None:
        off = ["none" if math.isnan(error) else f"{error:.4f}" for error in found.surrogate]
        lines += [f"The surrogate's mean error: {off[0]} on networks that it was fitted to, {off[1]} on others.", ""]
    lines += [line for figure in shown for line in (f"![{figure.alt}]({figure.name}.png)", "")]
    return "\n".join([*lines, f"Measures: {'; '.join(as_texts(study.measures))}.", ""])


def _about(found: Concluded) -> list[str]:
    study, weights = found.study, {task: w for task, w in found.importance.items() if w != 1}
    seeds = f"seed{'s' if len(study.seeds) > 1 else ''} {', '.join(map(str, study.seeds))}"
    number = f"{len(study.tasks)} tasks, {seeds}."
    over = "Losses are over those of a task's own network of full size, summed over tasks; costs are FLOPs over its."
    lines = [f"{number} {over}"]
    if study.test == "validation":
        lines.append("The data has no test split: choices are judged on validation, on which they were made.")
    if weights:
        lines.append(f"Importance: {', '.join(f'{task} {weight:g}' for task, weight in weights.items())}, others 1.")
    if study.halves:
        halves = ", ".join(f"{task} {half.share:.3f}" for task, half in study.halves.items())
        lines.append(f"Measured share of the FLOPs of half-size networks: {halves}.")
    left = {task: n for task, n in (found.transfers.left_out if found.transfers else {}).items() if n}
    if left:
        lines.append(
            f"Left out of tournaments, without a label: {', '.join(f'{n} images of {t}' for t, n in left.items())}."
        )
    return lines


def _networks_table(found: Concluded) -> Iterator[str]:
    if not found.chosen:
        return
    yield from (
        "## Networks for a budget",
        "",
        f"| budget | method | networks | cost | loss on {found.study.test} | of each seed's own choice |",
    )
    yield "|---|---|---|---|---|---|"
    for budget, methods in found.chosen.items():
        for method, one in methods.items():
            loss = "not trained" if math.isnan(one.loss) else f"{one.loss:.4f}"
            each = found.curves.get(method, {}).get(budget, ())
            told = ", ".join("not trained" if math.isnan(x) else f"{x:.4f}" for x in each)
            yield f"| {budget:g} | {method} | {'; '.join(one.networks)} | {one.cost:.3g} | {loss} | {told} |"
        if budget in found.random:
            mean, least, most = found.random[budget]
            told = "none covers all tasks" if math.isnan(mean) else f"{mean:.4f} ({least:.4f} to {most:.4f})"
            yield f"| {budget:g} | {choices.RANDOM} | {choices.RANDOM_DRAWS} draws a seed | | {told} | |"
    yield ""


def _transfer_table(found: Concluded) -> Iterator[str]:
    if found.transfers is None:
        return
    yield from (
        "## Transfers",
        "",
        f"| target | from | affinity | gain | quality | loss on {found.study.test} over its own |",
        "|---|---|---|---|---|---|",
    )
    for target, row in found.transfers.affinities.items():
        for named in sorted(row, key=lambda named: -row[named]):
            gain, quality = found.transfers.gains[target][named], found.transfers.qualities[target][named]
            loss = found.transfers.losses[target][named]
            yield f"| {target} | {' + '.join(named)} | {row[named]:.3f} | {gain:.2f} | {quality:.2f} | {loss:.3f} |"
    heads = f"| budget | learn in full | transfers | affinity | loss on {found.study.test}, sum |"
    yield from ("", heads, "|---|---|---|---|---|")
    for budget, chosen in found.taxonomies.items():
        read = "; ".join(f"{t} from {' + '.join(named)}" for t, named in chosen.transfers.items())
        worth = sum(transfers.worth(found.transfers, chosen).values())
        sources = ", ".join(source for source in chosen.sources if source != RANDOM) or "none"
        yield f"| {budget:g} | {sources} | {read} | {chosen.worth:.3f} | {worth:.4f} |"
    yield ""


def _agreement_table(found: Concluded) -> Iterator[str]:
    if not found.agreements:
        return
    yield from (
        "## Do the measures agree?",
        "",
        "| measure | measure | Spearman's rho | p | least p there can be |",
        "|---|---|---|---|---|",
    )
    for one in found.agreements:
        told = one.relation
        figures_ = f"{told.spearman:.2f} | {told.spearman_p:.3f} | {told.least_p:.3f}" if told else f"{one.why} | | "
        yield f"| {one.first} | {one.second} | {figures_} |"
    yield ""
