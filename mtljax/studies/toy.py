"""The study of balancers on the toy landscape: where each method of a config ends, as figures and as a picture."""

import json
import pathlib
from typing import Protocol, cast

import ml_collections
import numpy as np

from mtljax.errors import UserError, unknown
from mtljax.studies.toy_landscape import SCALES, STARTS, trajectories
from mtljax.studies.toy_plot import draw
from mtljax.train.config.experiment import balancer_of, optimizer_of

FILE, PICTURE = "toy.json", "toy.png"


class _Wanted(Protocol):
    """The keys of a config of this study."""

    study: str
    methods: str
    steps: int
    optimizer: str
    seed: int


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Follows every method of the config; writes `toy.json` and `toy.png` and prints where each ends.

    Raises:
        UserError: for a mistake in the config, or a workdir that cannot be written.
    """
    wanted, methods = _checked(config)
    for method in methods:  # All of them, before the first takes its time.
        balancer_of(method, num_tasks=2, seed=wanted.seed)
    optimizer_of(wanted.optimizer, wanted.steps)
    found = {}
    for method in methods:
        found[method] = trajectories(method, wanted.steps, wanted.optimizer, wanted.seed)
        print(_rows(method, found[method].points[:, :, -1]), flush=True)
    ends = {
        method: {str(s): where.points[i, :, -1].tolist() for i, s in enumerate(SCALES)}
        for method, where in found.items()
    }
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / FILE).write_text(
            json.dumps({"starts": STARTS, "steps": wanted.steps, "ends": ends}, indent=1) + "\n"
        )
        draw(workdir / PICTURE, found)
    except OSError as error:
        raise UserError(f"cannot write to workdir {str(workdir)!r}: {error.strerror or error}.") from error


def _checked(config: ml_collections.ConfigDict) -> tuple[_Wanted, list[str]]:
    """A config that holds what it must, and its methods."""
    known = {"study": str, "methods": str, "steps": int, "optimizer": str, "seed": int}
    for key, value in config.items():
        if key not in known:
            raise unknown("config key", key, known)
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise UserError(f"config.{key}={value!r}: expected a value of type {known[key].__name__}.")
    wanted = cast(_Wanted, config)
    if wanted.steps < 1:
        raise UserError(f"config.steps={wanted.steps}: expected at least 1.")
    methods = [method.strip() for method in wanted.methods.split(";") if method.strip()]
    if not methods:
        raise UserError("config.methods is empty; expected call-strings with ; between them, such as 'sum();mgda()'.")
    return wanted, methods


def _rows(method: str, ends: np.ndarray) -> str:
    """A line a scale: the end point from each start."""
    lines = []
    for scale, points in zip(SCALES, ends, strict=True):
        cells = "  ".join(f"({x1:6.2f}, {x2:6.2f})" for x1, x2 in points)
        lines.append(f"{scale:>4}  {method:<18}  {cells}")
    return "\n".join(lines)
