"""Whether measures of how tasks are related agree: every two matrices, by ranks and by permuting the tasks."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mtljax import relations
from mtljax.errors import UserError
from mtljax.relations import Relation
from mtljax.studies.relate.plan import Set

GAIN, LOOKAHEAD, COSINE, AFFINITY = "pair gain", "look-ahead", "cosine", "transfer affinity"


class Agreement(NamedTuple):
    """Two measures held against each other.

    Attributes:
        first: name of a measure.
        second: likewise.
        relation: how they agree; None where that is not defined.
        why: it is not, in words.
    """

    first: str
    second: str
    relation: Relation | None
    why: str = ""


def agreements(matrices: Mapping[str, np.ndarray], tasks: Set) -> list[Agreement]:
    """Every two measures, of the means over seeds.

    Args:
        matrices: name -> (seeds, T, T) [source][target]; the diagonal is not looked at.
        tasks: names of rows and columns.
    """
    found = []
    for (first, one), (second, other) in itertools.combinations(matrices.items(), 2):
        try:
            relation, why = relations.permutation_test(one.mean(axis=0), other.mean(axis=0), tasks), ""
        except UserError as error:
            relation, why = None, str(error)
        found.append(Agreement(first, second, relation, why))
    return found
