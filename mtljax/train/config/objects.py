"""Objects in the place of call-strings: data, tasks, models and so on that Python was given, not text.

What has a call-string (`naming`) becomes one. For the rest `given('Rows')` stands in the config; it cannot be made from
there, so that whoever goes on with the run gives it again.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import flax.linen as nn
import ml_collections
import optax

from mtljax import balance, data, models, tasks
from mtljax.data import augment
from mtljax.errors import UserError, unknown
from mtljax.models import SHARED
from mtljax.train.config import callstring
from mtljax.train.config.naming import is_default, is_factory, named
from mtljax.train.spread.parallel import Spread

Objects = Mapping[str, Any]  # a key of the config, such as `data` or `tasks.depth` -> what was given
NONE: Objects = {}
SINGLE = ("data", "model", "balance", "augment", "parallel")
GROUPS = ("tasks", "optimizers")
_ALIASES = {"balancer": "balance"}
_MARK = re.compile(r"given\('[^']*'\)")
_KNOWN: dict[str, Callable[[], Mapping[str, Any]]] = {
    "data": lambda: data.SOURCES,
    "model": lambda: models.SHARING | vars(models.encoders) | vars(models.heads),
    "balance": lambda: vars(balance),
    "augment": lambda: vars(augment),
    "tasks": lambda: vars(tasks) | vars(models.heads),
    "optimizers": lambda: vars(optax),
}


def split(choices: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Choices as a config holds them, and the objects among them.

    Args:
        choices: key -> call-string or object: `data`, `model`, `balancer`, `augment`, `parallel`, `writers`; `tasks`, a
            dict by name or a sequence of tasks; `optimizers`, a dict by group, or one for all groups. A dict of arrays
            as `data` is what `mtl.data.from_arrays` makes of it, and a model that is no way to share is the encoder of
            `MultiTask`. What is to be called for it (a class, a function, a `functools.partial`) is given what it
            names, as in a call-string: a task its `name`, a balancer `num_tasks` and `seed`.

    Returns:
        Key -> value for the config; and key of the config -> object for `build`.

    Raises:
        UserError: for tasks without names, or two of one name.

    Example:
        >>> import mtljax as mtl
        >>> values, objects = split({"model": mtl.encoders.MLP((4,)), "balancer": mtl.pcgrad(2), "steps": 3})
        >>> print(values, list(objects))
        {'steps': 3, 'model': 'MultiTask(encoder=MLP(widths=(4,)))', 'balance': "given('Balancer')"} ['balance']
    """
    choices = {_ALIASES.get(key, key): value for key, value in choices.items()}
    values = {key: value for key, value in choices.items() if key not in (*SINGLE, *GROUPS)}
    objects: dict[str, Any] = {}
    for key in SINGLE:
        if key in choices:
            values[key] = _written(key, key, choices[key], objects)
    if "tasks" in choices:
        values["tasks"] = _group("tasks", _by_name(choices["tasks"]), objects)
    if not isinstance(choices.get("writers", ""), str):
        objects["writers"] = choices["writers"]
        values["writers"] = f"given({_name(choices['writers'])!r})"
    if "optimizers" in choices:
        chosen = choices["optimizers"]
        by_group = isinstance(chosen, Mapping)
        chosen = chosen if by_group else dict.fromkeys((SHARED, *values.get("tasks", ())), chosen)
        values["optimizers"] = _group("optimizers", chosen, objects)
    return values, objects


def again(config: ml_collections.ConfigDict, choices: Mapping[str, Any]) -> dict[str, Any]:
    """The objects for a config that stands in a workdir, out of what is given now as it was to `split`.

    What the config holds as text is made from that, unless something else is given for it.

    Raises:
        UserError: for what a run has no part of.
    """
    known = (*SINGLE, *GROUPS, *_ALIASES)
    for key in choices:
        if key not in known:
            raise unknown("part of a run", key, known)
    groups: list[str] = list(cast(Mapping[str, str], config.get("optimizers", {})))
    if "optimizers" in choices and not isinstance(choices["optimizers"], Mapping):
        choices = {**choices, "optimizers": dict.fromkeys(groups, choices["optimizers"])}
    values, objects = split(choices)
    for key in (key for key in SINGLE if key in values and key not in objects):
        objects[key] = values[key]  # another text
    for group in GROUPS:
        objects |= {f"{group}.{n}": v for n, v in values.get(group, {}).items() if f"{group}.{n}" not in objects}
    return objects


def is_mark(text: Any) -> bool:
    """Whether a value of the config only tells that an object was given."""
    return isinstance(text, str) and _MARK.fullmatch(text) is not None


