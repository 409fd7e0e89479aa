"""What is trained and how: the optimiser groups of a run as a table."""

import ast
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from mtljax.models import SHARED
from mtljax.train.config import own

_HEADINGS = ("group", "parameters", "optimiser", "schedule")


def group_table(groups: Any, params: Any, optimizers: Mapping[str, str]) -> str:
    """Every optimiser group: its number of parameters, its optimiser and what the learning rate does.

    Args:
        groups: a tree as `params` of group names.
        params: of the model.
        optimizers: group -> call-string; a group that is not in it has that of `shared`.

    Example:
        >>> import numpy as np
        >>> params = {"encoder": np.zeros((3, 4)), "head": np.zeros(4)}
        >>> optimizers = {"shared": "adam(cosine_decay_schedule(1e-3, steps))", "depth": "set_to_zero()"}
        >>> print(group_table({"encoder": "shared", "head": "depth"}, params, optimizers))
        group   parameters  optimiser       schedule
        shared          12  adam(schedule)  cosine_decay_schedule(0.001, steps)
        depth            4  set_to_zero()   constant
    """
    counts: dict[str, int] = {}
    for group, leaf in zip(jax.tree.leaves(groups), jax.tree.leaves(params), strict=True):
        counts[group] = counts.get(group, 0) + leaf.size
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for group, count in counts.items():
        optimizer, schedule = _apart(optimizers.get(group, optimizers.get(SHARED, "")))
        rows.append((group, f"{count:,}", optimizer, schedule))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.rjust(w) if i == 1 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
             for row in rows]  # fmt: skip
    return "\n".join("  ".join(line).rstrip() for line in lines)


def task_order(tasks: Iterable[str]) -> str:
    """A line that tells in which order losses, weights and preferences are.

    Example:
        >>> print(task_order({"depth": ..., "segment": ...}))
        losses, weights and preferences are in the order depth, segment
    """
    return f"losses, weights and preferences are in the order {', '.join(tasks)}"


def _apart(text: str) -> tuple[str, str]:
    """A call-string without its schedules, and those."""
    replacing = _Schedules()
    optimizer = own.as_written(ast.unparse(replacing.visit(own.parse(text))))
    return optimizer, "; ".join(replacing.found) or "constant"


class _Schedules(ast.NodeTransformer):
    """Puts the word `schedule` in the place of calls of optax's schedules."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """One call."""
        if isinstance(node.func, ast.Name) and node.func.id.endswith(("_schedule", "join_schedules")):
            self.found.append(own.as_written(ast.unparse(node)))
            return ast.Name("schedule")
        return self.generic_visit(node)
