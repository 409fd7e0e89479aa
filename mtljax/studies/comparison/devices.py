"""The devices of a machine, shared out among processes."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Mapping
from typing import NamedTuple

from mtljax.errors import UserError

_CHIPS = {1: "1,1,1", 2: "1,2,1", 4: "2,2,1", 8: "2,4,1"}  # how a TPU host's chips lie that one process has
_ASK = "import jax, json; print(json.dumps([jax.default_backend(), jax.local_device_count()]))"


class Share(NamedTuple):
    """What a process is started with so that it sees its devices alone.

    Attributes:
        simulated: how many CPU devices it simulates; None for what it would have anyhow.
        environment: variables.
    """

    simulated: int | None = None
    environment: Mapping[str, str] = types.MappingProxyType({})


def shares(jobs: int, each: int | None = None, simulated: int | None = None) -> list[Share]:
    """The share of each of several processes.

    Args:
        jobs: how many processes.
        each: devices of each (`--devices_per_job`); by default, all there are are shared out.
        simulated: CPU devices that are simulated in all (`--simulate_devices`).

    Raises:
        UserError: where there are not enough.
    """
    if simulated is not None:
        return _of_cpu(jobs, _each(jobs, each, simulated, "simulated"))
    if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
        return _of_cpu(jobs, each)
    if jobs == 1 and each is None:
        return [Share()]
    platform, number = there()
    if platform == "cpu":
        return _of_cpu(jobs, each)
    each = _each(jobs, each, number, platform)
    return [_of_accelerator(platform, range(i * each, (i + 1) * each), os.environ) for i in range(jobs)]


def there() -> tuple[str, int]:
    """The platform that JAX finds and how many devices it has, asked in a process of its own, which lets them go."""
    done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True)
    try:
        platform, number = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        message = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise UserError(f"JAX finds no devices: {message}") from None
    return platform, number


def _each(jobs: int, each: int | None, number: int, kind: str) -> int:
    wanted = each or max(number // jobs, 1)
    if jobs * wanted > number:
        raise UserError(
            f"--jobs={jobs} with {wanted} {kind} device{'s' * (wanted > 1)} each (--devices_per_job) takes "
            f"{jobs * wanted}; expected at most the {number} there {'are' if number > 1 else 'is'}."
        )
    return wanted


def _of_cpu(jobs: int, each: int | None) -> list[Share]:
    return [Share(each)] * jobs


def _of_accelerator(platform: str, indices: range, environment: Mapping[str, str]) -> Share:
    """The share of some devices by their number among those that this process may see."""
    if platform == "tpu":
        if len(indices) not in _CHIPS:
            raise UserError(f"--devices_per_job={len(indices)}: a process has {', '.join(map(str, _CHIPS))} TPU chips.")
        chips = ",".join(map(str, indices))
        bounds = {"TPU_CHIPS_PER_PROCESS_BOUNDS": _CHIPS[len(indices)], "TPU_PROCESS_BOUNDS": "1,1,1"}
        return Share(environment={"TPU_VISIBLE_CHIPS": chips, **bounds})
    variable = "HIP_VISIBLE_DEVICES" if "HIP_VISIBLE_DEVICES" in environment else "CUDA_VISIBLE_DEVICES"
    seen = [name for name in environment.get(variable, "").split(",") if name]
    names = [seen[i] if i < len(seen) else str(i) for i in indices]
    return Share(environment={variable: ",".join(names)})
