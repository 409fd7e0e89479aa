"""A device that is not here: XLA's compilers make programs for it all the same, of which memory and calls are read.

`tpu:v5e:2x4` is the name of a topology (needs libtpu: `pip install -e '.[tpu]'`); `cuda:h100_sxm.txtpb` a file of XLA's
sources, xla/backends/gpu/target_config/specs, which describes a GPU (needs JAX's plug-in: `pip install -e '.[cuda]'`).
"""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax

from mtljax.balance import branches

_BACKENDS = {"tpu": "tpu", "cuda": "gpu"}  # as `jax.default_backend()` names them


class Elsewhere:
    """A device that is not here; from now on mtljax takes the ways that it takes there.

    Args:
        text: such as `tpu:v5e:2x4` or `cuda:h100_sxm.txtpb`.

    Attributes:
        kind: the device, in words.
    """

    def __init__(self, text: str) -> None:
        from jax.experimental import topologies

        self._platform, _, name = text.partition(":")
        if self._platform not in _BACKENDS or not name:
            raise SystemExit(f"--device={text}: expected tpu:TOPOLOGY, such as tpu:v5e:2x4, or cuda:FILE.")
        if self._platform == "tpu":
            os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # which asks the network where it runs
            found = topologies.get_topology_desc(name, "tpu")
        else:
            described = pathlib.Path(name).read_text()
            found = topologies.get_topology_desc("", "cuda", target_config=described, topology="1x1x1")
        self._sharding = jax.sharding.SingleDeviceSharding(found.devices[0])
        self.kind = found.devices[0].device_kind
        branches._backend = jax.default_backend = lambda: _BACKENDS[self._platform]

    def lowered(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """A function lowered for that device, from the shapes of its arguments."""
        there = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._sharding), arguments)
        return jax.jit(step).trace(*there).lower(lowering_platforms=(self._platform,))
