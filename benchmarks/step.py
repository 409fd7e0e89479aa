"""What a training step costs, in ratios of one run: time and FLOPs of the quick start's step.

python benchmarks/step.py

Every variant runs in this process, in turns, on the same batch; a ratio is that of the medians over the turns.
"""

import argparse
import os
import runpy
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import machine
import optax

from mtljax.data.pipeline import in_unit_range
from mtljax.train import TrainState
from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.config.parts import Experiment
from mtljax.train.run.start import start
from mtljax.train.step.ahead import HELD_OUT

QUICKSTART = Path(__file__).parent.parent / "configs" / "quickstart.py"
EQUAL, PCGRAD = "equal()", "pcgrad(), shared"
VARIANTS = {
    EQUAL: ("equal()", "shared"),
    PCGRAD: ("pcgrad()", "shared"),
    "pcgrad(), last_layer": ("pcgrad()", "last_layer"),
    "pcgrad(), features": ("pcgrad()", "features"),
    "gradnorm(), shared": ("gradnorm()", "shared"),
    "auto_lambda()": ("auto_lambda()", "shared"),
    "moml()": ("moml()", "shared"),
    "forum()": ("forum()", "shared"),
}


def prepared(balance: str, measure: str) -> tuple[Experiment, Any, TrainState]:
    """The parts of the quick start with another balancer, its optimiser and first state."""
    config = runpy.run_path(str(QUICKSTART))["get_config"]()
    config.balance, config.measure, config.parallel = balance, measure, "mesh(data=1)"
    parts = experiment.build(checked(config))
    fitted = checks.fit(parts)
    return parts, fitted.optimizer, start(parts, fitted)[0]


def by_hand(parts: Experiment, state: TrainState, batch: Any) -> tuple[Callable, tuple]:
    """A plain `jax.jit` loop's step with the same model, losses and optimisers, as anyone would write it."""
    model, tasks = parts.model, parts.tasks
    optax_tx = optax.partition(parts.transforms, model.groups(state.params))

    def loss(params: Any, batch: Any) -> jax.Array:
        predictions = model.apply({"params": params}, batch["image"], train=True, camera=batch.get("camera"))
        found = [task.loss(predictions[name], batch) for name, task in tasks.items()]
        return sum(total / jnp.maximum(count, 1.0) for total, count in found)

    def step(params: Any, optimizer: Any, batch: Any) -> tuple:
        value, gradient = jax.value_and_grad(loss)(params, batch)
        updates, optimizer = optax_tx.update(gradient, optimizer, params)
        return optax.apply_updates(params, updates), optimizer, value

    params = jax.tree.map(jnp.copy, state.params)
    arguments = (params, optax_tx.init(params), batch)
    return jax.jit(step, donate_argnums=(0, 1)).lower(*arguments).compile(), arguments


def encoder_backward_flops(model: Any, params: Any, batch: Any) -> float:
    """FLOPs of one backward pass through the encoder to its parameters."""

    def encode(params: Any) -> Any:
        return model.apply({"params": params}, batch["image"], train=True, method="encode")

    def both(params: Any, cotangent: Any) -> Any:
        features, back = jax.vjp(encode, params)
        return features, back(cotangent)[0]

    cotangent = jax.eval_shape(encode, params)
    return flops(jax.jit(both).lower(params, cotangent).compile()) - flops(jax.jit(encode).lower(params).compile())


def flops(compiled: Any) -> float:
    """As XLA counts them."""
    return compiled.cost_analysis()["flops"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="beside equal()")
    parser.add_argument("--busy", action="store_true", help=machine.BUSY)
    arguments = parser.parse_args()
    clock = machine.clock_of(arguments.busy)
    chosen = {name: VARIANTS[name] for name in VARIANTS if name == EQUAL or name in arguments.only}
    parts, _, state = prepared(*VARIANTS[EQUAL])
    raw = in_unit_range(next(parts.train_batches()))
    batch = parts.spread.place_batch(raw)
    steps, states, counted, given = {}, {}, {}, {"by hand": batch}
    compiled, (params, optimizer, _) = by_hand(parts, state, batch)
    steps["by hand"], states["by hand"], counted["by hand"] = compiled, (params, optimizer), flops(compiled)
    backward = encoder_backward_flops(parts.model, state.params, raw)
    for name, variant in chosen.items():
        parts, optax_tx, state = prepared(*variant)
        step = parts.train_step(optax_tx)
        other = {HELD_OUT: in_unit_range(next(parts.train_batches())[HELD_OUT])} if parts.balancer.needs else {}
        given[name] = parts.spread.place_batch({**raw, **other})
        compiled = step.lower(state, given[name]).compile()
        steps[name] = lambda state, batch, f=compiled, noise=step.noise: f(state, batch, noise)
        states[name], counted[name] = (state,), flops(compiled)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(arguments.turns + 2):
        for name, step in steps.items():
            begin = clock()
            *states[name], _ = step(*states[name], given[name])
            jax.block_until_ready(states[name])
            if turn >= 2:
                times[name].append(clock() - begin)
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    implied = counted[EQUAL] + (len(parts.tasks) - 1) * backward
    print(f"{machine.described()}; load {os.getloadavg()[0]:.1f}")
    print(f"{'step':<22} {'ms':>8} {'time / equal()':>15} {'FLOPs / equal()':>16}")
    for name, seconds in median.items():
        print(f"{name:<22} {1e3 * seconds:8.1f} {seconds / median[EQUAL]:15.3f} {counted[name] / counted[EQUAL]:16.3f}")
    print(f"equal() / by hand: time {median[EQUAL] / median['by hand']:.3f}")
    if PCGRAD in chosen:
        print(f"pcgrad() shared: FLOPs / those of DESIGN's table {counted[PCGRAD] / implied:.3f}")


if __name__ == "__main__":
    main()
