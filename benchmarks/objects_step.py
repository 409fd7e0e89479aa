"""What the five heads of `configs/objects.py` cost, as ratios of one run; they read `scenes('tracks')`.

python benchmarks/objects_step.py

FLOPs of the heads' forward pass over those of the encoder's, as XLA counts them, in training (a window of 4 frames) and
in evaluation (a whole clip); decoding and association alone over the evaluation step that they are part of, in time;
and what training steps wait for their data.
"""

import argparse
import itertools
import pathlib
import runpy
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import machine

from mtljax.data.pipeline import in_unit_range, inputs_of
from mtljax.objects.decoding import read
from mtljax.objects.detections import detected, tracked
from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.config.parts import Experiment
from mtljax.train.run.start import start
from mtljax.train.spread.parallel import DATA, FSDP
from mtljax.train.step.step import make_eval_step
from mtljax.train.step.told import told_of

CONFIG = pathlib.Path(__file__).parent.parent / "configs" / "objects.py"


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin


def flops_of_heads(model: Any, variables: Any, batch: Any, train: bool) -> float:
    """FLOPs of all heads' forward pass over those of the encoder's."""
    rngs = {"dropout": jax.random.key(0)}

    def apply(method: str) -> Callable[[Any, Any], Any]:
        def run(variables: Any, batch: Any) -> Any:
            batch = in_unit_range(batch)
            told: dict[str, Any] = {"rngs": rngs, "method": method, **told_of(batch, model, method)}
            return model.apply(variables, inputs_of(batch), train=train, mutable=["batch_stats"], **told)

        for axis in (DATA, FSDP):  # of one device, over which statistics of the batch are averaged
            run = jax.vmap(run, in_axes=(None, 0), axis_name=axis)
        return run

    batch = jax.tree.map(lambda x: x[None, None], batch)
    encoder, whole = (
        jax.jit(apply(method)).lower(variables, batch).compile().cost_analysis()["flops"]
        for method in ("encode", "__call__")
    )
    return whole / encoder - 1


def share_of_decoding(parts: Experiment, variables: Any, batch: Any, rounds: int) -> float:
    """Time of reading detections from maps and of associating them, over that of an evaluation step."""
    slots, stride = parts.model.heads["detect"].slots, parts.model.heads["detect"].stride

    def decode(maps: Any, offset: Any) -> Any:
        found = detected(maps["heat"], maps["classes"], maps["size"], maps["offset"], slots, stride)
        return found, tracked(found, read(offset, found.cell), stride)

    def predict(variables: Any, batch: Any) -> Any:
        batch = in_unit_range(batch)
        return parts.model.apply(variables, inputs_of(batch), **told_of(batch, parts.model))

    made = jax.jit(predict)(variables, batch)
    step, alone = jax.jit(make_eval_step(parts.model, parts.tasks)), jax.jit(decode)
    params = variables["params"], {key: tree for key, tree in variables.items() if key != "params"}
    maps = {key: made["detect"][key] for key in ("heat", "classes", "size", "offset")}
    calls = {"step": lambda: step(params, batch), "decode": lambda: alone(maps, made["track"]["offset"])}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn, (name, call) in itertools.product(range(rounds + 1), calls.items()):
        taken = seconds(call)
        if turn:  # the first one compiles
            times[name].append(taken)
    return statistics.median(times["decode"]) / statistics.median(times["step"])


def wait_share(parts: Experiment, fitted: Any, state: Any, steps: int) -> float:
    """The share of the time of training steps that passes until their batch is there."""
    step, batches = parts.train_step(fitted.optimizer), parts.train_batches()
    waited, begin = 0.0, 0.0
    for number in range(steps + 3):
        if number == 3:  # behind what compiles, and what was read ahead meanwhile
            waited, begin = 0.0, time.perf_counter()
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        state, _ = step(state, parts.spread.place_batch(batch))
        jax.block_until_ready(state)
    return waited / (time.perf_counter() - begin)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    config = runpy.run_path(str(CONFIG))["get_config"]()
    config.parallel = "mesh(data=1)"
    parts = experiment.build(checked(config))
    fitted = checks.fit(parts)
    state, _ = start(parts, fitted)
    variables = {"params": state.params, **state.model_state}
    window, clip = next(parts.train_batches()), next(parts.eval_batches(raw=True))
    rows = {
        "heads / encoder, FLOPs, training": flops_of_heads(parts.model, variables, window, train=True),
        "heads / encoder, FLOPs, evaluation": flops_of_heads(parts.model, variables, clip, train=False),
        "decoding and association / evaluation step": share_of_decoding(parts, variables, clip, arguments.rounds),
        "waiting for data / training step": wait_share(parts, fitted, state, arguments.steps),
    }
    print(machine.described())
    for name, ratio in rows.items():
        print(f"{name:<44}{ratio:>8.3f}")


if __name__ == "__main__":
    main()
