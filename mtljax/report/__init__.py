"""Reports of runs that were trained: tables, statistics over seeds, figures, pages. No JAX, no training."""

from mtljax.report.page.comparison_page import write
from mtljax.report.page.run_page import write_run
from mtljax.report.reading.comparisons import read
from mtljax.report.runs import SINGLE, Comparison, Metric, Run
from mtljax.report.statistics import promises
from mtljax.report.statistics.delta_table import delta_m_table
from mtljax.report.statistics.label_curves import LabelCurve, label_curve
from mtljax.report.statistics.pairs import Pair, Transfer, negative_transfer, paired
from mtljax.report.statistics.promised import label_curves, promised
from mtljax.report.statistics.promises import Promise
from mtljax.report.statistics.ranks import Rank, mean_rank
from mtljax.report.statistics.summary import Summary, intervals, summarise
from mtljax.report.statistics.training_time import Curve, TaskTime, TrainingTime, training_time
from mtljax.report.tables import latex, markdown, runs_csv

__all__ = [
    "SINGLE",
    "Comparison",
    "Curve",
    "LabelCurve",
    "Metric",
    "Pair",
    "Promise",
    "Rank",
    "Run",
    "Summary",
    "TaskTime",
    "TrainingTime",
    "Transfer",
    "delta_m_table",
    "intervals",
    "label_curve",
    "label_curves",
    "latex",
    "markdown",
    "mean_rank",
    "negative_transfer",
    "paired",
    "promised",
    "promises",
    "read",
    "runs_csv",
    "summarise",
    "training_time",
    "write",
    "write_run",
]
