"""Compiled programs that runs of one config share, whatever their seeds: so that only the first of them compiles."""

import collections
import dataclasses
import json
from typing import Any

import ml_collections

from mtljax.train.config import experiment, objects
from mtljax.train.config.own import as_identifiers
from mtljax.train.config.parts import Experiment

# What no compiled program depends on.
APART = (
    "seed",
    "log_every",
    "profile",
    "eval_every",
    "checkpoint_every",
    "keep_checkpoints",
    "keep_best",
    "max_skipped_in_row",
    "loader_threads",
    "unreadable_share",
    "missing",
    "train_share",
    "validation_share",
    "panel_images",
    "baseline_examples",
    "init_from",
    "cosines_every",
    "writers",
)


class Programs:
    """Builds experiments; those whose configs differ only in what programs do not depend on share what is compiled.

    Seeds of one method, one after the other, so reuse the first one's programs, in one process. (Another process finds
    them in JAX's persistent compilation cache.) A balancer of the user's own that takes the seed is compiled again.

    Args:
        keep: of how many configs programs are kept, the latest ones; those of others are let go.

    Raises:
        ValueError: where `keep` is below 1.
    """

    def __init__(self, keep: int = 1) -> None:
        if keep < 1:
            raise ValueError(f"keep={keep}: expected at least 1.")
        self._keep = keep
        self._known: collections.OrderedDict[str, dict[str, Any]] = collections.OrderedDict()

    def build(self, config: ml_collections.ConfigDict, given: objects.Objects = objects.NONE) -> Experiment:
        """Resolves a checked config, as `experiment.build` does; objects that are given share nothing."""
        parts = experiment.build(config, given)
        if given:
            return parts
        key = _key(config)
        found = self._known.pop(key, {})
        self._known[key] = found
        while len(self._known) > self._keep:
            self._known.popitem(last=False)
        return dataclasses.replace(parts, programs=found)


def _key(config: ml_collections.ConfigDict) -> str:
    given: dict[str, Any] = config.to_dict()
    apart = set(APART)
    if as_identifiers(given["balance"]) != given["balance"]:
        apart.remove("seed")  # who knows what it does with it
    return json.dumps({name: value for name, value in given.items() if name not in apart}, sort_keys=True)
