"""Options with which XLA compiles for the CPU in half the time, to code that is as fast."""

import importlib.metadata
import importlib.util
import os
from collections.abc import MutableMapping

import jax
from jaxlib.version import __version__ as _jaxlib_version

VARIABLE, _OPTION = "XLA_FLAGS", "xla_backend_extra_options"
# Loops are not unrolled, of which LLVM makes more code than programs of small maps gain by.
_NEW = ("xla_cpu_disable_loop_unrolling",)
# Nor does each kernel begin with an MLIR of its own, and vectors are taken one by one: rows are short. Where jaxlib is
# newer, the first does nothing, and the second follows from loops that are not unrolled.
_OLD = (*_NEW, "xla_cpu_disable_new_fusion_emitters", "-force-vector-interleave=1")


def compile_quickly(environment: MutableMapping[str, str] | None = None, jaxlib_version: str | None = None) -> None:
    """Has XLA compile quickly for the CPU, if that is all there is: from now on, and in processes that are started.

    To be called before JAX looks for devices. Where `XLA_FLAGS` has `--xla_backend_extra_options`, be they empty, they
    stay as they are.

    Args:
        environment: whose `XLA_FLAGS` are added to; that of this process if None.
        jaxlib_version: as `jaxlib.__version__`, the default.

    Example:
        >>> given = {"XLA_FLAGS": "--xla_backend_extra_options="}
        >>> compile_quickly(given)
        >>> print(given["XLA_FLAGS"])
        --xla_backend_extra_options=
    """
    environment = os.environ if environment is None else environment
    before = environment.get(VARIABLE, "")
    if _OPTION in before or _may_accelerate():
        return
    release = tuple(int(part) for part in (jaxlib_version or _jaxlib_version).split(".")[:2])
    options = ",".join(_OLD if release < (0, 11) else _NEW)
    environment[VARIABLE] = f"{before} --{_OPTION}={options}".strip()


def _may_accelerate() -> bool:
    """Whether JAX may find something else than CPUs; asked without having it look."""
    if platforms := getattr(jax.config, "jax_platforms", None):
        return platforms.split(",")[0] != "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return bool(plugins) or any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
