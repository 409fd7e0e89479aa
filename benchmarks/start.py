"""From command to first step: of a first start, and of a second, which finds its programs in the compilation cache.

python benchmarks/start.py
python benchmarks/start.py --configs=scenes,self_supervised
python benchmarks/start.py --configs=scenes --trace

Each start is a process of its own, of three steps: seconds to the first step are those of its `run.json`, from the call
on; of the processor they are of the whole process, with its evaluation at the end, and compile in them is that of the
training step. Data that the first start makes is there for the others; the third start is without a cache.
`--trace` starts nothing: it says what the training step takes to trace and lower, to compile, what of the tracing takes
losses apart, and how many operations XLA is given and makes of them; and what each of `--steps` steps then takes.
`--compile_quickly` is that of `launch.py`.
"""

import argparse
import json
import pathlib
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from typing import Any

import machine

from mtljax.train.spread import compiler_options

ROOT = pathlib.Path(__file__).parent.parent


def started(config: str, workdir: pathlib.Path, cache: str) -> str:
    """What a run of three steps took."""
    options = [f"--config.{text}" for text in ("steps=3", "eval_every=3", "checkpoint_every=3")]
    command = [sys.executable, str(ROOT / "launch.py"), f"--config={ROOT / 'configs' / config}.py", *options]
    command += [f"--workdir={workdir}", f"--compilation_cache={cache}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = json.loads((workdir / "run.json").read_text())["seconds"]
    told = f"{seconds['to_first_step']:6.1f} s to the first step, {seconds['compile']:6.1f} of them to compile it"
    return f"{told}; {processor:6.1f} s of the processor"


def traced(config: str, steps: int) -> str:
    """What the training step of a config takes to get ready, in seconds of the processor, and what some steps take."""
    import jax

    from mtljax.balance import jacobian
    from mtljax.data.pipeline import inputs_of
    from mtljax.train.config import checks, experiment
    from mtljax.train.config.default import checked

    parts = experiment.build(checked(runpy.run_path(str(ROOT / "configs" / f"{config}.py"))["get_config"]()))
    fitted = checks.fit(parts)
    state = parts.first_state(inputs_of(dict(fitted.sample)), fitted.optimizer)
    batch = parts.spread.place_batch(next(parts.train_batches(0)))
    step, split, apart = parts.train_step(fitted.optimizer), jacobian.split, 0.0

    def charged(*args: Any) -> Any:
        nonlocal apart
        begin = time.process_time()
        found = split(*args)
        apart += time.process_time() - begin
        return found

    jacobian.split = charged
    begin = time.process_time()
    lowered = step.lower(state, batch)
    ready = time.process_time()
    compiled = lowered.compile()
    took = time.process_time() - ready
    given, made = (text.count(" = ") for text in (lowered.as_text(), compiled.as_text()))
    begun = time.process_time()
    for _ in range(steps):
        state, _ = jax.block_until_ready(compiled(state, batch, step.noise))
    each = f"; {(time.process_time() - begun) / steps:.3f} s a step" if steps else ""
    return (
        f"{ready - begin:.1f} s to trace and lower, {apart:.1f} of them to take losses apart; {took:.1f} s to compile; "
        f"{given} operations lowered, {made} compiled{each}"
    )


def main() -> None:
    """Prints one line a start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", default="quickstart", help="names of files in configs/")
    parser.add_argument("--trace", action="store_true", help="say what of it is tracing and compiling")
    parser.add_argument("--steps", type=int, default=0, help="that --trace takes, on one batch")
    parser.add_argument("--compile_quickly", action="store_true", help="as launch.py")
    flags = parser.parse_args()
    if flags.compile_quickly:
        compiler_options.compile_quickly()
    print(machine.described())
    for config in flags.configs.split(","):
        if flags.trace:
            print(f"{config}: {traced(config, flags.steps)}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            for number, name in enumerate(("first", "second", "without a cache")):
                cache = "" if number == 2 else str(place / "cache")
                print(f"{config}, {name}: {started(config, place / name.split()[0], cache)}", flush=True)


if __name__ == "__main__":
    main()
