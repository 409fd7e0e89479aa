"""Which tasks help which: pure functions of small arrays, for NumPy and SciPy alone.

Matrices between tasks are [source][target], or [companion][task]. Mistakes in what is given are `UserError`.
"""

from mtljax.relations.grouping import Grouping, group, group_scores
from mtljax.relations.networks import Choice, Network, choose_networks, higher_order, judge, pair_gain
from mtljax.relations.taxonomy import Taxonomy, taxonomy

__all__ = [
    "Choice",
    "Grouping",
    "Network",
    "Taxonomy",
    "choose_networks",
    "group",
    "group_scores",
    "higher_order",
    "judge",
    "pair_gain",
    "taxonomy",
]
