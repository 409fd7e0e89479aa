"""Encoders, heads and the ways to share between them: Flax Linen modules."""

from mtljax.models import encoders, heads
from mtljax.models.pure import Pure
from mtljax.models.sharing.base.noted import INITIAL, PENALTIES, PER_STEP
from mtljax.models.sharing.base.tasked import SHARED
from mtljax.models.sharing.cgc import CGC
from mtljax.models.sharing.cross_stitch import CrossStitch
from mtljax.models.sharing.dselect_k import DSelectK
from mtljax.models.sharing.learn_to_branch import LearnToBranch
from mtljax.models.sharing.mmoe import MMoE
from mtljax.models.sharing.mtan import MTAN
from mtljax.models.sharing.multitask import MultiTask
from mtljax.models.sharing.nddr import NDDR
from mtljax.models.sharing.pad_net import PADNet
from mtljax.models.sharing.ple import PLE
from mtljax.models.sharing.single_task import SingleTask
from mtljax.models.sharing.sluice import Sluice
from mtljax.models.summary import summary

SHARING = {
    model.__name__: model
    for model in (
        MultiTask, SingleTask, CrossStitch, Sluice, NDDR, MTAN, MMoE, CGC, PLE, DSelectK, LearnToBranch, PADNet,
    )
}  # fmt: skip

__all__ = [
    "CGC", "INITIAL", "MTAN", "NDDR", "PENALTIES", "PER_STEP", "PLE", "SHARED", "SHARING", "CrossStitch", "DSelectK",
    "LearnToBranch", "MMoE", "MultiTask", "PADNet", "Pure", "SingleTask", "Sluice", "encoders", "heads", "summary",
]  # fmt: skip
