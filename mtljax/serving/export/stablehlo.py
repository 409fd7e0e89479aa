"""StableHLO, through `jax.export`: one file, with the parameters in it, that JAX runs without Flax and mtljax."""

import importlib.util
from typing import Any

import jax

from mtljax.errors import UserError
from mtljax.serving.export.function import Served, must_agree

FILE = "model.stablehlo"
_PLATFORMS = ("cpu", "cuda", "tpu")


def exported(served: Served) -> tuple[bytes, list[Any]]:
    """The file, and the shape of its input, with names for what may be of any size.

    The batch may be of any size; so may height and width, by whole multiples of a stride, where the network can be
    traced so. Parameters are in the file.

    Raises:
        UserError: where flatbuffers is not installed, the network cannot be exported, or what was exported does not do
            the same.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError(
            "--format=stablehlo needs flatbuffers, with which JAX writes files: pip install 'mtljax[export]'."
        )
    made, shape = _made(served)
    file = made.serialize()
    sample = served.sample(2)
    found: Any = jax.export.deserialize(file).call(sample)
    must_agree(FILE, found, served.jitted(sample))
    return bytes(file), shape


def _made(served: Served) -> tuple[Any, list[Any]]:
    told: list[str] = []
    for shapes in _ways(served):
        scope = jax.export.SymbolicScope()
        given = jax.tree.map(
            lambda x, shape, scope=scope: jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape, scope=scope), x.dtype),
            served.one,
            shapes,
        )
        try:
            made = jax.export.export(served.jitted, platforms=_PLATFORMS)(given)
        except Exception as error:  # of whatever kind: modules raise theirs where a size is not known
            told.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
            continue
        return made, [n if isinstance(n, int) else str(n) for n in jax.tree.leaves(given)[0].shape]
    raise UserError(f"the network cannot be exported with a batch of any size: {told[-1]}")


def _ways(served: Served) -> list[Any]:
    """Shapes as `jax.export.symbolic_shape` takes them, those that leave most open first."""

    def fixed(x: jax.ShapeDtypeStruct) -> str:
        return ", ".join(["batch", *map(str, x.shape)])

    ways = [jax.tree.map(fixed, served.one)]
    if served.is_image and served.network.intrinsics is None:  # a camera's are for one size
        *frames, height, width, channels = served.one.shape
        for stride in (1, 8, 32):
            if height % stride == width % stride == 0:
                open_ = [f"{stride}*height", f"{stride}*width"] if stride > 1 else ["height", "width"]
                ways.insert(-1, ", ".join(["batch", *map(str, frames), *open_, str(channels)]))
    return ways
