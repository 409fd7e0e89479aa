"""Experiments that are no single training run: comparisons, and what a config's key `study` names."""

import pathlib
from collections.abc import Callable
from typing import cast

import ml_collections

from mtljax.errors import unknown
from mtljax.studies import cross_stitch, energy, toy
from mtljax.studies.comparison.run import run as compare
from mtljax.studies.relate.run import run as relate
from mtljax.train.run.workdir import sole_use_by_all

__all__ = ["STUDIES", "compare", "relate", "run"]

STUDIES: dict[str, Callable[[ml_collections.ConfigDict, pathlib.Path], None]] = {
    "cross_stitch": cross_stitch.run,
    "energy": energy.run,
    "toy": toy.run,
}


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Runs the study that the config names and leaves its figures in the workdir.

    Raises:
        UserError: for an unknown study, any mistake in its config, or a workdir that another process uses.
    """
    study = cast(str, config.study)
    if study not in STUDIES:
        raise unknown("study", study, STUDIES)
    with sole_use_by_all(workdir):
        STUDIES[study](config, workdir)
