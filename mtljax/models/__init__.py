"""Encoders, heads and the ways to share between them: Flax Linen modules."""

from mtljax.models import encoders, heads
from mtljax.models.pure import Pure
from mtljax.models.sharing.experts import CGC, PLE, DSelectK, MMoE
from mtljax.models.sharing.learn_to_branch import LearnToBranch
from mtljax.models.sharing.mtan import MTAN
from mtljax.models.sharing.multitask import MultiTask, SingleTask
from mtljax.models.sharing.nddr import NDDR
from mtljax.models.sharing.pad_net import PADNet
from mtljax.models.sharing.stitched import CrossStitch, Sluice
from mtljax.models.sharing.tasked import INITIAL, PENALTIES, PER_STEP, SHARED
from mtljax.models.summary import summary

SHARING = {
    model.__name__: model
    for model in (
        MultiTask, SingleTask, CrossStitch, Sluice, NDDR, MTAN, MMoE, CGC, PLE, DSelectK, LearnToBranch, PADNet,
    )
}  # fmt: skip

__all__ = ["INITIAL", "PENALTIES", "PER_STEP", "SHARED", "SHARING", "Pure", "encoders", "heads", "summary", *SHARING]
