"""Reports of runs that were trained: tables, statistics over seeds, figures, pages. No JAX, no training."""

from mtljax.report.delta_table import delta_m_table
from mtljax.report.pairs import Pair, Transfer, negative_transfer, paired
from mtljax.report.ranks import Rank, mean_rank
from mtljax.report.runs import SINGLE, Comparison, Metric, Run
from mtljax.report.summary import Summary, intervals, summarise

__all__ = [
    "SINGLE",
    "Comparison",
    "Metric",
    "Pair",
    "Rank",
    "Run",
    "Summary",
    "Transfer",
    "delta_m_table",
    "intervals",
    "mean_rank",
    "negative_transfer",
    "paired",
    "summarise",
]
