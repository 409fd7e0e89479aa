"""The model card: what a network was taught, how good it is, what goes in and comes out."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections

from mtljax.serving.export.function import Served
from mtljax.train.run.record import commit, versions
from mtljax.train.run.writer import read_metrics

FILE = "README.md"
_USE = {
    "model.stablehlo": """import pathlib, jax
network = jax.export.deserialize(pathlib.Path("model.stablehlo").read_bytes())
outputs = network.call({given})  # a dict: {names}; wants jax and flatbuffers""",
    "model.onnx": """import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
outputs = session.run(None, {{"images": {given}}})  # in this order: {names}""",
}


def card(served: Served, config: ml_collections.ConfigDict, workdir: pathlib.Path, told: Mapping[str, Any]) -> str:
    """The text of a model card, in Markdown.

    Args:
        served: the network.
        config: of the run.
        workdir: of the run, whose figures are told.
        told: what is in `preprocessing.json`.
    """
    network = served.network
    number = sum(leaf.size for leaf in jax.tree.leaves(kept(network)["params"]))
    titles = ", ".join(network.names)
    sections = [
        f"# {titles}\n\nA network of {number:,} parameters for {len(network.names)} tasks: `{config.model}`. "
        f"Trained on `{config.data}` with mtljax; parameters after step {network.step:,}.",
        _outputs(told),
        _input(told),
        _figures(served, workdir),
        f"## Use\n\n```python\n{_use(served, told)}\n```\n\n`preprocessing.json` says all of this to programs, and "
        "`parameters.safetensors` has the parameters by their paths.",
        f"## Config\n\n```json\n{json.dumps(config.to_dict(), indent=2)}\n```",
        "## Made by\n\n" + ", ".join(f"{name} {version}" for name, version in versions().items())
        + (f", commit {commit()}" if commit() else ""),
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


def kept(network: Any) -> Any:
    """The variables that the wanted tasks need: those of other tasks' own parts are left out."""
    model, variables = network.model, network.variables
    if not hasattr(model, "groups") or not hasattr(model, "in_order"):
        return variables
    others = set(network.tasks) - set(model.in_order(network.names))
    groups = {collection: model.groups(tree) for collection, tree in variables.items()}

    def of_others(group: Any) -> bool:
        return all(name in others for name in jax.tree.leaves(group))

    return {
        collection: {part: leaf for part, leaf in tree.items() if not of_others(groups[collection][part])}
        for collection, tree in variables.items()
    }


def _outputs(told: Mapping[str, Any]) -> str:
    lines = ["## Outputs\n", "| output | shape | what it is | classes |", "|---|---|---|---|"]
    for name, out in told["outputs"].items():
        shape, unit = " × ".join(map(str, out["shape"])), f" ({out['unit']})" if out["unit"] else ""
        names = ", ".join(out["names"]).replace("|", "\\|") or "–"
        lines.append(f"| {name} | {shape} | {out['kind']}{unit}: {out['read']} | {names} |")
    return "\n".join(lines)


def _input(told: Mapping[str, Any]) -> str:
    given = told["input"]
    if "arrays" in given:
        divide = f"\n\nNumbers of 8 bits are divided by {given['divide_by']}." if given["divide_by"] else ""
        return f"## Input\n\n```json\n{json.dumps(given['arrays'], indent=1)}\n```{divide}"
    divide = f", the 8 bits of a file over {given['divide_by']}" if given["divide_by"] else ""
    lines = [
        f"## Input\n\n`{given['name']}`: {' × '.join(map(str, given['shape']))} {given['dtype']}, {given['colour']}, "
        f"from {given['range'][0]:g} to {given['range'][1]:g}{divide}. Trained at {given['height']} × {given['width']} "
        f"(height × width); resize {given['resize']}. Normalisation: {given['normalise']}."
    ]
    if told["camera"]:
        lines.append(f"The camera's intrinsics are those of the training data: `{told['camera']['intrinsics']}`.")
    return "\n\n".join(lines)


def _figures(served: Served, workdir: pathlib.Path) -> str:
    rows = read_metrics(workdir)
    evaluated = [row for row in reversed(rows) if row.get("split") == "validation"]
    if not evaluated:
        return "## Figures\n\nNone: the run has not been evaluated."
    step = served.network.step
    validation = next((row for row in evaluated if row["step"] == step), evaluated[0])
    is_own = validation["step"] == step
    whose = "this network" if is_own else f"after step {validation['step']:,}"
    other = "" if is_own else f", and not {step:,}, at which the run was not evaluated"
    constant = next((row for row in reversed(rows) if row.get("split") == "constant"), {})
    lines = [
        f"## Figures\n\nOn the validation split, after step {validation['step']:,}{other}; beside them those of the "
        "best constant predictor.\n",
        f"| task | metric | {whose} | constant | better is |",
        "|---|---|---|---|---|",
    ]
    for name in served.network.names:
        for metric in served.network.tasks[name].metrics:
            ours, theirs = (row.get(f"{name}/{metric.name}") for row in (validation, constant))
            better = "higher" if metric.higher_is_better else "lower"
            lines.append(f"| {name} | {metric.name} | {_number(ours)} | {_number(theirs)} | {better} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _use(served: Served, told: Mapping[str, Any]) -> str:
    given = "images"
    if not served.is_image:
        given = "arrays"
    return _USE[told["file"]].format(given=given, names=", ".join(told["outputs"]))
