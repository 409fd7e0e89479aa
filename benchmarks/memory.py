"""What surgery keeps and computes, by network, number of tasks and way, from the compiled step: nothing is run.

python benchmarks/memory.py --network=mlp --tasks=3,8,40
python benchmarks/memory.py --network=resnet50 --tasks=3 --parallel='mesh(data=8);mesh(fsdp=8)'
python benchmarks/memory.py --network=vit --side=256 --tasks=3 --balance='upgrad()' --device=tpu:v5e:2x4

The step is one of `mtljax.train` with plain SGD, of tasks that classify. "One gradient" is `equal()`, whose losses are
added before the one backward pass. Temporary memory is what XLA sets aside beside arguments and results, here in
multiples of the parameters' bytes, on one of the devices; with activations, which all ways need alike. XLA's CPU
compiler orders operations so that many may run at one time; `--least` has it order them for memory. With `--device` the
program is that of a GPU or TPU, made by its own compiler, though none is here (`elsewhere.py`).
"""

import argparse
import dataclasses
import itertools
import os
import re

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import time
from typing import Any

import elsewhere
import jax
import jax.numpy as jnp
import machine
import optax

import mtljax as mtl
from mtljax import train
from mtljax.train.config.callstring import resolve
from mtljax.train.config.experiment import balancer_of
from mtljax.train.config.namespaces import functions
from mtljax.train.spread import parallel

NETWORKS = {
    "mlp": lambda: mtl.encoders.MLP((512,) * 12),
    "resnet50": lambda: mtl.encoders.ResNet(depth=50, norm="group"),
    "vit": lambda: mtl.encoders.ViT("B", patch=16),
}
WAYS: dict[str, dict[str, Any]] = {
    "one gradient": {},
    "unrolled": {"streamed": False},
    "streamed": {"streamed": True},
    "vmap": {"vectorised": True},
    "streamed+vmap": {"vectorised": True, "streamed": True},
    "features": {"measure": "features"},
}
QUICKLY = {"xla_backend_optimization_level": 0}  # of machine code, which is not looked at
LEAST = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}  # rather than what may run at one time


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A step to be measured.

    Attributes:
        network: of `NETWORKS`.
        number: of tasks.
        balance: a balancer's call-string.
        way: of `WAYS`.
        parallel: a strategy's call-string; empty for one device.
        side: of the images, in pixels.
    """

    network: str
    number: int
    balance: str
    way: str
    parallel: str
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a batch's inputs."""
        return (64, 512) if self.network == "mlp" else (8, self.side, self.side, 3)


def lowered(wanted: Wanted, device: elsewhere.Elsewhere | None) -> tuple[Any, Any]:
    """The training step, and the shapes of its parameters."""
    names = [f"task{t}" for t in range(wanted.number)]
    tasks = {name: mtl.tasks.classify(num_classes=10, label=name, name=name) for name in names}
    model = mtl.MultiTask(NETWORKS[wanted.network](), {name: task.head for name, task in tasks.items()})
    single = jax.ShapeDtypeStruct((2, *wanted.shape[1:]), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), single)
    params = variables["params"]
    tx = train.partition(dict.fromkeys(("shared", *names), optax.sgd(1e-3)), model.groups(params))
    balancer = balancer_of(wanted.balance, wanted.number, seed=0)
    spread = None
    if wanted.parallel:
        known = functions(parallel, ("pmap", "mesh"))
        spread = resolve(wanted.parallel, known, kind="parallel", returns=parallel.Spread)
    step = train.make_train_step(model, tasks, balancer, tx, spread=spread, **WAYS[wanted.way])

    def first() -> tuple[Any, Any]:
        batch = {"image": jnp.zeros(wanted.shape)}
        batch |= {name: jnp.zeros(wanted.shape[:1], jnp.int32) for name in names}
        batch |= {f"{name}_valid": jnp.ones(wanted.shape[:1], bool) for name in names}
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables)
        return train.create(zeros, balancer, tx), batch

    if device is not None:
        return device.lowered(step, *jax.eval_shape(first)), params
    if spread is None:
        return jax.jit(step).lower(*jax.eval_shape(first)), params
    state, batch = first()
    return spread.train(step).lower(spread.place_state(state), spread.place_batch(batch)), params


def measured(wanted: Wanted, options: dict[str, Any], device: elsewhere.Elsewhere | None) -> str:
    """A line of the table."""
    begin = time.perf_counter()
    program, params = lowered(wanted, device)
    compiled = program.compile(compiler_options=options)
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params)]
    temporary = compiled.memory_analysis().temp_size_in_bytes
    flops = (compiled.cost_analysis() or {}).get("flops", float("nan"))  # XLA does not tell for a GPU that is not here
    host = len(re.findall(r"\bS\(5\)", compiled.as_text()))  # XLA's memory space of the host
    return (
        f"{wanted.network:<9}{wanted.number:>3} {wanted.parallel or 'one device':<15} {wanted.balance:<12}"
        f"{wanted.way:<15}{temporary / 2**20:>9.0f}{temporary / sum(sizes):>8.2f}"
        f"{wanted.number * max(sizes) / sum(sizes):>8.2f}{flops / 1e9:>10.2f}{host:>6}"
        f"{time.perf_counter() - begin:>9.0f}"
    )


def main() -> None:
    """Prints the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mlp", help=f"of {', '.join(NETWORKS)}, with commas between them")
    parser.add_argument("--tasks", default="3,8", help="numbers of tasks, with commas between them")
    parser.add_argument("--balance", default="imtl_g()", help="methods that see the Gramian, with ; between them")
    parser.add_argument("--parallel", default="", help="strategies over 8 simulated devices with ; between them")
    parser.add_argument("--ways", default="one gradient,unrolled,streamed", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--side", type=int, default=64, help="of the images, in pixels")
    parser.add_argument("--least", action="store_true", help="have the compiler order operations for memory")
    parser.add_argument("--device", default="", help="one that is not here, such as tpu:v5e:2x4 or cuda:FILE")
    arguments = parser.parse_args()
    if arguments.device and (arguments.parallel or arguments.least):
        parser.error("--device is one device with a compiler of its own: expected neither --parallel nor --least.")
    print(machine.described())
    device = elsewhere.Elsewhere(arguments.device) if arguments.device else None
    options = {} if device else QUICKLY | LEAST if arguments.least else QUICKLY
    where = f"compiled for {device.kind}" if device else "on one device"
    print(f"{where}: MiB and multiples of the parameters' bytes; T times the largest leaf; what lies on the host")
    print("network    T parallel        balancer    way             temporary  / params T*leaf   GFLOP  host  seconds")
    asked = itertools.product(
        arguments.network.split(","),
        map(int, arguments.tasks.split(",")),
        arguments.parallel.split(";"),
        arguments.balance.split(";"),
        arguments.ways.split(","),
    )
    told = set()
    for network, number, strategy, chosen, way in asked:
        balance = "equal()" if way == "one gradient" else chosen
        wanted = Wanted(network, number, balance, way, strategy, arguments.side)
        if wanted not in told:
            print(measured(wanted, options, device), flush=True)
        told.add(wanted)


if __name__ == "__main__":
    main()
