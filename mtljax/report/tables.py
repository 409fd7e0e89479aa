"""A comparison as files for other programs: one line a run as CSV, and its table in LaTeX and Markdown."""

from collections.abc import Sequence

from mtljax.report.runs import Comparison


def runs_csv(comparison: Comparison) -> str:
    """One line a run: method, seed, task, share, status, message, step, every metric, and what the run recorded.

    Args:
        comparison: whose runs, all of them, those that failed too.

    Returns:
        CSV with a heading. Numbers with all their digits; empty where a run has none.
    """
    raise NotImplementedError


def latex(comparison: Comparison, metrics: Sequence[str] | None = None) -> str:
    """The table of a comparison for LaTeX with booktabs: best bold, second underlined, ± standard error over seeds.

    Args:
        comparison: with its baseline.
        metrics: the columns, `<task>/<metric>`; None for the primary one of each task.

    Raises:
        UserError: for an unknown metric or baseline.
    """
    raise NotImplementedError


def markdown(comparison: Comparison, metrics: Sequence[str] | None = None) -> str:
    """The table of a comparison in Markdown, and below it what failed; arguments and errors as of `latex`."""
    raise NotImplementedError
