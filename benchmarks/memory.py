"""What surgery keeps and computes, by network, number of tasks and way, from the compiled step: nothing is run.

python benchmarks/memory.py --network=mlp --tasks=3,8,40
python benchmarks/memory.py --network=resnet50 --tasks=3 --parallel='mesh(data=8);mesh(fsdp=8)'

The step is one of `mtljax.train` with plain SGD, of tasks that classify. "One gradient" is `equal()`, whose losses are
added before the one backward pass. Temporary memory is what XLA sets aside beside arguments and results, here in
multiples of the parameters' bytes, on one of the devices; with activations, which all ways need alike. XLA's CPU
compiler orders operations so that many may run at one time; `--least` has it order them for memory.
"""

import argparse
import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import time
from typing import Any

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
    "mlp": (lambda: mtl.encoders.MLP((512,) * 12), (64, 512)),
    "resnet50": (lambda: mtl.encoders.ResNet(depth=50, norm="group"), (8, 64, 64, 3)),
    "vit": (lambda: mtl.encoders.ViT("B", patch=16), (8, 64, 64, 3)),
}
WAYS = {
    "one gradient": {},
    "unrolled": {"streamed": False},
    "streamed": {"streamed": True},
    "vmap": {"vectorised": True},
    "streamed+vmap": {"vectorised": True, "streamed": True},
}
QUICKLY = {"xla_backend_optimization_level": 0}  # of machine code, which is not looked at
LEAST = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}  # rather than what may run at one time


def lowered(network: str, number: int, balance: str, spread: parallel.Spread | None, way: dict[str, bool]) -> Any:
    """The training step, and the shapes of its parameters."""
    encoder, shape = NETWORKS[network]
    names = [f"task{t}" for t in range(number)]
    tasks = {name: mtl.tasks.classify(num_classes=10, label=name, name=name) for name in names}
    model = mtl.MultiTask(encoder(), {name: task.head for name, task in tasks.items()})
    variables = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((2, *shape[1:]), jnp.float32))
    params = variables["params"]
    tx = train.partition(dict.fromkeys(("shared", *names), optax.sgd(1e-3)), model.groups(params))
    balancer = balancer_of(balance, number, seed=0)
    vectorised, streamed = way.get("vectorised", False), way.get("streamed", False)
    step = train.make_train_step(model, tasks, balancer, tx, spread=spread, vectorised=vectorised, streamed=streamed)

    def first() -> tuple[Any, Any]:
        batch = {"image": jnp.zeros(shape)} | {name: jnp.zeros(shape[:1], jnp.int32) for name in names}
        batch |= {f"{name}_valid": jnp.ones(shape[:1], bool) for name in names}
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables)
        return train.create(zeros, balancer, tx), batch

    if spread is None:
        return jax.jit(step).lower(*jax.eval_shape(first)), params
    state, batch = first()
    return spread.train(step).lower(spread.place_state(state), spread.place_batch(batch)), params


def measured(network: str, number: int, parallel_by: str, name: str, balance: str, options: dict[str, Any]) -> str:
    """A line of the table."""
    chosen = "equal()" if name == "one gradient" else balance
    spread = None
    if parallel_by:
        known = functions(parallel, ("pmap", "mesh"))
        spread = resolve(parallel_by, known, kind="parallel", returns=parallel.Spread)
    begin = time.perf_counter()
    program, params = lowered(network, number, chosen, spread, WAYS[name])
    compiled = program.compile(compiler_options=options)
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params)]
    temporary = compiled.memory_analysis().temp_size_in_bytes
    flops = compiled.cost_analysis()["flops"]
    return (
        f"{network:<9}{number:>3} {parallel_by or 'one device':<15} {name:<15}{temporary / 2**20:>9.0f}"
        f"{temporary / sum(sizes):>8.2f}{number * max(sizes) / sum(sizes):>8.2f}{flops / 1e9:>10.2f}"
        f"{time.perf_counter() - begin:>9.0f}"
    )


def main() -> None:
    """Prints the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mlp", help=f"of {', '.join(NETWORKS)}, with commas between them")
    parser.add_argument("--tasks", default="3,8", help="numbers of tasks, with commas between them")
    parser.add_argument("--balance", default="imtl_g()", help="a method that sees the Gramian")
    parser.add_argument("--parallel", default="", help="strategies over 8 simulated devices with ; between them")
    parser.add_argument("--ways", default="one gradient,unrolled,streamed", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--least", action="store_true", help="have the compiler order operations for memory")
    arguments = parser.parse_args()
    options = QUICKLY | LEAST if arguments.least else QUICKLY
    print(machine.described())
    print("MiB and multiples of the parameters' bytes, on one device; beside them T times the largest leaf")
    print("network    T parallel        way             temporary  / params T*leaf   GFLOP  s to compile")
    for network in arguments.network.split(","):
        for number in map(int, arguments.tasks.split(",")):
            for strategy in arguments.parallel.split(";"):
                for way in arguments.ways.split(","):
                    print(measured(network, number, strategy, way, arguments.balance, options), flush=True)


if __name__ == "__main__":
    main()
