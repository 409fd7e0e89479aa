"""Modules as a given one, each with parameters of its own."""

from collections.abc import Sequence

import flax.linen as nn


def copies(module: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """One for each name."""
    return {name: module.clone(parent=None, name=None) for name in names}


def several(module: nn.Module, number: int) -> list[nn.Module]:
    """So many."""
    return [module.clone(parent=None, name=None) for _ in range(number)]
