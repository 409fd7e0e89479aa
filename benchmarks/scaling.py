"""What a step keeps and sends on eight devices, by strategy, read from the compiled program: nothing is run.

python benchmarks/scaling.py
python benchmarks/scaling.py --depth 50 --width 64

Four tasks on one ResNet, as simulated devices; bytes are those of one device.
"""

import argparse
import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import machine
import optax

import mtljax as mtl
from mtljax import train
from mtljax.train.config.experiment import balancer_of
from mtljax.train.spread.collectives import collectives

TASKS = {name: mtl.tasks.classify(num_classes=10, label=name, name=name) for name in "abcd"}
BATCH, SIDE = 32, 32
STRATEGIES = {
    "pmap": train.pmap,
    "mesh(data=8)": train.mesh,
    "mesh(data=4, fsdp=2)": lambda: train.mesh(fsdp=2),
    "mesh(data=2, fsdp=4)": lambda: train.mesh(fsdp=4),
    "mesh(fsdp=8)": lambda: train.mesh(fsdp=8),
}
KINDS = ("all-reduce", "reduce-scatter", "all-gather")


def compiled(name: str, balance: str, depth: int, width: int):
    """The compiled training step, and the number of parameters."""
    spread = STRATEGIES[name]()
    encoder = mtl.encoders.ResNet(depth=depth, width=width, norm="group", stem="small")
    model = mtl.MultiTask(encoder, {task: TASKS[task].head for task in TASKS})
    balancer = balancer_of(balance, len(TASKS), seed=0)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.ones((2, SIDE, SIDE, 3)))
    tx = train.partition(dict.fromkeys(("shared", *TASKS), optax.adam(1e-3)), model.groups(variables["params"]))
    step = spread.train(train.make_train_step(model, TASKS, balancer, tx, spread=spread))
    labels = {task: jnp.zeros(BATCH, jnp.int32) for task in TASKS}
    batch = {"image": jnp.zeros((BATCH, SIDE, SIDE, 3))} | labels
    batch |= {f"{task}_valid": jnp.ones(BATCH, bool) for task in TASKS}
    state = spread.place_state(train.create(variables, balancer, tx))
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    return step.lower(state, spread.place_batch(batch)).compile(), count


def main() -> None:
    """Prints a table a balancer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--balance", default="equal();pcgrad()", help="call-strings with ; between them")
    arguments = parser.parse_args()
    print(machine.described())
    for balance in arguments.balance.split(";"):
        print(f"\n{balance}, MB on each of 8 devices\n{'parallel':<22}{'state':>8}{'temporary':>11}", end="")
        print("".join(f"{kind:>16}" for kind in KINDS), f"{'GFLOP':>8}")
        for name in STRATEGIES:
            program, count = compiled(name, balance, arguments.depth, arguments.width)
            memory = program.memory_analysis()
            sent = {kind: sum(c.num_bytes for c in collectives(program) if c.kind == kind) for kind in KINDS}
            line = f"{name:<22}{memory.argument_size_in_bytes / 1e6:>8.1f}{memory.temp_size_in_bytes / 1e6:>11.1f}"
            line += "".join(f"{sent[kind] / 1e6:>16.1f}" for kind in KINDS)
            print(line, f"{program.cost_analysis()['flops'] / 1e9:>8.2f}", flush=True)
        print(f"{count / 1e6:.1f} million parameters of 4 bytes; {len(TASKS)} tasks")


if __name__ == "__main__":
    main()
