"""Where the parameters of a run start from, if not from random ones: another run, or pretrained weights."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax

from mtljax.errors import UserError
from mtljax.models import pretrained
from mtljax.train.run.difference import of_a_head

Variables = Mapping[str, Any]


def from_file(
    file: str, model: Any, variables: Variables, size: tuple[int, int] | None = None
) -> tuple[dict[str, Any], str]:
    """A model's variables with pretrained weights in all of its encoders, and a line that says so.

    Args:
        file: with the weights.
        model: with encoders.
        variables: of the model, at random.
        size: (H, W) of the images; by default they are square.

    Raises:
        UserError: for a model without encoders, or whatever `pretrained.load` refuses.
    """
    names = [name for name in variables["params"] if name == "encoder" or name.startswith(("networks_", "nodes_"))]
    if not names:
        raise UserError(f"pretrained={file!r}: {type(model).__name__} has no encoder to put weights in.")
    result = {collection: dict(tree) for collection, tree in variables.items()}
    for name in names:
        own = {collection: tree[name] for collection, tree in variables.items() if name in tree}
        for collection, tree in pretrained.load(file, model.encoder, own, size).items():
            result[collection][name] = tree
    images = "images as they are" if model.encoder.normalise is False else "normalised images"
    return result, f"pretrained weights of {file} for {images} in {', '.join(names)}"


def check_normalised(workdir: str, other: Any, model: Any, text: str) -> None:
    """Refuses to go on from weights for normalised images with a model that does not normalise them, or the reverse.

    Args:
        workdir: of the other run.
        other: its model.
        model: of this run.
        text: the call-string that it was made from; one that says how images are normalised is left alone.

    Raises:
        UserError: where the encoders differ in what they normalise images by.
    """
    theirs, ours = (
        getattr(getattr(m, "encoder", getattr(m, "expert", None)), "normalise", None) for m in (other, model)
    )
    if None not in (theirs, ours) and theirs != ours and "normalise" not in text:
        raise UserError(
            f"init_from={workdir!r}: that run had normalise={theirs!r} (True comes with `pretrained`), this one has "
            f"normalise={ours!r}; expected normalise={theirs!r} in the encoder of config.model, or a choice there."
        )


def from_run(
    workdir: str, variables: Variables, load: Callable[[pathlib.Path], tuple[int, Variables]]
) -> tuple[dict[str, Any], str]:
    """Variables with those that another run ended with, where it has some of the same name, and a line that says so.

    So networks that were trained for each task alone (`SingleTask`) are stitched and trained on (`CrossStitch`). Arrays
    of heads that have another shape there, as those for another number of classes have, stay at random, and are told.

    Args:
        workdir: of the other run.
        variables: of the model, at random.
        load: gives the newest step of a workdir and its variables.

    Raises:
        UserError: where none has the same name and shape, or one that is no head's has another shape.
    """
    step, other = load(pathlib.Path(workdir).expanduser())
    there = {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(dict(other))}
    new: list[str] = []
    other_shape: list[str] = []

    def chosen(path: Any, leaf: Any) -> Any:
        name = _name(path)
        if name not in there:
            new.append(name)
            return leaf
        if there[name].shape != leaf.shape and of_a_head(name):
            other_shape.append(f"{name.partition('/')[2]} {leaf.shape}, there {there[name].shape}")
            return leaf
        if there[name].shape != leaf.shape:
            raise UserError(
                f"init_from={workdir!r}: {name} has shape {there[name].shape} there, but {leaf.shape} in this model."
            )
        return there[name]

    result = jax.tree_util.tree_map_with_path(chosen, dict(variables))
    number = len(jax.tree.leaves(result)) - len(new) - len(other_shape)
    if number == 0:
        raise UserError(f"init_from={workdir!r}: no parameter there has the name and shape of one of this model.")
    parts = sorted({name.split("/")[1] for name in new})
    started = f"; at random: {', '.join(parts)}" if parts else ""
    started += f"; at random, since their shape is another: {'; '.join(other_shape)}" if other_shape else ""
    return result, f"{number} arrays of {workdir} at step {step}{started}"


def _name(path: Any) -> str:
    return "/".join(str(part.key) for part in path)
