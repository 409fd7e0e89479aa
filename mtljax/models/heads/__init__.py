"""Heads: features in, one task's prediction out.

A head is called with the encoder's features. It names in its signature what else it wants: `size` (the image's
height and width), `frames` (the number of frames s folded into the batch; the head then gives its own clip axis),
`camera`, `parents` (a dict of its parents' predictions, with frames folded into the batch too where the head does not
ask for `frames` and the parent's did not), `train`.
"""

from mtljax.models.heads.aspp import ASPP
from mtljax.models.heads.classifier import Classifier
from mtljax.models.heads.dense import Dense
from mtljax.models.heads.ego_motion import EgoMotion
from mtljax.models.heads.flow import Flow
from mtljax.models.heads.frozen import Frozen
from mtljax.models.heads.inverse_depth import InverseDepth
from mtljax.models.heads.linear import Linear
from mtljax.models.heads.parents import Parents

__all__ = ["ASPP", "Classifier", "Dense", "EgoMotion", "Flow", "Frozen", "InverseDepth", "Linear", "Parents"]
