"""From a config to the parts of a run: every call-string resolved, every part checked against the others."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import ml_collections
import optax

from mtljax import balance, data, models, tasks
from mtljax.data import augment
from mtljax.errors import UserError, unknown
from mtljax.tasks.consistency.network import LabelNetwork
from mtljax.train.config import decay, objects
from mtljax.train.config.callstring import resolve
from mtljax.train.config.checks import fit
from mtljax.train.config.default import RunConfig, checked, default_config
from mtljax.train.config.labels_read import labels_of
from mtljax.train.config.learning_rates import check_learning_rate, climbs
from mtljax.train.config.measure_checks import check_jacobian, check_measure
from mtljax.train.config.namespaces import factories, functions, public
from mtljax.train.config.parts import Experiment
from mtljax.train.config.stored import CONFIG_FILE, load
from mtljax.train.spread import parallel
from mtljax.train.step import streams

_OF_MODELS = ("init", "apply", "groups", "special_groups", "own_features")  # what a run asks of one
_OPTIMISERS = {name: value for name, value in vars(optax).items() if callable(value) and not name.startswith("_")}


def build(config: ml_collections.ConfigDict, given: objects.Objects = objects.NONE) -> Experiment:
    """Resolves a checked config.

    Args:
        config: of the run.
        given: objects that stand in the place of its call-strings, by their keys, as `objects.split` has them.

    Raises:
        UserError: where any part is unknown, malformed, does not fit the others, or was given to an earlier run and is
            not given now.
    """
    config = cast(RunConfig, config)
    objects.check_given(config, given)
    chosen = tasks_of(config, given)
    spread = resolve(config.parallel, functions(parallel, ("pmap", "mesh")), kind="parallel", returns=parallel.Spread)
    spread.check_batch_size(config.batch_size)
    model = model_of(config, chosen, spread.axis, given)
    seed = streams.seed_of(config.seed, streams.BALANCE)
    if config.input and config.pretrained:
        raise UserError(f"input={config.input!r}: pretrained weights are of images; expected pretrained=''.")
    balancer = _balancer(config, tuple(chosen), seed, given)
    check_measure(config, balancer, spread)
    check_jacobian(config, balancer)
    if config.measure == "features" and balancer.sees != "losses" and model.own_features:
        raise UserError(
            f"measure='features' looks at features that all tasks share; model={config.model!r} makes some for each "
            "task: expected measure='shared'."
        )
    rated = {
        group: rated_optimizer(text, config.steps, key=f"optimizers.{group}", no_decay=config.no_decay, given=given)
        for group, text in config.optimizers.items()
    }
    transforms = {group: found for group, (found, _) in rated.items()}
    rates = {group: rate for group, (_, rate) in rated.items() if rate is not None}
    data_set = objects.resolve(given, "data", config.data, data.SOURCES, kind="data", returns=data.DataSet)
    if hasattr(data_set, "of_labels"):  # a mix, or features of one
        read = (*labels_of(chosen), *([config.input] if config.input else ()))
        data_set = cast(data.DataSet, data_set.of_labels(read))
    augmentation = augmentation_of(config.augment, given) if config.augment else None
    return Experiment(config, data_set, chosen, model, balancer, transforms, spread, augmentation, rates)


def tasks_of(config: ml_collections.ConfigDict, given: objects.Objects = objects.NONE) -> dict[str, tasks.Task]:
    """The tasks of a checked config, or those given, by their names, in their order; a call-string may name several.

    Raises:
        UserError: for an unknown name or argument, what a task refuses, two of one name, or a parent that is not among
            them.
    """
    named = [pair for name, text in cast(RunConfig, config).tasks.items() for pair in _tasks(name, text, given)]
    chosen = dict(sorted(named, key=lambda pair: pair[0]))
    if len(chosen) < len(named):
        names = [name for name, _ in named]
        repeated = next(name for name in names if names.count(name) > 1)
        raise UserError(f"config.tasks gives two tasks the name {repeated!r}; expected another name for one of them.")
    for task in chosen.values():
        for parent in task.parent_names:
            if not isinstance(parent, str) or parent not in chosen:
                raise unknown(f"parent of task {task.name!r}:", parent, chosen)
    return chosen


def augmentation_of(text: str, given: objects.Objects = objects.NONE) -> augment.Augmentation:
    """The augmentation that a call-string names, or that is given: `'flip()'`, `'compose(flip(), crop(96, 128))'`.

    Raises:
        UserError: for an unknown name or argument, or what the augmentation refuses.
    """
    known = factories(augment, returning=augment.Augmentation)
    return objects.resolve(given, "augment", text, known, kind="augmentation", returns=augment.Augmentation)


def balancer_of(
    text: str,
    num_tasks: int,
    seed: int,
    *,
    tasks: Sequence[str] | None = None,
    steps: int = 1,
    given: objects.Objects = objects.NONE,
) -> balance.Balancer:
    """The balancer that a call-string names.

    Args:
        text: as `'cagrad(c=0.4)'` or `'compose(imtl_l(), imtl_g())'`; optax transformations may stand inside.
        num_tasks: T, given to every call that takes it.
        seed: given to every call that takes it and does not name another.
        tasks: T names in the order of the losses, given to every call that takes them.
        steps: of the run, at which schedules of learning rates are looked at.
        given: objects, of which `balance` may be one.

    Raises:
        UserError: for an unknown name or argument, what the method refuses, or a balancer of another number of tasks.
    """
    methods = factories(balance, returning=balance.Balancer)
    found = objects.resolve(
        given,
        "balance",
        text,
        methods,
        kind="balancer",
        inject={"num_tasks": num_tasks, "seed": seed} | ({} if tasks is None else {"tasks": tuple(tasks)}),
        nested=_OPTIMISERS,
        check=functools.partial(check_learning_rate, steps=steps),
        returns=balance.Balancer,
    )
    if found.num_tasks != num_tasks:
        raise UserError(f"balance={text!r} is for {found.num_tasks} tasks; there are {num_tasks}.")
    return found


def _balancer(config: RunConfig, chosen: tuple[str, ...], seed: int, given: objects.Objects) -> balance.Balancer:
    """The balancer of a config, or those of its groups of parameters."""
    make = functools.partial(balancer_of, num_tasks=len(chosen), seed=seed, tasks=chosen, steps=config.steps)
    if not config.balance_groups:
        return make(config.balance, given=given)
    if config.balance != default_config().balance:
        raise UserError(
            f"config.balance={config.balance!r} and config.balance_groups: expected one of them; ('.*', "
            f"{config.balance!r}) as the last group takes what is in no other."
        )
    try:
        return balance.per_group([(pattern, make(text)) for pattern, text in config.balance_groups])
    except ValueError as error:
        raise UserError(f"config.balance_groups: {error}") from error


def optimizer_of(
    text: str, steps: int, key: str = "optimizer", no_decay: str = "", given: objects.Objects = objects.NONE
) -> optax.GradientTransformation:
    """The optax transformation that a call-string names; `steps` may stand in it.

    Args:
        text: as `'adam(1e-3)'`.
        steps: what the name `steps` stands for.
        key: of the config, for messages.
        no_decay: what weight decay leaves out, as `mtljax.train.config.decay.decayed` takes it.
        given: objects, of which the key may be one; weight decay is its own affair.

    Raises:
        UserError: for an unknown name or argument, something else than a transformation, or one that goes uphill.
    """
    return rated_optimizer(text, steps, key, no_decay, given)[0]


def rated_optimizer(
    text: str, steps: int, key: str = "optimizer", no_decay: str = "", given: objects.Objects = objects.NONE
) -> tuple[optax.GradientTransformation, Any]:
    """As `optimizer_of`, and the learning rate, a number or a schedule; None where the text has none, or several."""
    if no_decay and objects.is_object(given, key):
        raise UserError(f"{key}: no_decay={no_decay!r} reaches no optimiser that is an object; expected a call-string.")
    known = decay.masking(_OPTIMISERS, no_decay) if no_decay else _OPTIMISERS
    wrap = functools.partial(decay.with_mask, text=no_decay) if no_decay else None
    rates: list[Any] = []

    def check(name: str, given: Mapping[str, Any]) -> None:
        if check_learning_rate(name, given, steps):
            rates.append(given["learning_rate"])

    try:
        options = {"kind": "optimiser", "nested": {"steps": steps}, "check": check, "wrap": wrap}
        found = objects.resolve(given, key, text, known, **options)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    if not (hasattr(found, "init") and hasattr(found, "update")):
        raise UserError(f"{key}={text!r}: expected an optax transformation, not {type(found).__name__}.")
    if not rates and climbs(found):
        raise UserError(
            f"{key}={text!r} climbs: its updates follow the gradient; expected a learning rate, or a scale below 0."
        )
    return found, rates[0] if len(rates) == 1 else None


def model_of(
    config: RunConfig,
    chosen: Mapping[str, tasks.Task],
    axis_name: Any = None,
    given: objects.Objects = objects.NONE,
) -> Any:
    """The model of a checked config, or the one given.

    Args:
        config: of the run.
        chosen: name -> task, whose heads it has.
        axis_name: of the devices over which training averages statistics of a batch.
        given: objects, of which `model` may be one.

    Raises:
        UserError: for an unknown name or argument, or what is no model.
    """
    inject = {
        "heads": {name: task.head for name, task in chosen.items()},
        "parents": {name: task.parents for name, task in chosen.items()},
        "axis_name": axis_name,
        "remat": config.remat,
        "dtype": None if config.dtype == "float32" else config.dtype,
        "normalise": bool(config.pretrained),
    }
    if objects.is_object(given, "model"):
        model = objects.adopted(given["model"], inject)
    else:
        nested = public(models.encoders) | public(models.heads)
        options = {"kind": "model", "inject": inject, "nested": nested}
        model = objects.resolve(given, "model", config.model, models.SHARING, **options)
    lacking = [name for name in _OF_MODELS if not hasattr(model, name)]
    if lacking:
        raise UserError(
            f"model {config.model!r} gives something of type {type(model).__name__} without {', '.join(lacking)}; "
            "expected a way to share, such as MultiTask, or a class made of one."
        )
    heads = getattr(model, "heads", None) or chosen
    if set(heads) != set(chosen):
        raise UserError(
            f"model {config.model!r} has heads for {', '.join(heads)}; the tasks are {', '.join(chosen)}. Expected one "
            "head a task; those of the tasks are taken where the model has none."
        )
    return model


def _tasks(name: str, text: str, given: objects.Objects) -> list[tuple[str, tasks.Task]]:
    """The tasks that a call-string gives, with their names: one, or one for each of several losses."""
    known = {factory: getattr(tasks, factory) for factory in tasks.FACTORIES}
    nested = public(models.heads) | {n: getattr(jax.nn, n) for n in ("relu", "sigmoid", "softplus", "tanh")}
    inject = {"name": name, "networks": _network}
    options = {"kind": "task", "inject": inject, "nested": nested, "returns": (tasks.Task, tuple)}
    try:
        found = objects.resolve(given, f"tasks.{name}", text, known, **options)
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
    config = checked(load(pathlib.Path(workdir).expanduser() / CONFIG_FILE))
    config.parallel = "mesh(data=1)"
    parts = build(config)
    return LabelNetwork(workdir, config.input, tuple(parts.tasks), parts.model, lambda: fit(parts).shapes)
