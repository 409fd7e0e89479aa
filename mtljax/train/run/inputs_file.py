"""What the model of a run was given and what it was taught, in `inputs.json`: so that it predicts without its data."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mtljax.data.meanings import Meaning, meanings
from mtljax.errors import UserError
from mtljax.train.config.checks import fit
from mtljax.train.config.parts import Experiment
from mtljax.train.run.workdir import replace_text, unwritable

INPUTS_FILE = "inputs.json"
VERSION = 1
_GIVEN = ("image", "inputs")  # what models are given, beside a camera


def leave(parts: Experiment, workdir: pathlib.Path) -> None:
    """Writes what is known of the inputs and labels of a run into its workdir, where it is not there already.

    Raises:
        UserError: where it cannot be written.
    """
    if "inputs" not in parts.programs:
        parts.programs["inputs"] = described(parts, fit(parts).sample)
    file, text = workdir / INPUTS_FILE, json.dumps(parts.programs["inputs"], indent=1) + "\n"
    try:
        if not file.exists() or file.read_text() != text:
            replace_text(file, text)
    except OSError as error:
        raise unwritable(workdir, error) from error


def read(workdir: pathlib.Path) -> dict[str, Any] | None:
    """What `leave` left, as `described` has it; None where there is none, as in a run of an earlier version.

    Raises:
        UserError: where it cannot be read.
    """
    file = workdir / INPUTS_FILE
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {str(file)!r}: {error}.") from error
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise UserError(f"{str(file)!r} is of another version of mtljax; expected version {VERSION}.")
    return found


def described(parts: Experiment, sample: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is given and what it is taught, of plain values.

    Args:
        parts: of the run.
        sample: a batch of the validation split, of NumPy arrays; ranges are those of its examples.

    Returns:
        `version`; `given`, key -> the tree of its arrays, each with the shape of one example, the dtype that the data
        set holds it in, and its range from `low` to `high` (8 bits being 0 to 1; of labels without the outer 1 %);
        `intrinsics`, of the first example's camera, or None; `labels` that tasks read -> `arrays`, the same of them,
        and `names` of classes, or None; those of a tree of arrays, such as `instances`, are of one of its arrays, such
        as `category`.
    """
    example, data_set = parts.validation[0], parts.data
    said = meanings(data_set)
    given = {key: _tree(example[key], sample[key]) for key in _GIVEN if key in sample}
    camera = sample.get("camera", {})
    labels = {}
    for key in parts.labels:
        if key in sample:
            one = example[key] if key in example else jax.tree.map(lambda x: x[0], sample[key])
            label = _tree(one, sample[key], sample.get(f"{key}_valid"))
            labels[key] = {"arrays": label, "names": names(key, label, said)}
    intrinsics = np.asarray(camera["intrinsics"][0]).tolist() if "intrinsics" in camera else None
    return {"version": VERSION, "given": given, "intrinsics": intrinsics, "labels": labels}


def names(key: str, label: Any, said: Mapping[str, Meaning]) -> list[str] | None:
    """Of a label's classes, by their numbers; None where nothing tells them.

    Args:
        key: of the label.
        label: an array, or a dict of arrays, one of which may be known by its name; or what `described` says of it.
        said: `meanings` of the data.
    """
    for one in (key, *(label if isinstance(label, Mapping) and not is_leaf(label) else ())):
        found = said.get(one)
        if isinstance(found, tuple):
            return list(found)
    return None


def _tree(example: Any, batch: Any, valid: Any = None) -> Any:
    """A tree of dicts whose leaves say what an array of an example is."""
    if isinstance(batch, Mapping):
        return {key: _tree(example[key], batch[key], valid) for key in batch}
    array, known = np.asarray(batch), np.asarray(batch)
    if valid is not None and np.ndim(valid) == array.ndim:
        known = array[np.broadcast_to(np.asarray(valid, bool), array.shape)]
    known = known[np.isfinite(known)] if known.dtype.kind == "f" else known
    if not known.size:
        low = high = None
    elif valid is None or known.dtype == bool:
        low, high = float(known.min()), float(known.max())
    else:  # a label: without the few that are far from the others
        low, high = (float(x) for x in np.percentile(known, (1, 99)))
    return {"shape": list(array.shape[1:]), "dtype": np.asarray(example).dtype.name, "low": low, "high": high}


def is_leaf(tree: Any) -> bool:
    """Whether a part of what `described` gives says what one array is."""
    return isinstance(tree, Mapping) and isinstance(tree.get("shape"), list) and "dtype" in tree


def shapes(given: Mapping[str, Any]) -> dict[str, Any]:
    """What one example is given, of what `described` says: arrays as shapes, images of 8 bits as the floats of models.

    Example:
        >>> shapes({"image": {"shape": [1, 4, 6, 3], "dtype": "uint8", "low": 0.0, "high": 1.0}})
        {'image': ShapeDtypeStruct(shape=(1, 4, 6, 3), dtype=float32)}
    """
    found = {}
    for key, tree in given.items():

        def shape(leaf: Mapping[str, Any], key: str = key) -> jax.ShapeDtypeStruct:
            floats = key == "image" and leaf["dtype"] == "uint8"
            return jax.ShapeDtypeStruct(tuple(leaf["shape"]), "float32" if floats else leaf["dtype"])

        found[key] = jax.tree.map(shape, tree, is_leaf=is_leaf)
    return found
