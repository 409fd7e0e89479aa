"""Whether the rows of a Jacobian can be computed together, under `vmap`."""

import jax
from jaxlib.version import __version__ as _jaxlib_version

_MISCOMPILED = {"cpu": ("0.10.2",)}  # 0.10.0, 0.10.1, 0.11.0 to 0.11.2 and 0.12.0.1 are right


def mapped_rows_fail(backend: str | None = None, jaxlib_version: str | None = None) -> str | None:
    """Why a compiled `vmap` of a backward pass gives wrong gradients here; None where it gives right ones.

    On the CPU, jaxlib 0.10.2 miscompiles it: of `x * x.sum(-1, keepdims=True)` all rows but the first are wrong.

    Args:
        backend: as `jax.default_backend()`, the default.
        jaxlib_version: as `jaxlib.__version__`, the default.

    Returns:
        The reason, a phrase, or None.

    Example:
        >>> mapped_rows_fail("cpu", "0.12.0.1") is None
        True
    """
    backend = backend or jax.default_backend()
    version = jaxlib_version or _jaxlib_version
    if version not in _MISCOMPILED.get(backend, ()):
        return None
    return f"jaxlib {version} miscompiles a vmap of backward passes on the {backend.upper()} (wrong rows, no error)"


def check_vectorised() -> None:
    """Refuses rows under `vmap` where the compiler in use gets them wrong.

    Raises:
        ValueError: with the backend, the version and what to do instead.
    """
    reason = mapped_rows_fail()
    if reason is not None:
        raise ValueError(
            f"rows of the Jacobian under vmap: {reason}; compute them one after the other (vectorised=False, in a "
            "config jacobian='unrolled'), or use another jaxlib."
        )
