"""Networks of half the FLOPs: every `width` in a config's call-strings made smaller, until the measured share fits."""

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import ml_collections

from mtljax.errors import UserError
from mtljax.studies.comparison.values import with_values
from mtljax.train.config import own
from mtljax.train.config.checks import fit
from mtljax.train.config.default import RunConfig, checked
from mtljax.train.config.experiment import build
from mtljax.train.config.parts import Experiment
from mtljax.train.run.inference import forward_flops

SHARE = 0.5
_KEYS = ("width", "widths")


@dataclasses.dataclass(frozen=True)
class Half:
    """A network of about half the FLOPs.

    Attributes:
        model: call-string.
        task: call-string.
        share: of the FLOPs of a prediction by the network of full size.
    """

    model: str
    task: str
    share: float


def widths_in(text: str) -> list[int]:
    """The widths in a call-string.

    Example:
        >>> widths_in("MultiTask(encoder=ResNet(depth=10, width=16))"), widths_in("MLP(widths=[8, 4])")
        ([16], [8, 4])
    """
    return [cast(int, node.value) for node in _widths(own.parse(text))]


def narrowed(text: str, factor: float) -> str:
    """A call-string with every width times a factor, at least 1.

    Example:
        >>> narrowed("MultiTask(encoder=ResNet(depth=10, width=16))", 0.7)
        'MultiTask(encoder=ResNet(depth=10, width=11))'
    """
    tree = own.parse(text)
    for node in _widths(tree):
        node.value = max(1, round(cast(int, node.value) * factor))
    return own.as_written(ast.unparse(tree))


def half_of(config: RunConfig, task: str, model: str = "") -> Half:
    """The network of one task that has half the FLOPs of a prediction, or as little less as widths allow.

    Args:
        config: of the network of full size, of that task alone.
        task: its name.
        model: call-string of the smaller model; by default that of the config with smaller widths, the task's too.

    Raises:
        UserError: where the config's model names no width, its FLOPs are not told, or no width is small enough.
    """
    text, own_text = config.model, config.tasks[task]
    full = _flops(config, text, own_text, task)
    if model:
        return Half(model, own_text, _flops(config, model, own_text, task) / full)
    widest = max(widths_in(text), default=0)
    if not widest:
        raise UserError(
            f"model {text!r} names no width that could be smaller in a network of half the FLOPs; expected one, such "
            "as ResNet(width=64), or networks(half='...') with a model."
        )
    found, low, high = None, 1, widest - 1
    while low <= high:
        middle = (low + high + 1) // 2 if found is None else (low + high) // 2
        smaller, own_smaller = narrowed(text, middle / widest), narrowed(own_text, middle / widest)
        share = _flops(config, smaller, own_smaller, task) / full
        if share <= SHARE:
            found, low = Half(smaller, own_smaller, share), middle + 1
        else:
            high = middle - 1
    if found is None:
        raise UserError(
            f"no width makes a network of {task!r} of half the FLOPs out of model {text!r}; expected larger ones, or "
            "networks(half='...') with a model."
        )
    return found


def built_here(config: Mapping[str, Any]) -> Experiment:
    """The parts of a run for one device, whatever it is spread over: to look at shapes, FLOPs, data, what it left."""
    return build(checked(ml_collections.ConfigDict({**config, "parallel": "mesh(data=1)"})))


def _flops(config: RunConfig, model: str, text: str, task: str) -> float:
    parts = built_here(with_values(config.to_dict(), {"model": model, f"tasks.{task}": text}))
    found = forward_flops(parts, fit(parts))
    if not found:
        raise UserError("this backend of JAX does not tell FLOPs; give networks(half='...') a model on another one.")
    return found


def _widths(tree: ast.expr) -> list[ast.Constant]:
    keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in _KEYS]
    inside: list[Any] = [node for keyword in keywords for node in ast.walk(keyword.value)]
    return [node for node in inside if isinstance(node, ast.Constant) and type(node.value) is int]
