"""What it costs to serve: four tasks in one exported network against four exported ones, and `predict` itself.

taskset -c 0 python benchmarks/serving.py --calls 30
"""

import argparse
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import machine
import numpy as np

from mtljax.errors import UserError
from mtljax.serving.loaded import Loaded
from mtljax.serving.network import Network
from mtljax.train.config import experiment
from mtljax.train.config.default import checked, default_config

TASKS = {
    "depth": "depth(width=32)",
    "edges": "edges(width=32)",
    "normals": "normals(width=32)",
    "segment": "segment(num_classes=13, width=32)",
}


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=120)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--depth", type=int, default=18, help="of the ResNet")
    parser.add_argument("--calls", type=int, default=30)
    arguments = parser.parse_args()
    size = (arguments.height, arguments.width)
    print(machine.described())
    print(f"ResNet-{arguments.depth} and dense heads on images of {size[0]} x {size[1]} (height x width)")
    together = untrained(TASKS, arguments.depth, size)
    alone = [untrained({name: text}, arguments.depth, size) for name, text in TASKS.items()]
    for format in ("stablehlo", "onnx"):
        try:
            one_against_four(together, alone, format, arguments.calls)
        except UserError as error:
            print(f"{format}: {error}")
    predict(together, size, arguments.calls)


def one_against_four(together: Loaded, alone: list[Loaded], format: str, calls: int) -> None:
    """Prints what one image costs in one network of all tasks, and in a network for each."""
    height, width = together.network.given["image"].shape[1:3]
    images = np.random.default_rng(0).random((1, height, width, 3), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        one = exported(together, format, pathlib.Path(folder, "one"))
        four = [exported(run, format, pathlib.Path(folder, str(i))) for i, run in enumerate(alone)]
    one_s, four_s = timed(calls, lambda: one(images), lambda: [run(images) for run in four])
    print(
        f"{format}, one image: four tasks in one network {1e3 * one_s:.1f} ms, in four {1e3 * four_s:.1f} ms: "
        f"ratio {one_s / four_s:.2f}"
    )


def predict(run: Loaded, size: tuple[int, int], calls: int) -> None:
    """Prints what `predict` takes beside the compiled model alone, of batches of eight."""
    images = np.random.default_rng(0).integers(0, 256, (32, *size, 3), np.uint8)
    network = run.network
    program = jax.jit(network.apply)
    batches = [jax.device_put({"image": images[i : i + 8, None]}) for i in range(0, len(images), 8)]
    own, asked = timed(
        max(3, calls // 8),
        lambda: [jax.block_until_ready(program(network.variables, batch)) for batch in batches],
        lambda: run.predict(images),
    )
    print(f"predict, 32 images by eight: {1e3 * asked:.0f} ms, the model's own {1e3 * own:.0f} ms: {asked / own:.3f}")


def untrained(tasks: dict[str, str], depth: int, size: tuple[int, int]) -> Loaded:
    """A run of a random network, without a workdir."""
    config = default_config()
    config.tasks = tasks
    config.model = f"MultiTask(ResNet(depth={depth}, width=32))"
    config = checked(config)
    chosen = experiment.tasks_of(config)
    model = experiment.model_of(config, chosen)
    variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 1, *size, 3), np.float32))
    leaf = {"shape": [1, *size, 3], "dtype": "uint8", "low": 0.0, "high": 1.0}
    inputs = {"version": 1, "given": {"image": leaf}, "intrinsics": None, "labels": {}}
    network = Network(model, dict(variables), chosen, inputs, step=0)
    return Loaded(pathlib.Path("."), config, network.asked())


def exported(run: Loaded, format: str, folder: pathlib.Path) -> Callable[[np.ndarray], Any]:
    """A function that runs what was exported, read from its file."""
    file = run.export(folder, format)
    if format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"images": images})
    call = jax.jit(jax.export.deserialize(bytearray(file.read_bytes())).call)
    return lambda images: jax.block_until_ready(call(images))


def timed(calls: int, *functions: Callable[[], Any]) -> list[float]:
    """Median seconds of each function, called in turns so that a busy machine is so for all."""
    taken: list[list[float]] = [[] for _ in functions]
    for i in range(calls + 1):
        for function, seconds in zip(functions, taken, strict=True):
            begin = time.perf_counter()
            function()
            if i:  # the first one compiles
                seconds.append(time.perf_counter() - begin)
    return [statistics.median(seconds) for seconds in taken]


if __name__ == "__main__":
    main()
