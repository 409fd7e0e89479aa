"""What reading costs: images a second from each source, and how long ResNet-18 waits for them at batch 16.

python benchmarks/input.py
python benchmarks/input.py --data "rgbd('PATH_OF_THE_FOLDER');multi_mnist('PATH_OF_THE_FILES')"
python benchmarks/input.py --data "tfds('cifar100', keys={'image': 'image', 'fine': 'label'})"

Images a second, frames of clips counted one by one, are those of the training batches with all labels, on one thread
and on one for each core, as they are and augmented. The training loop is on augmented images resized to 64 x 64, with a
task for every label that there is a task for, after the steps that compile and fill the queue: its time a step, that
of steps on one batch at hand, and the share of the former in which it waits for data.
"""

import argparse
import itertools
import os
import time
from collections.abc import Iterator
from typing import Any

import jax
import machine
import numpy as np

from mtljax import data, train
from mtljax.data import augment, pipeline
from mtljax.train.config import checks, experiment
from mtljax.train.config.callstring import resolve
from mtljax.train.config.default import checked
from mtljax.train.config.parts import Experiment
from mtljax.train.run.start import start

SOURCES = "scenes('tiny');scenes('small')"
IMAGES, SIDE, WARM_UP = 16, 64, 3
TASKS = {"semantic": "segment(num_classes=41)", "depth": "depth()", "normal": "normals()", "edge": "edges()"}
GEOMETRY, COLOUR = "flip(), scale(1.0, 1.5)", "colour(0.2, 0.2, 0.2)"


def augmentations(image: np.ndarray) -> str:
    """What suits an image, as arguments of `compose`."""
    return f"{GEOMETRY}, {COLOUR}" if image.dtype == np.uint8 else GEOMETRY


def rate(source: Any, threads: int, augmentation: augment.Augmentation | None, seconds: float) -> float:
    """Images a second."""
    batches = pipeline.train_batches(source, IMAGES, 0, num_threads=threads, augment=augmentation)
    next(batches)
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        count += int(np.prod(next(batches)["image"].shape[:2]))
    found = count / (time.perf_counter() - begin)
    batches.close()
    return found


def tasks(example: data.Example) -> dict[str, str]:
    """A task for each label that has one; a class of the whole image is a task of its own."""
    classes = [k for k, v in example.items() if f"{k}_valid" in example and np.shape(v) == () and k != "instances"]
    dense = {label: text for label, text in TASKS.items() if label in example}
    return dense | {label: f"classify(num_classes=100, label={label!r})" for label in classes}


def waiting(text: str, augmentation: str, example: data.Example, steps: int) -> tuple[float, float, float]:
    """Milliseconds of a step, of one on a batch at hand, and the share of the former spent waiting for data."""
    config, chosen = train.default_config(), tasks(example)
    config.data, config.augment, config.tasks = text, augmentation, chosen
    config.batch_size = max(1, IMAGES // len(example["image"]))
    config.optimizers = dict.fromkeys(("shared", *chosen), "adam(1e-3)")
    config.parallel = "mesh(data=1)"
    parts = experiment.build(checked(config))
    fitted = checks.fit(parts)
    state, _ = start(parts, fitted)
    step_fn, batches = parts.train_step(fitted.optimizer), parts.train_batches()
    state, *_ = _timed(parts, state, step_fn, batches, WARM_UP)
    state, seconds, waited = _timed(parts, state, step_fn, batches, steps)
    at_hand = next(batches)
    batches.close()
    _, alone, _ = _timed(parts, state, step_fn, itertools.repeat(at_hand), steps)
    return 1e3 * seconds / steps, 1e3 * alone / steps, waited / seconds


def _timed(parts: Experiment, state: Any, step_fn: Any, batches: Iterator[Any], steps: int) -> tuple[Any, float, float]:
    """The state after a number of steps; seconds of them, and those of them spent waiting for batches."""
    jax.block_until_ready(state)
    waited, begin, pending = 0.0, time.perf_counter(), None
    for _ in range(steps):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        state, report = step_fn(state, parts.spread.place_batch(batch))
        jax.block_until_ready(pending)  # one step late, as the training loop reads its figures
        pending = report
    jax.block_until_ready(state)
    return state, time.perf_counter() - begin, waited


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=SOURCES, help="call-strings with ; between them")
    parser.add_argument("--seconds", type=float, default=1.5, help="that each rate is measured for")
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    threads = os.cpu_count()
    print(machine.described())
    print(f"{'':<28}{'images/s, threads':^20}{'augmented':^20}{'ResNet-18, 16 of 64 x 64':^36}")
    print(f"{'data':<28}{1:>10}{threads:>10}{1:>10}{threads:>10}{'ms a step':>12}{'data there':>12}{'waiting':>12}")
    for text in arguments.data.split(";"):
        source = resolve(text, data.SOURCES, kind="data").split("train")
        example = source[0]
        inner = augmentations(example["image"])
        change = resolve(f"compose({inner})", vars(augment), kind="augmentation")
        rates = [rate(source, n, a, arguments.seconds) for a in (None, change) for n in (1, threads)]
        whole = f"compose({inner}, resize({SIDE}, {SIDE}))"
        milliseconds, alone, share = waiting(text, whole, example, arguments.steps)
        name = f"{text.split('(')[0]} {'x'.join(map(str, example['image'].shape[:3]))}"
        print(f"{name:<28}" + "".join(f"{r:>10.0f}" for r in rates), end="")
        print(f"{milliseconds:>12.0f}{alone:>12.0f}{100 * share:>11.1f}%", flush=True)


if __name__ == "__main__":
    main()
