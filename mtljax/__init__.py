"""mtljax: multi-task learning in JAX and Flax. One model, many tasks, gradients that do not fight."""

import importlib
from typing import TYPE_CHECKING, Any

from mtljax import balance, geometry, models, relations, report, tasks
from mtljax.balance import (
    aligned_mtl,
    cagrad,
    compose,
    config,
    constant,
    cosmos,
    cr_mogm,
    db_mtl,
    dualproj,
    dwa,
    equal,
    excess_mtl,
    fairgrad,
    famo,
    geometric_mean,
    graddrop,
    gradnorm,
    gradvac,
    imtl,
    imtl_g,
    imtl_l,
    krum,
    linearize,
    mean,
    mgda,
    moco,
    modo,
    nash_mtl,
    pbi,
    pcd,
    pcgrad,
    random_direction,
    random_weighting,
    sdmgrad,
    stch,
    sum,
    trimmed_mean,
    uncertainty,
    upgrad,
    value_and_jacobian,
    xtc,
)
from mtljax.models import (
    CGC,
    MTAN,
    NDDR,
    PLE,
    CrossStitch,
    DSelectK,
    LearnToBranch,
    MMoE,
    MultiTask,
    PADNet,
    SingleTask,
    Sluice,
    encoders,
    heads,
    summary,
)
from mtljax.tasks import Metric, Task, delta_m

if TYPE_CHECKING:  # what is imported when it is asked for, see `_LAZY`
    from mtljax.fitting import fit
    from mtljax.train_state import TrainState

__version__ = "0.1.0"
_LAZY = {"TrainState": "train_state", "fit": "fitting", "load": "serving"}  # name -> the module that it stands in


def __getattr__(name: str) -> Any:
    """What is imported when it is asked for: not all who balance gradients read pictures, or have us train."""
    if name in ("data", "serving", "train"):
        return importlib.import_module(f"mtljax.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(f"mtljax.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "CGC",
    "MTAN",
    "NDDR",
    "PLE",
    "CrossStitch",
    "DSelectK",
    "LearnToBranch",
    "MMoE",
    "Metric",
    "MultiTask",
    "PADNet",
    "SingleTask",
    "Sluice",
    "Task",
    "TrainState",
    "aligned_mtl",
    "balance",
    "cagrad",
    "compose",
    "config",
    "constant",
    "cosmos",
    "cr_mogm",
    "db_mtl",
    "delta_m",
    "dualproj",
    "dwa",
    "encoders",
    "equal",
    "excess_mtl",
    "fairgrad",
    "famo",
    "fit",
    "geometric_mean",
    "geometry",
    "graddrop",
    "gradnorm",
    "gradvac",
    "heads",
    "imtl",
    "imtl_g",
    "imtl_l",
    "krum",
    "linearize",
    "mean",
    "mgda",
    "moco",
    "models",
    "modo",
    "nash_mtl",
    "pbi",
    "pcd",
    "pcgrad",
    "random_direction",
    "random_weighting",
    "relations",
    "report",
    "sdmgrad",
    "stch",
    "sum",
    "summary",
    "tasks",
    "trimmed_mean",
    "uncertainty",
    "upgrad",
    "value_and_jacobian",
    "xtc",
]
