"""Options with which XLA compiles for the CPU in half the time, to code that may take a fifth longer."""

import os
from collections.abc import MutableMapping

from jaxlib.version import __version__ as _jaxlib_version

VARIABLE, _OPTION = "XLA_FLAGS", "--xla_backend_extra_options"
# Loops are not unrolled. XLA passes over a value of its own that it does not know.
_ALWAYS = ("xla_cpu_disable_loop_unrolling",)
# Nor does each kernel begin with an MLIR of its own; rows, which are short, are taken vector by vector, and no vectors
# are looked for between loops. In later releases the first does nothing, and the second comes with the loops.
_BEFORE_0_11 = (
    "xla_cpu_disable_new_fusion_emitters",
    "-force-vector-interleave=1",
    "xla_cpu_disable_slp_vectorizer",
)


def compile_quickly(environment: MutableMapping[str, str] | None = None, jaxlib_version: str | None = None) -> bool:
    """Has XLA compile quickly for the CPU: from now on, and in processes that are started.

    To be called before JAX looks for devices, of which others than CPUs are not concerned.

    Args:
        environment: whose `XLA_FLAGS` are added to; that of this process if None.
        jaxlib_version: as `jaxlib.__version__`, the default.

    Returns:
        Whether it does: where `XLA_FLAGS` has other `--xla_backend_extra_options`, they stay as they are.

    Example:
        >>> given = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
        >>> compile_quickly(given, "0.12.0")
        True
        >>> given["XLA_FLAGS"].split()
        ['--xla_force_host_platform_device_count=2', '--xla_backend_extra_options=xla_cpu_disable_loop_unrolling']
    """
    environment = os.environ if environment is None else environment
    before = environment.get(VARIABLE, "")
    release = tuple(int(part) for part in (jaxlib_version or _jaxlib_version).split(".")[:2])
    wanted = f"{_OPTION}={','.join(_ALWAYS + (_BEFORE_0_11 if release < (0, 11) else ()))}"
    if _OPTION not in before:
        environment[VARIABLE] = f"{before} {wanted}".strip()
    return wanted in environment[VARIABLE].split()
