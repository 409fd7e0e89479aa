"""What a prediction of all tasks costs: seconds, and floating-point operations."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mtljax.data.pipeline import for_model, inputs_of
from mtljax.train.config.checks import Fitted
from mtljax.train.config.parts import Experiment
from mtljax.train.spread import hosts
from mtljax.train.spread.program import flops_of
from mtljax.train.step.state import TrainState

BATCHES = {"inference": 1, "inference_8": 8}  # name of a figure -> examples in the batch
_CALLS, _LONG = 20, 2.0  # calls that are timed, and seconds after which no more are, once there are three


def seconds_of_prediction(parts: Experiment, fitted: Fitted, state: TrainState) -> dict[str, float]:
    """Median seconds of a compiled prediction of all tasks, on one device, its inputs there already.

    Args:
        parts: of the run.
        fitted: what is known of them.
        state: whose model predicts.

    Returns:
        `inference`, of one example; `inference_8`, of a batch of eight.
    """
    device = jax.local_devices()[0]
    variables = jax.device_put(hosts.whole({"params": state.params, **state.model_state}), device)

    program, inputs = parts.program("inference", lambda: jax.jit(_predict(parts))), _inputs(parts, fitted)
    return {
        name: _median(
            program, variables, jax.device_put(jax.tree.map(lambda x, n=number: _of_size(x, n), inputs), device)
        )
        for name, number in BATCHES.items()
    }


def forward_flops(parts: Experiment, fitted: Fitted) -> float | None:
    """FLOPs of one example through the networks of all tasks, as XLA counts them before it optimises; None if unknown.

    Args:
        parts: of the run.
        fitted: what is known of them.
    """
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), _inputs(parts, fitted))
    return flops_of(jax.jit(_predict(parts)).lower(fitted.shapes, one))


def _predict(parts: Experiment) -> Callable[[Any, Any], Any]:
    def predict(variables: Any, inputs: Any) -> Any:
        labels = {"labels": inputs} if _reads_labels(parts) else {}
        return parts.model.apply(variables, inputs_of(inputs), camera=inputs.get("camera"), **labels)

    return predict


def _inputs(parts: Experiment, fitted: Fitted) -> dict[str, Any]:
    return dict(fitted.sample) if _reads_labels(parts) else for_model(dict(fitted.sample))


def _reads_labels(parts: Experiment) -> bool:
    """Whether labels stand in the place of a parent's prediction, also where nothing trains."""
    return "truth" in (getattr(parts.model, "edges", None) or {}).values()


def _of_size(array: Any, number: int) -> np.ndarray:
    """So many examples of a batch, over and over where there are fewer."""
    return np.take(np.asarray(array), np.arange(number) % len(array), axis=0)


def _median(program: Any, variables: Any, inputs: Any) -> float:
    jax.block_until_ready(program(variables, inputs))  # compiles
    taken, begin = [], time.perf_counter()
    while len(taken) < 3 or (len(taken) < _CALLS and time.perf_counter() - begin < _LONG):
        start = time.perf_counter()
        jax.block_until_ready(program(variables, inputs))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
