"""Golden numbers of task relations, read once."""

import functools
import json

import numpy as np

from mtljax.relations import Network


@functools.cache
def read(shared, name):
    """The numbers of one file of `golden/relations`."""
    return json.loads((shared / "golden" / "relations" / name).read_text())


def matrix(rows):
    """An array of numbers, where null is NaN."""
    return np.array(rows, np.float64)


def networks(setting, split):
    """The candidates of a setting that have losses on a split, and the places that they have in the file."""
    found = [
        (place, Network({setting["tasks"][t]: row[split][t] for t in row["tasks"]}, row["cost"]))
        for place, row in enumerate(setting["candidates"])
        if all(row[split][t] is not None for t in row["tasks"])
    ]
    return [place for place, _ in found], [network for _, network in found]


def transfers(affinities, targets, order, sources):
    """Published affinities as `taxonomy` takes them: of these targets and sources, up to an order."""
    rows = {target: {} for target in targets}
    for name, affinity in affinities.items():
        *named, target = name.split("__")
        if target in rows and len(named) <= order and {target if n == "self" else n for n in named} <= set(sources):
            rows[target][tuple(named)] = affinity
    return rows
