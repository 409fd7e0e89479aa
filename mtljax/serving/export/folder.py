"""Everything that is exported, in one folder: the network, its parameters, how it is used, what it is."""

import json
import pathlib

import jax
import ml_collections
import numpy as np
from safetensors.numpy import save

from mtljax.errors import UserError, unknown
from mtljax.serving.export import card, onnx, preprocessing, stablehlo
from mtljax.serving.export.function import Served
from mtljax.serving.network import Network
from mtljax.train.run.workdir import replacing

FORMATS = {"stablehlo": stablehlo, "onnx": onnx}
PARAMETERS_FILE = "parameters.safetensors"


def write(
    network: Network, config: ml_collections.ConfigDict, workdir: pathlib.Path, folder: pathlib.Path, format: str
) -> pathlib.Path:
    """Exports a network into a folder, which is made where there is none.

    Args:
        network: asked for the tasks that are wanted.
        config: of the run.
        workdir: of the run, whose figures are told.
        folder: to write into.
        format: `stablehlo` or `onnx`.

    Returns:
        The file of the network.

    Raises:
        UserError: for an unknown format, what it cannot hold, or a folder that cannot be written.
    """
    if format not in FORMATS:
        raise unknown("format of an export:", format, FORMATS)
    served, way = Served(network), FORMATS[format]
    made, shape = way.exported(served)
    told = preprocessing.described(served, way.FILE, shape)
    files = {
        way.FILE: made,
        PARAMETERS_FILE: save(_by_path(card.kept(network))),
        preprocessing.FILE: (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode(),
        card.FILE: card.card(served, config, workdir, told).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with replacing(folder / name) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write into {str(folder)!r}: {error.strerror or error}.") from error
    return folder / way.FILE


def _by_path(variables: object) -> dict[str, np.ndarray]:
    """`params/encoder/stem/kernel` -> array."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf, order="C") for path, leaf in leaves
    }
