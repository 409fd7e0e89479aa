"""What a study of relations has found, as JSON takes it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtljax.studies.relate import transfers
from mtljax.studies.relate.agreement import Agreement
from mtljax.studies.relate.conclude import Concluded
from mtljax.studies.relate.measures import as_texts
from mtljax.studies.relate.page import sentences


def as_json(found: Concluded) -> dict[str, Any]:
    """All that was found, as JSON takes it; null for what is no number."""
    study = found.study
    return _plain({
        "version": 1,
        "tasks": study.tasks,
        "seeds": study.seeds,
        "splits": study.splits,
        "measures": as_texts(study.measures),
        "budgets": found.budgets,
        "importance": found.importance,
        "halves": {task: vars(half) for task, half in study.halves.items()},
        "matrices": {name: matrix for name, matrix in found.matrices.items()},
        "agreements": [
            {"first": one.first, "second": one.second, "why": one.why, **_figures(one)}
            for one in found.agreements
        ],
        "networks": {
            f"{budget:g}": {
                name: {"networks": one.networks, "cost": one.cost, "losses": one.losses, "loss": one.loss,
                       "seeds": found.curves.get(name, {}).get(budget, [])}
                for name, one in methods.items()
            }
            for budget, methods in found.chosen.items()
        },
        "random": {f"{budget:g}": band for budget, band in found.random.items()},
        "transfers": _transfers_json(found),
        "taxonomies": {
            f"{budget:g}": {"sources": one.sources, "worth": one.worth, "cost": one.cost,
                            "transfers": one.transfers,
                            "losses": transfers.worth(found.transfers, one) if found.transfers else {}}
            for budget, one in found.taxonomies.items()
        },
        "surrogate": found.surrogate,
        "covariance": None if found.covariance is None else {
            "tasks": found.covariance[0],
            "seeds": [one._asdict() for one in found.covariance[1]],
        },
        "sentences": sentences(found),
    })  # fmt: skip


def _figures(one: Agreement) -> dict[str, Any]:
    return one.relation._asdict() if one.relation else {}


def _transfers_json(found: Concluded) -> Any:
    if found.transfers is None:
        return None
    names = ("affinities", "gains", "qualities", "losses")
    rows = {name: getattr(found.transfers, name) for name in names}
    joined = {
        name: {t: {" + ".join(k): x for k, x in row.items()} for t, row in of.items()} for name, of in rows.items()
    }
    return {**joined, "left_out": found.transfers.left_out, "before": found.transfers.before}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
