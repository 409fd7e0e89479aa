"""From a config to the parts of a run: every call-string resolved, every part checked against the others."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import ml_collections
import optax

from mtljax import balance, data, models, tasks
from mtljax.balance import MEASURES
from mtljax.data import augment
from mtljax.errors import UserError, unknown
from mtljax.tasks.consistency.network import LabelNetwork
from mtljax.train.config import decay
from mtljax.train.config.callstring import resolve
from mtljax.train.config.checks import fit
from mtljax.train.config.default import RunConfig, checked
from mtljax.train.config.learning_rates import check_learning_rate, climbs
from mtljax.train.config.parts import Experiment, labels_of
from mtljax.train.config.stored import CONFIG_FILE, load
from mtljax.train.spread import parallel
from mtljax.train.step import streams

_OF_MODELS = ("init", "apply", "groups", "special_groups", "own_features")  # what a run asks of one
_OPTIMISERS = {name: value for name, value in vars(optax).items() if callable(value) and not name.startswith("_")}


def build(config: ml_collections.ConfigDict) -> Experiment:
    """Resolves a checked config.

    Raises:
        UserError: where any part is unknown, malformed, or does not fit the others.
    """
    config = cast(RunConfig, config)
    chosen = tasks_of(config)
    spread = resolve(config.parallel, _functions(parallel, ("pmap", "mesh")), kind="parallel", returns=parallel.Spread)
    spread.check_batch_size(config.batch_size)
    model = model_of(config, chosen, spread.axis)
    if config.jacobian == "vmap":
        _check_vectorised()
    seed = streams.seed_of(config.seed, streams.BALANCE)
    if config.input and config.pretrained:
        raise UserError(f"input={config.input!r}: pretrained weights are of images; expected pretrained=''.")
    balancer = balancer_of(config.balance, len(chosen), seed, tasks=tuple(chosen), steps=config.steps)
    _check_measure(config, balancer, spread)
    if config.measure == "features" and balancer.sees != "losses" and model.own_features:
        raise UserError(
            f"measure='features' looks at features that all tasks share; model={config.model!r} makes some for each "
            "task: expected measure='shared'."
        )
    transforms = {
        group: optimizer_of(text, config.steps, key=f"optimizers.{group}", no_decay=config.no_decay)
        for group, text in config.optimizers.items()
    }
    data_set = resolve(config.data, data.SOURCES, kind="data", returns=data.DataSet)
    if isinstance(data_set, data.Mix):
        read = (*labels_of(chosen), *([config.input] if config.input else ()))
        data_set = cast(data.DataSet, data_set.of_labels(read))
    augmentation = augmentation_of(config.augment) if config.augment else None
    return Experiment(config, data_set, chosen, model, balancer, transforms, spread, augmentation)


def tasks_of(config: ml_collections.ConfigDict) -> dict[str, tasks.Task]:
    """The tasks of a checked config by their names, in their order; a call-string may name several.

    Raises:
        UserError: for an unknown name or argument, what a task refuses, two of one name, or a parent that is not among
            them.
    """
    named = [pair for name, text in cast(RunConfig, config).tasks.items() for pair in _tasks(name, text)]
    chosen = dict(sorted(named, key=lambda pair: pair[0]))
    if len(chosen) < len(named):
        names = [name for name, _ in named]
        repeated = next(name for name in names if names.count(name) > 1)
        raise UserError(f"config.tasks gives two tasks the name {repeated!r}; expected another name for one of them.")
    for task in chosen.values():
        for parent in task.parents:
            if not isinstance(parent, str) or parent not in chosen:
                raise unknown(f"parent of task {task.name!r}:", parent, chosen)
    return chosen


def augmentation_of(text: str) -> augment.Augmentation:
    """The augmentation that a call-string names: `'flip()'`, `'compose(flip(), crop(96, 128))'`.

    Raises:
        UserError: for an unknown name or argument, or what the augmentation refuses.
    """
    known = factories(augment, returning=augment.Augmentation)
    return resolve(text, known, kind="augmentation", returns=augment.Augmentation)


def balancer_of(
    text: str, num_tasks: int, seed: int, *, tasks: Sequence[str] | None = None, steps: int = 1
) -> balance.Balancer:
    """The balancer that a call-string names.

    Args:
        text: as `'cagrad(c=0.4)'` or `'compose(imtl_l(), imtl_g())'`; optax transformations may stand inside.
        num_tasks: T, given to every call that takes it.
        seed: given to every call that takes it and does not name another.
        tasks: T names in the order of the losses, given to every call that takes them.
        steps: of the run, at which schedules of learning rates are looked at.

    Raises:
        UserError: for an unknown name or argument, or what the method refuses.
    """
    methods = factories(balance, returning=balance.Balancer)
    return resolve(
        text,
        methods,
        kind="balancer",
        inject={"num_tasks": num_tasks, "seed": seed} | ({} if tasks is None else {"tasks": tuple(tasks)}),
        nested=_OPTIMISERS,
        check=functools.partial(check_learning_rate, steps=steps),
        returns=balance.Balancer,
    )


def optimizer_of(text: str, steps: int, key: str = "optimizer", no_decay: str = "") -> optax.GradientTransformation:
    """The optax transformation that a call-string names; `steps` may stand in it.

    Args:
        text: as `'adam(1e-3)'`.
        steps: what the name `steps` stands for.
        key: of the config, for messages.
        no_decay: what weight decay leaves out, as `mtljax.train.config.decay.decayed` takes it.

    Raises:
        UserError: for an unknown name or argument, something else than a transformation, or one that goes uphill.
    """
    known = decay.masking(_OPTIMISERS, no_decay) if no_decay else _OPTIMISERS
    wrap = functools.partial(decay.with_mask, text=no_decay) if no_decay else None
    rated = []

    def check(name: str, given: Mapping[str, Any]) -> None:
        rated.append(check_learning_rate(name, given, steps))

    try:
        found = resolve(text, known, kind="optimiser", nested={"steps": steps}, check=check, wrap=wrap)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    if not (hasattr(found, "init") and hasattr(found, "update")):
        raise UserError(f"{key}={text!r}: expected an optax transformation, not {type(found).__name__}.")
    if not any(rated) and climbs(found):
        raise UserError(
            f"{key}={text!r} climbs: its updates follow the gradient; expected a learning rate, or a scale below 0."
        )
    return found


def _check_measure(config: RunConfig, balancer: balance.Balancer, spread: parallel.Spread) -> None:
    if config.measure not in MEASURES:
        raise unknown("measure", config.measure, MEASURES)
    if balancer.sees != "losses" and config.measure not in balancer.measures:
        raise UserError(
            f"balance={config.balance!r} works with measure={' or '.join(balancer.measures)}, not {config.measure!r}."
        )
    for number, who in (
        (balancer.samples, f"balance={config.balance!r}"),
        (config.accumulate, f"accumulate={config.accumulate}"),
    ):
        if config.batch_size % (spread.num_devices * number):
            raise UserError(
                f"batch_size={config.batch_size}: {who} splits what each of the {spread.num_devices} devices gets in "
                f"{number}; expected a multiple of {spread.num_devices * number}."
            )


def _check_vectorised() -> None:
    try:
        balance.check_vectorised()
    except ValueError as error:
        raise UserError(f"jacobian='vmap': {error}") from error


def model_of(config: RunConfig, chosen: Mapping[str, tasks.Task], axis_name: str | None = None) -> Any:
    """The model of a checked config.

    Args:
        config: of the run.
        chosen: name -> task, whose heads it has.
        axis_name: of the devices over which training averages statistics of a batch.

    Raises:
        UserError: for an unknown name or argument, or what is no model.
    """
    model = resolve(
        config.model,
        models.SHARING,
        kind="model",
        inject={
            "heads": {name: task.head for name, task in chosen.items()},
            "parents": {name: task.parents for name, task in chosen.items()},
            "axis_name": axis_name,
            "remat": config.remat,
            "dtype": None if config.dtype == "float32" else config.dtype,
            "normalise": bool(config.pretrained),
        },
        nested=_public(models.encoders) | _public(models.heads),
    )
    lacking = [name for name in _OF_MODELS if not hasattr(model, name)]
    if lacking:
        raise UserError(
            f"model {config.model!r} gives something of type {type(model).__name__} without {', '.join(lacking)}; "
            "expected a way to share, such as MultiTask, or a class made of one."
        )
    return model


def _tasks(name: str, text: str) -> list[tuple[str, tasks.Task]]:
    """The tasks that a call-string gives, with their names: one, or one for each of several losses."""
    factories = {factory: getattr(tasks, factory) for factory in tasks.FACTORIES}
    nested = _public(models.heads) | {n: getattr(jax.nn, n) for n in ("relu", "sigmoid", "softplus", "tanh")}
    inject = {"name": name, "networks": _network}
    try:
        found = resolve(text, factories, kind="task", inject=inject, nested=nested, returns=(tasks.Task, tuple))
    except UserError as error:
        raise UserError(f"tasks.{name}: {error}") from error
    if not isinstance(found, tuple):
        return [(name, found)]
    for task in found:
        if not isinstance(task, tasks.Task):
            raise UserError(f"tasks.{name}: {text!r} gives something of type {type(task).__name__}; expected Task.")
    return [(task.name, task) for task in found]


def _network(workdir: str) -> LabelNetwork:
    """A network that a run trained, by its config."""
    config = checked(load(pathlib.Path(workdir) / CONFIG_FILE))
    config.parallel = "mesh(data=1)"
    parts = build(config)
    return LabelNetwork(workdir, config.input, tuple(parts.tasks), parts.model, lambda: fit(parts).shapes)


def _functions(module: Any, names: tuple[str, ...]) -> dict[str, Callable]:
    return {name: getattr(module, name) for name in names}


def _public(module: Any) -> dict[str, Any]:
    """The classes and functions that a module exports, or defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if name in getattr(module, "__all__", ())
        or (not name.startswith("_") and getattr(value, "__module__", None) == module.__name__)
    }


def factories(module: Any, returning: type) -> dict[str, Callable]:
    """The exported functions annotated to return a type, but for those that make one of a rule."""
    found = {name: getattr(module, name) for name in module.__all__}
    return {
        name: f
        for name, f in found.items()
        if getattr(f, "__annotations__", {}).get("return") is returning and "rule" not in f.__annotations__
    }
