"""The study of consistency energy: whether, without labels, it tells where a run is wrong, and which images are odd."""

import csv
import functools
import io
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from mtljax import data
from mtljax.data import pipeline
from mtljax.data.resize import resized
from mtljax.errors import UserError, unknown
from mtljax.relations import consistency_energy, energy_agreement, roc_auc
from mtljax.report.files import made, write, write_json
from mtljax.train.config import experiment
from mtljax.train.config.callstring import resolve
from mtljax.train.config.default import checked
from mtljax.train.config.parts import Experiment
from mtljax.train.config.stored import CONFIG_FILE, load
from mtljax.train.run.start import newest_variables
from mtljax.train.step.told import told_of

TABLE, FIGURES = "energy.csv", "energy.json"
_KNOWN = {
    "study": str, "run": str, "target": str, "paths": ml_collections.ConfigDict, "probabilities": tuple, "other": str,
    "blur": float, "noise": float, "training": int, "images": int, "seed": int,
}  # fmt: skip

Measure = Callable[[Any], tuple[np.ndarray, np.ndarray]]


class _Wanted(Protocol):
    """The keys of a config of this study."""

    study: str
    run: str
    target: str
    paths: Mapping[str, str]
    probabilities: tuple[str, ...]
    other: str
    blur: float
    noise: float
    training: int
    images: int
    seed: int


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Writes the energy and the error of every validation frame, and of shifted ones, as `energy.csv`; prints figures.

    Energy is the mean over paths i of |f_i(y_i) - y|, standardised by training images: y is what the run predicts of
    the target, y_i what it predicts of another task, and f_i a network from that task's label to the target.

    Raises:
        UserError: for a mistake in the config, a run or a network that is not there or does not fit, or a workdir that
            cannot be written.
    """
    wanted = _checked(config)
    parts, measure = _measure(wanted)
    training = _distances(measure, _of(parts, "train", wanted.training))[0]
    clean = list(_of(parts, "validation", wanted.images))
    rng = np.random.default_rng(wanted.seed)
    kinds = {"validation": clean}
    kinds["blurred"] = [_changed(e, lambda x: _blurred(x, wanted.blur)) for e in clean]
    kinds["noisy"] = [_changed(e, lambda x: x + rng.normal(0, wanted.noise, x.shape)) for e in clean]
    if wanted.other:
        size = clean[0]["image"].shape[1:3]
        kinds["other"] = [_as(clean[0], e, size) for e in _of_other(wanted)]
    found = {kind: _distances(measure, examples) for kind, examples in kinds.items()}
    energies = {kind: consistency_energy(distances, training) for kind, (distances, _) in found.items()}
    errors = {kind: error for kind, (_, error) in found.items()}
    figures = _figures(energies, errors)
    write(made(workdir) / TABLE, _table(energies, errors, clean[0]["image"].shape[0]))
    write_json(workdir / FIGURES, figures)
    for name, value in figures.items():
        print(f"{name}: {value:.3f}", flush=True)


def _figures(energies: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Agreement over the validation frames that have a label, how many have none where there are such, and areas."""
    labelled = np.isfinite(errors["validation"])
    agreement = energy_agreement(energies["validation"][labelled], errors["validation"][labelled])
    figures = {"pearson": agreement.pearson, "spearman": agreement.spearman}
    figures |= {} if labelled.all() else {"without_label": float((~labelled).sum())}
    return figures | {
        f"auc_{kind}": roc_auc(energy, energies["validation"])
        for kind, energy in energies.items()
        if kind != "validation"
    }


