"""The machine that a figure was measured on, in one line."""

import os
import platform

import jax


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
