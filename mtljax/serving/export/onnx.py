"""ONNX, through jax2onnx."""

import contextlib
import dataclasses
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.serving.export.function import INPUT, Served, must_agree
from mtljax.serving.export.inline import inlined

FILE = "model.onnx"
_TRANSPOSES = ("remove_redundant_transpose", "remove_orphan_transposes")


def exported(served: Served) -> tuple[bytes, list[Any]]:
    """The file, and the shape of its input, with a name for what may be of any size: the batch.

    Where onnxruntime is installed, the file is run there once.

    Raises:
        UserError: where jax2onnx is not installed, cannot convert the network, or makes something else of it; for
            inputs of several arrays.
    """
    convert = _converter()
    if not isinstance(served.one, jax.ShapeDtypeStruct):
        raise UserError("--format=onnx takes networks that are given one array; expected --format=stablehlo.")
    names = list(served.shapes())
    shape = ["batch", *served.one.shape]
    try:
        with _quiet(), _transposes_kept():
            model = convert(
                _Traced(served, names),
                [tuple(shape)],
                model_name="mtljax",
                input_names=[INPUT],
                output_names=names,
            )
    except Exception as error:  # of whatever kind: the converter raises many
        said = str(error).strip().splitlines()
        raise UserError(
            f"jax2onnx cannot convert this network: {type(error).__name__}: {said[0] if said else ''}; "
            "--format=stablehlo can hold it."
        ) from error
    file = model.SerializeToString()
    _check(file, served, names)
    return file, shape


@dataclasses.dataclass(frozen=True, eq=False)
class _Traced:
    """The network as the converter traces it: a tuple of outputs, by names.

    While it traces, the converter has functions of its own in the place of some of JAX's and Flax's, which know less:
    a resize without an open batch, a pooling without positional arguments. The originals are put back meanwhile; what
    they are made of can be converted.
    """

    served: Served
    names: Sequence[str]

    def __call__(self, images: jax.Array) -> tuple[jax.Array, ...]:
        with contextlib.ExitStack() as originals:
            for module, name, original in _ORIGINALS:
                originals.enter_context(_holding(module, name, original))
            return tuple(inlined(self._outputs, images))

    def _outputs(self, images: jax.Array) -> list[jax.Array]:
        found = self.served(images)
        return [found[name] for name in self.names]


@contextlib.contextmanager
def _holding(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _max_pool(
    x: jax.Array, window_shape: Sequence[int], strides: Sequence[int] | None = None, padding: Any = "VALID"
) -> jax.Array:
    """As Flax has it, with padding by numbers made of one array that needs none."""
    if not isinstance(padding, str):
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=float(jnp.finfo(x.dtype).min))
        padding = "VALID"
    return _MAX_POOL(x, window_shape, strides, padding)


_MAX_POOL = nn.max_pool
_ORIGINALS = (
    (jax.image, "resize", jax.image.resize),
    (nn, "max_pool", _max_pool),
    (nn, "avg_pool", nn.avg_pool),
)


@contextlib.contextmanager
def _transposes_kept() -> Iterator[None]:
    """Without the converter's passes over transposes, which break sums of residual blocks; ONNX Runtime has its own."""
    passes = importlib.import_module("jax2onnx.converter.ir_optimizations")
    with contextlib.ExitStack() as held:
        if (known := getattr(passes, "_OPTIMIZER_PASSES", None)) is not None:
            kept = tuple(one for one in known if not one.name.startswith(_TRANSPOSES))
            held.enter_context(_holding(passes, "_OPTIMIZER_PASSES", kept))
        else:  # as it was before there was a list: functions, called by their names
            for name in [name for name in vars(passes) if name.startswith(_TRANSPOSES)]:
                held.enter_context(_holding(passes, name, lambda graph: None))
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converter prints, warns of and logs on its way."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def _converter() -> Callable[..., Any]:
    try:
        with _quiet():
            return importlib.import_module("jax2onnx").to_onnx
    except ImportError as error:
        raise UserError(
            f"--format=onnx needs jax2onnx ({error}): pip install 'mtljax[export]'; or --format=stablehlo."
        ) from error


def _check(file: bytes, served: Served, names: list[str]) -> None:
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError:
        return
    sample = np.asarray(served.sample(2))
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is told below
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        found = dict(zip(names, session.run(names, {INPUT: sample}), strict=True))
    except Exception as error:
        raise UserError(f"ONNX Runtime cannot run what jax2onnx made of this network: {error}") from error
    must_agree(FILE, found, served.jitted(sample))
