"""What `--list` prints: everything that may stand at some place of a config, a line each."""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mtljax.command import parsing
from mtljax.errors import unknown

_WIDTH = 28


def of(kind: str) -> str:
    """The names of a kind, each with the first line of what it says of itself.

    Raises:
        UserError: for a kind that there is none of.

    Example:
        >>> print(of("balancers").splitlines()[0])
        aligned_mtl...
        >>> of("balancer")
        Traceback (most recent call last):
        mtljax.errors.UserError: unknown list 'balancer'; did you mean 'balancers'? Known: augmentations, ...
    """
    if kind not in KINDS:
        raise unknown("list", kind, KINDS)
    return "\n".join(f"{name:<{_WIDTH}}  {text}".rstrip() for name, text in sorted(KINDS[kind]().items(), key=_letters))


def _letters(item: tuple[str, str]) -> str:
    return item[0].lower()


def _told(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: (getattr(value, "__doc__", None) or "").strip().partition("\n")[0] for name, value in found.items()}


def _balancers() -> dict[str, str]:
    from mtljax import balance
    from mtljax.train.config.namespaces import factories

    return _told(factories(balance, returning=balance.Balancer))


def _tasks() -> dict[str, str]:
    from mtljax import tasks

    return _told(tasks.FACTORIES)


def _modules(room: str) -> dict[str, str]:
    import flax.linen as nn

    from mtljax import models

    place = getattr(models, room)
    made = {name: getattr(place, name) for name in place.__all__}
    return _told(
        {name: value for name, value in made.items() if isinstance(value, type) and issubclass(value, nn.Module)}
    )


def _models() -> dict[str, str]:
    from mtljax import models

    return _told(models.SHARING)


def _data() -> dict[str, str]:
    from mtljax import data

    return _told(data.SOURCES)


def _augmentations() -> dict[str, str]:
    from mtljax.data import augment
    from mtljax.train.config.namespaces import factories

    return _told(factories(augment, returning=augment.Augmentation))


def _optimizers() -> dict[str, str]:
    import optax

    return _told({name: value for name, value in vars(optax).items() if "learning_rate" in _arguments(value)})


def _schedules() -> dict[str, str]:
    import optax

    return _told({name: value for name, value in vars(optax).items() if name.endswith("_schedule")})


def _arguments(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)[:1] if inspect.isfunction(function) else ()


def _configs() -> dict[str, str]:
    files = {name: parsing.config_file(name) for name in parsing.shipped_configs()}
    docs = {name: ast.get_docstring(ast.parse(file.read_text())) or "" for name, file in files.items()}
    return {name: doc.partition("\n")[0] for name, doc in docs.items()}


KINDS: Mapping[str, Callable[[], dict[str, str]]] = {
    "augmentations": _augmentations,
    "balancers": _balancers,
    "configs": _configs,
    "data": _data,
    "encoders": lambda: _modules("encoders"),
    "heads": lambda: _modules("heads"),
    "models": _models,
    "optimizers": _optimizers,
    "schedules": _schedules,
    "tasks": _tasks,
}
