"""What the runs of a comparison are judged by."""

from typing import Any

import ml_collections

from mtljax.train.config import default, experiment


def metrics_of(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """Task -> its primary metric, and metric -> whether higher is better, as `run.json` has them.

    Raises:
        UserError: for a mistake in the config's tasks.
    """
    return {
        name: {
            "primary": task.primary.name,
            "metrics": {metric.name: metric.higher_is_better for metric in task.metrics},
        }
        for name, task in experiment.tasks_of(default.checked(config)).items()
    }


def primary_metrics(tasks: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """The figure by which each task is judged -> its heading in a table, and whether higher is better.

    Args:
        tasks: as `metrics_of` has them.

    Example:
        >>> primary_metrics({"depth": {"primary": "AbsRel", "metrics": {"AbsRel": False, "delta1": True}}})
        {'depth/AbsRel': ('depth AbsRel (down)', False)}
    """
    found = {}
    for name, about in tasks.items():
        higher = about["metrics"][about["primary"]]
        found[f"{name}/{about['primary']}"] = (f"{name} {about['primary']} ({'up' if higher else 'down'})", higher)
    return found
