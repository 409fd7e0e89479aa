"""Which tasks help which: pure functions of small arrays, for NumPy and SciPy alone.

Matrices between tasks are [source][target], or [companion][task]. Mistakes in what is given are `UserError`.
"""

from mtljax.relations.consistency import (
    ActivePaths,
    Agreement,
    active_paths,
    consistency_coefficients,
    consistency_energy,
    energy_agreement,
    roc_auc,
)
from mtljax.relations.covariance import LinearTasks, TaskCovariance, learn_covariance, task_covariance
from mtljax.relations.grouping import Grouping, group, group_scores
from mtljax.relations.lookahead import cosines, first_order, lookahead
from mtljax.relations.networks import Choice, Network, choose_networks, higher_order, judge, pair_gain
from mtljax.relations.permutation import Relation, both_ways, permutation_test
from mtljax.relations.taxonomy import Taxonomy, taxonomy
from mtljax.relations.transfer import Priorities, ahp, distance_shown, gain, quality, tournament

__all__ = [
    "ActivePaths",
    "Agreement",
    "Choice",
    "Grouping",
    "LinearTasks",
    "Network",
    "Priorities",
    "Relation",
    "TaskCovariance",
    "Taxonomy",
    "active_paths",
    "ahp",
    "both_ways",
    "choose_networks",
    "consistency_coefficients",
    "consistency_energy",
    "cosines",
    "distance_shown",
    "energy_agreement",
    "first_order",
    "gain",
    "group",
    "group_scores",
    "higher_order",
    "judge",
    "learn_covariance",
    "lookahead",
    "pair_gain",
    "permutation_test",
    "quality",
    "roc_auc",
    "task_covariance",
    "taxonomy",
    "tournament",
]
