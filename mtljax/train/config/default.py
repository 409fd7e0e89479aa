"""The config of a run: its keys and their defaults."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import ml_collections

from mtljax.defaults import DEFAULTS
from mtljax.errors import UserError, unknown
from mtljax.train.config import own_folders

_CHOICES = {"dtype": ("float32", "bfloat16"), "jacobian": ("auto", "unrolled", "streamed", "vmap")}
# What names of figures have beside tasks.
_OF_FIGURES = ("loss", "balance", "learning_rate", "speed", "input", "affinity")
_LAST_SEED = 2**32 - 1
_BETWEEN_NAMES = "/;,"  # on command lines and in names of figures


class RunConfig(ml_collections.ConfigDict):
    """A checked config, by the types of its keys; what they mean stands beside their defaults."""

    data: str
    input: str
    augment: str
    model: str
    pretrained: str
    init_from: str
    modules: str
    tasks: Mapping[str, str]
    balance: str
    balance_groups: Sequence[Sequence[str]]
    measure: str
    optimizers: Mapping[str, str]
    clip_norm: float
    no_decay: str
    parallel: str
    batch_size: int
    accumulate: int
    remat: bool
    dtype: str
    jacobian: str
    steps: int
    seed: int
    log_every: int
    profile: tuple[int, int]
    eval_every: int
    checkpoint_every: int
    keep_checkpoints: int
    keep_best: str
    max_skipped_in_row: int
    loader_threads: int
    unreadable_share: float
    missing: float
    train_share: float
    validation_share: float
    panel_images: int
    baseline_examples: int
    cosines_every: int
    affinity_every: int
    affinity_step: float
    writers: str


def default_config() -> ml_collections.ConfigDict:
    """All keys of a config, with their defaults, which `mtljax/defaults.py` explains."""
    return ml_collections.ConfigDict(copy.deepcopy(dict(DEFAULTS)))


def balance_told(config: RunConfig) -> str:
    """What balances the tasks, as messages name it: the key of the config and its value."""
    groups = [tuple(pair) for pair in config.balance_groups]
    return f"balance_groups={groups}" if groups else f"balance={config.balance!r}"


def checked(config: ml_collections.ConfigDict) -> RunConfig:
    """The config with defaults filled in. Folders of modules of the user's own are on Python's path from then on.

    Raises:
        UserError: for an unknown key, a value of the wrong type, or a number that cannot be.
    """
    known = cast(RunConfig, default_config())
    for key, value in config.items():
        if key not in known:
            raise unknown("config key", key, known.keys())
        if not (isinstance(value, ml_collections.ConfigDict) and key in ("tasks", "optimizers")):
            value = value.to_dict() if isinstance(value, ml_collections.ConfigDict) else value
            if key == "balance_groups":
                value = _groups(value)
            wanted = type(known[key])
            value = tuple(value) if wanted is tuple and isinstance(value, list) else value  # as JSON has it
            if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
                raise UserError(f"config.{key}={value!r}: expected a value of type {wanted.__name__}.")
            known[key] = value
    for key in ("tasks", "optimizers"):
        known[key] = ml_collections.ConfigDict(dict(cast(Mapping[str, Any], config.get(key, {}))))
    for key, value in known.items():
        least = 0 if key in ("seed", "panel_images", "cosines_every", "affinity_every") else 1
        if isinstance(value, int) and not isinstance(value, bool) and value < least:
            raise UserError(f"config.{key}={value}: expected at least {least}.")
    if known.seed > _LAST_SEED:  # JAX takes 32 bits of a seed: others would begin with the same parameters
        raise UserError(f"config.seed={known.seed}: expected at most {_LAST_SEED}.")
    for key, share in (("unreadable_share", known.unreadable_share), ("missing", known.missing)):
        if not 0 <= share < 1:
            raise UserError(f"config.{key}={share}: expected a share, from 0 to below 1.")
    if not 0 < known.validation_share < 1:
        raise UserError(f"config.validation_share={known.validation_share}: expected a share, above 0 and below 1.")
    if not 0 < known.train_share <= 1:
        raise UserError(f"config.train_share={known.train_share}: expected a share, above 0 and at most 1.")
    if not 0 <= known.clip_norm < float("inf"):
        raise UserError(f"config.clip_norm={known.clip_norm}: expected a positive number, or 0 for none.")
    _check_affinity(known)
    _check_profile(known)
    for key, choices in _CHOICES.items():
        if known[key] not in choices:
            raise unknown(f"config.{key}", str(known[key]), choices)
    if not known.tasks:
        raise UserError("config.tasks is empty; give at least one task, such as {'depth': 'depth()'}.")
    _check_names(known.tasks)
    keys = cast(Mapping[str, Any], known)
    known.modules = known.modules or own_folders.folders_of(keys)
    own_folders.look_in(known.modules, own_folders.modules_in(keys))
    return known


def _check_names(tasks: Mapping[str, str]) -> None:
    for name in tasks:
        if name in _OF_FIGURES:
            raise UserError(
                f"config.tasks: a task cannot be named {name!r}, which stands in the names of a run's other figures; "
                "expected another name."
            )
        if set(name) & set(_BETWEEN_NAMES):
            raise UserError(f"config.tasks: the name {name!r} holds one of {' '.join(_BETWEEN_NAMES)}; expected none.")


def _groups(value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs of texts, as tuples: a stored config has lists."""
    pairs = tuple(tuple(pair) for pair in value) if isinstance(value, tuple | list) else None
    if pairs is None or not all(len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs):
        raise UserError(
            f"config.balance_groups={value!r}: expected pairs of a regular expression and a balancer, such as "
            "[('encoder/conv1.*', 'pcgrad()'), ('.*', 'equal()')]."
        )
    return cast(tuple[tuple[str, str], ...], pairs)


def _check_affinity(config: RunConfig) -> None:
    if not 0 <= config.affinity_step < float("inf"):
        raise UserError(
            f"config.affinity_step={config.affinity_step}: expected a positive number, or 0 for the first order alone."
        )
    seen = {"features": "the encoder's output", "last_layer": "the last layer that tasks share"}.get(config.measure)
    if config.affinity_every and seen:
        raise UserError(
            f"config.affinity_every={config.affinity_every} with measure={config.measure!r}: the affinity is what a "
            f"step on the shared parameters does; of gradients at {seen} it would have been that of a step on those "
            "alone. Expected measure='shared'."
        )


def _check_profile(config: RunConfig) -> None:
    between = config.profile
    if any(type(number) is not int for number in between) or len(between) != 2:
        raise UserError(f"config.profile={between}: expected two steps, the first and the last, such as (100, 110).")
    if between != (0, 0) and not 1 <= between[0] <= between[1] <= config.steps:
        raise UserError(
            f"config.profile={between}: expected the first and the last of some of the steps 1 to {config.steps}; or "
            "(0, 0) for no trace."
        )


def flat(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The config as one dict of dotted keys."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            result |= {f"{key}.{inner}": v for inner, v in flat(value).items()}
        else:
            result[key] = value
    return result