def check_given(config: ml_collections.ConfigDict, objects: Objects, parts: Sequence[str] = (*SINGLE, *GROUPS)) -> None:
    """Refuses to build parts of which the config only tells that an object was given.

    Args:
        config: of a run.
        objects: what is given now.
        parts: that are to be built.

    Raises:
        UserError: with all of them.
    """
    keys = {key: config.get(key) for key in SINGLE if key in parts}
    for group in (group for group in GROUPS if group in parts):
        keys |= {f"{group}.{name}": text for name, text in cast(Mapping[str, Any], config.get(group, {})).items()}
    marked = {key: text for key, text in keys.items() if is_mark(text)}
    missing = {key: text for key, text in marked.items() if key not in objects}
    if missing:
        arguments = dict.fromkeys(_argument(key.split(".")[0]) for key in missing)
        listed = ", ".join(f"config.{key}={text}" for key, text in missing.items())
        raise UserError(
            f"{listed}: stands for an object that mtl.fit was given, and cannot be made from text; give it again in "
            f"Python: mtl.load(workdir, {', '.join(f'{name}=...' for name in arguments)}), or mtl.fit as before."
        )


def resolve(objects: Objects, key: str, text: str, namespace: Mapping[str, Any], **options: Any) -> Any:
    """What stands under a key of the config: what was given for it, or what its call-string names.

    Args:
        objects: what was given.
        key: of the config.
        text: its value there.
        namespace: as of `callstring.resolve`.
        **options: as of `callstring.resolve`.

    Raises:
        UserError: for what `callstring.resolve` refuses, or an object of another type.
    """
    given = objects.get(key, text)
    if isinstance(given, str):
        return callstring.resolve(given, namespace, **options)
    if is_factory(given):
        name = getattr(given, "__name__", "made")
        name = name if name.isidentifier() else "made"
        return callstring.resolve(f"{name}()", {name: given}, **options)
    returns = options.get("returns")
    if returns is not None and not isinstance(given, returns):
        wanted = " or ".join(one.__name__ for one in (returns if isinstance(returns, tuple) else (returns,)))
        raise UserError(
            f"{_argument(key)}: something of type {type(given).__name__}; expected {wanted}, a call-string, "
            "or what makes one."
        )
    return given


def _argument(key: str) -> str:
    return next((alias for alias, name in _ALIASES.items() if name == key), key)


def _written(key: str, kind: str, value: Any, objects: dict[str, Any]) -> str:
    """The text for the config; where it is but a mark, the object is added to the others."""
    if isinstance(value, str):
        return value
    if isinstance(value, Spread):
        return value.name
    if kind == "data" and isinstance(value, Mapping):
        value = data.from_arrays(value)
    text = named(value, _KNOWN[kind]()) if kind in _KNOWN else None
    if text is not None and kind == "model" and not is_factory(value) and not hasattr(value, "groups"):
        text = f"MultiTask(encoder={text})"
    if text is None:
        objects[key] = value
        text = f"given({_name(value)!r})"
    return text


def _name(value: Any) -> str:
    kind = value if is_factory(value) else type(value)
    return getattr(kind, "__qualname__", type(value).__qualname__).replace("'", "")


def _group(group: str, chosen: Mapping[str, Any], objects: dict[str, Any]) -> ml_collections.ConfigDict:
    texts = {name: _written(f"{group}.{name}", group, value, objects) for name, value in chosen.items()}
    return ml_collections.ConfigDict(texts)


def _by_name(chosen: Any) -> dict[str, Any]:
    if isinstance(chosen, Mapping):
        renamed = {n: isinstance(task, tasks.Task) and task.name != n for n, task in chosen.items()}
        return {n: dataclasses.replace(task, name=n) if renamed[n] else task for n, task in chosen.items()}
    chosen = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
    for task in chosen:
        if not isinstance(task, tasks.Task):
            raise UserError(f"tasks: something of type {type(task).__name__}; expected mtl.Task, or a dict by name.")
    names = [task.name for task in chosen]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"tasks: {name!r} is there twice; expected each name once, or a dict by name.")
    return dict(zip(names, chosen, strict=True))


def is_object(objects: Objects, key: str) -> bool:
    """Whether an object was given for a key, rather than text or what makes one."""
    return key in objects and not isinstance(objects[key], str) and not is_factory(objects[key])


def adopted(model: Any, inject: Mapping[str, Any]) -> Any:
    """A model that was given as an object, with what a run tells every model and its parts; an encoder, in `MultiTask`.

    What was set is left as it was: only attributes that have their defaults, or no heads, are filled in.

    Raises:
        UserError: for what is neither a model nor an encoder.
    """
    if not hasattr(model, "groups"):
        try:
            model = models.MultiTask(encoder=model, heads=inject["heads"])
        except TypeError as error:
            raise UserError(f"model: {error}") from error
    return _filled(model, inject)


def _filled(value: Any, inject: Mapping[str, Any]) -> Any:
    """A module whose attributes, and those of modules in it, are filled in; the same one where there is nothing to."""
    if isinstance(value, Mapping):
        parts = {key: _filled(part, inject) for key, part in value.items()}
        return parts if any(part is not value[key] for key, part in parts.items()) else value
    if not isinstance(value, nn.Module):
        return value
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        if field.name in inject and is_default(field, found):
            changes[field.name] = inject[field.name]
        elif field.init and field.name != "parent":
            filled = _filled(found, inject)
            if filled is not found:
                changes[field.name] = filled
    return value.clone(**changes) if changes else value
