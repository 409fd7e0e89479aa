"""The most memory that a run has taken: of its devices, where they tell, else of its process."""

import pathlib
import re
import sys
from typing import Any

import jax

_STATUS, _CLEAR = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # what Linux takes to set the peak resident size to today's


class PeakMemory:
    """Peak memory from now on.

    A device's own figure is the largest of this host's devices, and counts from the start of the process: it cannot be
    set back. Where devices tell none (CPUs), it is the process's peak resident size: since this was made, where Linux
    lets that be set back, else since the process began.
    """

    def __init__(self) -> None:
        self._since_run = False
        try:
            _CLEAR.write_text(_RESET_PEAK)
            self._since_run = _peak_resident() is not None
        except OSError:
            pass  # another system, or one that does not let it

    def figures(self, before: int = 0) -> dict[str, Any]:
        """`bytes`; `of`: `device` or `process`; `since`: the `run` or the `process`.

        Args:
            before: the bytes of earlier parts of the run, if larger.
        """
        told = [stats.get("peak_bytes_in_use") for d in jax.local_devices() if (stats := d.memory_stats())]
        peaks = [peak for peak in told if peak]
        if peaks:
            return {"bytes": max(before, *peaks), "of": "device", "since": "process"}
        resident = _peak_resident() if self._since_run else None
        since = "process" if resident is None else "run"
        return {"bytes": max(before, resident or _peak_of_life()), "of": "process", "since": since}


def _peak_resident() -> int | None:
    """The peak resident size since it was last set back, in bytes; None where the system does not tell."""
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _peak_of_life() -> int:
    """The peak resident size since the process began, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
