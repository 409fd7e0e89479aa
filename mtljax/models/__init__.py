"""Encoders, heads and the ways to share between them: Flax Linen modules."""

from mtljax.models import encoders, heads
from mtljax.models.multitask import SHARED, MultiTask
from mtljax.models.pure import Pure

__all__ = ["SHARED", "MultiTask", "Pure", "encoders", "heads"]
