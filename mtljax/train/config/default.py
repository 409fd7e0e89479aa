"""The config of a run: its keys and their defaults."""

from collections.abc import Mapping
from typing import Any, cast

import ml_collections

from mtljax.errors import UserError, unknown

_CHOICES = {"dtype": ("float32", "bfloat16"), "jacobian": ("auto", "unrolled", "vmap")}


class RunConfig(ml_collections.ConfigDict):
    """A checked config, by the types of its keys; what they mean stands beside their defaults."""

    data: str
    augment: str
    model: str
    pretrained: str
    init_from: str
    tasks: Mapping[str, str]
    balance: str
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
    eval_every: int
    checkpoint_every: int
    keep_checkpoints: int
    max_skipped_in_row: int
    loader_threads: int
    unreadable_share: float
    missing: float
    train_share: float
    panel_images: int
    baseline_examples: int
    cosines_every: int
    writers: str


def default_config() -> ml_collections.ConfigDict:
    """All keys of a config, with their defaults. A value that takes arguments is a call-string."""
    return ml_collections.ConfigDict(
        {
            "data": "scenes('tiny')",
            "augment": "",  # of the training examples alone, such as 'compose(flip(), scale(1.0, 1.5))'; '' for none
            "model": "MultiTask(encoder=ResNet(depth=18))",
            "pretrained": "",  # file of weights (.safetensors, .pth) that the encoders start from
            "init_from": "",  # workdir of a run whose parameters are taken where their names are the same
            "tasks": {},  # name -> call-string; losses come in the alphabetical order of names
            "balance": "equal()",
            "measure": "shared",  # what a gradient method looks at: shared, last_layer or features
            "optimizers": {},  # 'shared' and every task -> call-string; 'steps' may stand in it
            "clip_norm": 0.0,  # norm to which the gradient of all groups together is clipped; 0 for none
            "no_decay": "",  # what weight decay leaves out: 'norms and biases', or a regular expression on paths
            "parallel": "mesh(data=-1)",
            "batch_size": 16,
            "accumulate": 1,  # parts of each device's batch that are worked through one after the other
            "remat": False,  # compute the encoder's activations again in each backward pass, instead of keeping them
            "dtype": "float32",  # of the encoder's computation; or bfloat16. Parameters are float32
            "jacobian": "auto",  # how rows are computed: unrolled, vmap, or what is faster where it runs
            "steps": 1000,
            "seed": 0,
            "log_every": 10,
            "eval_every": 500,
            "checkpoint_every": 500,
            "keep_checkpoints": 3,
            "max_skipped_in_row": 10,  # non-finite updates in a row after which the run stops
            "loader_threads": 2,
            "unreadable_share": 0.01,  # of the training records that may be unreadable; they are told and left out
            "train_share": 1.0,  # of the training examples, by the seed; a smaller part is a part of every larger one
            "missing": 0.0,  # share of the labels of training examples that are hidden, each at random
            "panel_images": 4,
            "baseline_examples": 256,  # training examples from which the constant predictor is made
            "cosines_every": 0,  # steps after which gradient cosines are measured for methods that do not; 0 for never
            "writers": "",  # of figures, besides metrics.jsonl and TensorBoard: "wandb(project='mine'), mlflow()"
        }
    )


def checked(config: ml_collections.ConfigDict) -> RunConfig:
    """The config with defaults filled in.

    Raises:
        UserError: for an unknown key, a value of the wrong type, or a number that cannot be.
    """
    known = cast(RunConfig, default_config())
    for key, value in config.items():
        if key not in known:
            raise unknown("config key", key, known.keys())
        if not isinstance(value, ml_collections.ConfigDict):
            wanted = type(known[key])
            if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
                raise UserError(f"config.{key}={value!r}: expected a value of type {wanted.__name__}.")
            known[key] = value
    for key in ("tasks", "optimizers"):
        known[key] = ml_collections.ConfigDict(dict(cast(Mapping[str, Any], config.get(key, {}))))
    for key, value in known.items():
        least = 0 if key in ("seed", "panel_images", "cosines_every") else 1
        if isinstance(value, int) and not isinstance(value, bool) and value < least:
            raise UserError(f"config.{key}={value}: expected at least {least}.")
    for key, share in (("unreadable_share", known.unreadable_share), ("missing", known.missing)):
        if not 0 <= share < 1:
            raise UserError(f"config.{key}={share}: expected a share, from 0 to below 1.")
    if not 0 < known.train_share <= 1:
        raise UserError(f"config.train_share={known.train_share}: expected a share, above 0 and at most 1.")
    if not 0 <= known.clip_norm < float("inf"):
        raise UserError(f"config.clip_norm={known.clip_norm}: expected a positive number, or 0 for none.")
    for key, choices in _CHOICES.items():
        if known[key] not in choices:
            raise unknown(f"config.{key}", str(known[key]), choices)
    if not known.tasks:
        raise UserError("config.tasks is empty; give at least one task, such as {'depth': 'depth()'}.")
    return known


def flat(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The config as one dict of dotted keys."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            result |= {f"{key}.{inner}": v for inner, v in flat(value).items()}
        else:
            result[key] = value
    return result
