"""The machine that a figure was measured on, in one line, and what it is measured by."""

import os
import platform
import time
from collections.abc import Callable

import jax

BUSY = "on one core, seconds of the processor: for a machine with other work on it"


def described() -> str:
    """CPU or accelerator, cores, and the versions that matter."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    device = jax.devices()[0]
    return (
        f"{model}, {os.cpu_count()} cores; {device.platform} {device.device_kind}; "
        f"Python {platform.python_version()}, JAX {jax.__version__}"
    )


def clock_of(busy: bool) -> Callable[[], float]:
    """The clock; where it is the processor's, this process stays on one core from now on."""
    if busy:  # to be called before JAX counts the cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    return time.process_time if busy else time.perf_counter
