"""What each way to share costs, as ratios to a network for every task: parameters, FLOPs, latency, training step.

python benchmarks/sharing.py [--only MultiTask,MTAN] [--rounds 5]

Four dense tasks in the shapes of `scenes/small` on ResNet-18, and the mixtures of experts on an MLP. The networks that
a ratio is to are four programs, run one after the other in turns with the model; a ratio is that of the medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import machine

import mtljax as mtl

TASKS = {"segment": 5, "depth": 1, "normals": 3, "edges": 1}
HEADINGS = ("parameters", "FLOPs, all", "FLOPs, one", "latency, all", "latency, one", "training step")


def dense(size: int, batch: int) -> tuple[dict[str, Any], Any, jax.Array]:
    """Ways to share a ResNet-18, with a dense head for each task; one network; images."""
    encoder = mtl.encoders.ResNet(depth=18, norm="group")
    heads = {task: mtl.heads.Dense(channels) for task, channels in TASKS.items()}
    ways = ("MultiTask", "SingleTask", "CrossStitch", "Sluice", "NDDR", "MTAN", "LearnToBranch", "PADNet")
    models = {name: getattr(mtl, name)(encoder=encoder, heads=heads) for name in ways}
    return models, encoder, jax.random.normal(jax.random.key(0), (batch, size, size, 3))


def vectors(batch: int) -> tuple[dict[str, Any], Any, jax.Array]:
    """Mixtures of experts, with a linear head for each task; one network; feature vectors."""
    encoder = mtl.encoders.MLP((512, 256))
    heads = {task: mtl.heads.Linear(channels) for task, channels in TASKS.items()}
    models = {
        "MultiTask, MLP": mtl.MultiTask(encoder, heads),
        "MMoE(experts=4)": mtl.MMoE(heads, encoder, experts=4),
        "CGC(shared=2, own=1)": mtl.CGC(heads, encoder, shared=2, own=1),
        "PLE(shared=2, own=1)": mtl.PLE(heads, mtl.encoders.MLP((512, 512)), shared=2, own=1),
        "DSelectK(experts=4, k=2)": mtl.DSelectK(heads, encoder, experts=4, k=2),
    }
    return models, encoder, jax.random.normal(jax.random.key(0), (batch, 512))


class Programs:
    """The compiled programs of a model: all tasks, each alone, a training step."""

    def __init__(self, model: Any, x: jax.Array) -> None:
        variables = jax.jit(model.init)(jax.random.key(0), x)
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))

        def predict(tasks: Sequence[str] | None) -> Callable:
            return lambda variables, x: model.apply(variables, x, tasks=tasks)

        def step(variables: Any, x: jax.Array) -> Any:
            params, rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}

            def loss(params: Any) -> jax.Array:
                rngs = {"dropout": jax.random.key(1)}
                predictions, _ = model.apply(
                    {"params": params, **rest}, x, train=True, rngs=rngs, mutable=[*rest, "penalties", "initial"]
                )
                return sum(jnp.mean(p**2) for p in predictions.values())

            return jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))

        functions = {"all": predict(None), "step": step} | {task: predict((task,)) for task in model.heads}
        self._arguments = (variables, x)
        self._compiled = {name: jax.jit(f).lower(*self._arguments).compile() for name, f in functions.items()}
        self.flops = {name: program.cost_analysis()["flops"] for name, program in self._compiled.items()}

    def seconds(self, name: str) -> float:
        """How long one call takes."""
        begin = time.perf_counter()
        jax.block_until_ready(self._compiled[name](*self._arguments))
        return time.perf_counter() - begin


def ratios(model: Programs, networks: dict[str, Programs], rounds: int) -> list[float]:
    """The model over its networks, in the order of the headings."""
    names = [("all", "all"), ("step", "step"), *((task, "all") for task in networks)]
    for name, of in names:  # Once each, so that no first call counts.
        model.seconds(name)
        for network in networks.values():
            network.seconds(of)
    found: dict[str, list[float]] = {"all": [], "step": [], "one": []}
    for _ in range(rounds):
        for name in ("all", "step"):
            found[name].append(model.seconds(name) / sum(n.seconds(name) for n in networks.values()))
        alone = [(model.seconds(task), network.seconds("all")) for task, network in networks.items()]
        found["one"].append(sum(a for a, _ in alone) / sum(b for _, b in alone))
    time_of = {name: statistics.median(values) for name, values in found.items()}
    flops = sum(n.flops["all"] for n in networks.values())
    return [
        model.parameters / sum(n.parameters for n in networks.values()),
        model.flops["all"] / flops,
        sum(model.flops[task] for task in networks) / flops,
        time_of["all"],
        time_of["one"],
        time_of["step"],
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names with commas between them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    only = arguments.only.split(",") if arguments.only else None
    print(machine.described())
    print("| way to share | " + " | ".join(HEADINGS) + " |\n" + "|---" * (len(HEADINGS) + 1) + "|")
    for models, encoder, x in (dense(arguments.size, arguments.batch), vectors(arguments.batch)):
        models = {name: m for name, m in models.items() if only is None or name in only}
        if not models:
            continue
        some = next(iter(models.values()))
        networks = {task: Programs(mtl.MultiTask(encoder, {task: head}), x) for task, head in some.heads.items()}
        for name, model in models.items():
            found = ratios(Programs(model, x), networks, arguments.rounds)
            print(f"| `{name}` | " + " | ".join(f"{ratio:.2f}" for ratio in found) + " |", flush=True)


if __name__ == "__main__":
    main()