def _table(energies: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray], frames: int) -> str:
    """A row a frame; images of other data, and frames without a label, have no error."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["images", "example", "frame", "energy", "error"])
    for kind, energy in energies.items():
        for place, (value, error) in enumerate(zip(energy, errors[kind], strict=True)):
            told = "" if kind == "other" or not np.isfinite(error) else f"{error:.6g}"
            writer.writerow([kind, place // frames, place % frames, f"{value:.6g}", told])
    return text.getvalue()


def _measure(wanted: _Wanted) -> tuple[Experiment, Measure]:
    """The run, and `batch -> (distances (K, N), errors (N,))` of its N frames; NaN for one without a label."""
    parts = experiment.build(checked(load(pathlib.Path(wanted.run).expanduser() / CONFIG_FILE)))
    for task in (wanted.target, *wanted.paths):
        if task not in parts.tasks:
            raise unknown(f"task of {wanted.run!r}:", task, parts.tasks)
    _, variables = newest_variables(pathlib.Path(wanted.run).expanduser())
    label = parts.tasks[wanted.target].labels[0]
    networks, known = {}, {}
    for task, workdir in wanted.paths.items():
        networks[task] = _network(workdir, parts.tasks[task].labels[0], wanted.target)
        known[task] = newest_variables(pathlib.Path(workdir).expanduser())[1]

    def distances(variables: Any, known: Any, batch: Any) -> tuple[jax.Array, jax.Array]:
        predicted = parts.model.apply(variables, batch["image"], **told_of(batch, parts.model))
        y = predicted[wanted.target].astype(jnp.float32)
        found = []
        for task, network in networks.items():
            middle = predicted[task].astype(jnp.float32)
            middle = jax.nn.sigmoid(middle) if task in wanted.probabilities else middle
            other = network.model.apply(known[task], middle, camera=batch.get("camera"), tasks=[wanted.target])
            found.append(jnp.mean(jnp.abs(other[wanted.target] - y), axis=(2, 3, 4)).reshape(-1))
        valid = batch[f"{label}_valid"]
        error = jnp.mean(jnp.abs(y - batch[label]), axis=-1, keepdims=True)
        number = jnp.sum(valid, axis=(2, 3, 4))
        total = jnp.sum(jnp.where(valid, error, 0.0), axis=(2, 3, 4))
        return jnp.stack(found), jnp.where(number > 0, total / jnp.maximum(number, 1), jnp.nan).reshape(-1)

    program = jax.jit(distances)
    keep = (label,)
    return parts, lambda examples: program(variables, known, pipeline.stack(examples, keep=keep))


def _network(workdir: str, label: str, target: str) -> Experiment:
    network = experiment.build(checked(load(pathlib.Path(workdir).expanduser() / CONFIG_FILE)))
    if network.config.input != label:
        raise UserError(f"{workdir!r} was trained from input={network.config.input!r}; expected {label!r}.")
    if target not in network.tasks:
        raise unknown(f"task of {workdir!r}:", target, network.tasks)
    return network


def _distances(measure: Measure, examples: Iterable[Any], size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Of all frames of the examples, (K, N) and (N,)."""
    examples = list(examples)
    found = []
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        frames = len(part) * part[0]["image"].shape[0]
        part += [part[0]] * (size - len(part))  # so that one program serves all
        found.append([np.asarray(x)[..., :frames] for x in measure(part)])
    distances, errors = zip(*found, strict=True)
    return np.concatenate(distances, axis=1), np.concatenate(errors)


def _of(parts: Experiment, split: str, number: int) -> Iterator[Any]:
    """Some examples, spread over a split."""
    source = parts.data.split(split)
    for index in np.unique(np.linspace(0, len(source) - 1, min(number, len(source))).astype(int)):
        yield source[int(index)]


def _of_other(wanted: _Wanted) -> Iterator[Any]:
    source = resolve(wanted.other, data.SOURCES, kind="data", returns=data.DataSet).split("validation")
    for index in np.unique(np.linspace(0, len(source) - 1, min(wanted.images, len(source))).astype(int)):
        yield source[int(index)]


def _changed(example: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    image = pipeline.in_unit_range(example)["image"]
    return {**example, "image": np.clip(change(image), 0, 1).astype(np.float32)}


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, (0, sigma, sigma, 0))


def _as(example: Any, other: Any, size: tuple[int, int]) -> Any:
    """An example whose images are of other data; as many frames, at its size."""
    image = resized({"image": other["image"]}, size)["image"]
    chosen = np.arange(example["image"].shape[0]) % image.shape[0]
    return _changed({**example, "image": image[chosen]}, lambda x: x)


@functools.cache
def _defaults() -> Mapping[str, Any]:
    return {"other": "", "blur": 2.0, "noise": 0.2, "training": 256, "images": 128, "seed": 0, "probabilities": ()}


def _checked(config: ml_collections.ConfigDict) -> _Wanted:
    wanted = ml_collections.ConfigDict(dict(_defaults()))
    for key, value in config.items():
        if key not in _KNOWN:
            raise unknown("config key", key, _KNOWN)
        if not isinstance(value, _KNOWN[key]) or isinstance(value, bool):
            raise UserError(f"config.{key}={value!r}: expected a value of type {_KNOWN[key].__name__}.")
        wanted[key] = value
    for key in ("run", "target", "paths"):
        if not wanted.get(key):
            raise UserError(f"config.{key} is empty; the study of energy wants a run, a target and paths to it.")
    found = cast(_Wanted, wanted)
    for key, number in (("training", found.training), ("images", found.images)):
        if number < 2:
            raise UserError(f"config.{key}={number}: expected at least 2.")
    return found
