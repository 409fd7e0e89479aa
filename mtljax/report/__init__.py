"""Reports of runs that were trained: tables, statistics over seeds, figures, pages. No JAX, no training."""

from mtljax.report import promises
from mtljax.report.delta_table import delta_m_table
from mtljax.report.label_curves import LabelCurve, label_curve
from mtljax.report.page import write
from mtljax.report.pairs import Pair, Transfer, negative_transfer, paired
from mtljax.report.promised import label_curves, promised
from mtljax.report.promises import Promise
from mtljax.report.ranks import Rank, mean_rank
from mtljax.report.reading import read
from mtljax.report.run_page import write_run
from mtljax.report.runs import SINGLE, Comparison, Metric, Run
from mtljax.report.summary import Summary, intervals, summarise
from mtljax.report.tables import latex, markdown, runs_csv
from mtljax.report.training_time import Curve, TaskTime, TrainingTime, training_time

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
