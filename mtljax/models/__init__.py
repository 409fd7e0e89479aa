"""Encoders, heads and the ways to share between them: Flax Linen modules."""

from mtljax.models import encoders, heads
from mtljax.models.branching import LearnToBranch
from mtljax.models.experts import CGC, PLE, DSelectK, MMoE
from mtljax.models.mtan import MTAN
from mtljax.models.multitask import MultiTask, SingleTask
from mtljax.models.nddr import NDDR
from mtljax.models.padnet import PADNet
from mtljax.models.pure import Pure
from mtljax.models.stitched import CrossStitch, Sluice
from mtljax.models.summary import summary
from mtljax.models.tasked import INITIAL, PENALTIES, PER_STEP, SHARED

SHARING = {
    model.__name__: model
    for model in (
        MultiTask, SingleTask, CrossStitch, Sluice, NDDR, MTAN, MMoE, CGC, PLE, DSelectK, LearnToBranch, PADNet,
    )
}  # fmt: skip

__all__ = ["INITIAL", "PENALTIES", "PER_STEP", "SHARED", "SHARING", "Pure", "encoders", "heads", "summary", *SHARING]
