"""Heads: features in, one task's prediction out.

A head is called with the encoder's features. It names in its signature what else it wants: `size` (the image's
height and width), `frames` (the number of frames s folded into the batch; the head then gives its own clip axis),
`camera`, `parents` (a dict of its parents' predictions by their roles, with frames folded into the batch too where the
head does not ask for `frames` and the parent's did not), `edges` (role -> the word of its edge, see
`mtljax.models.sharing.base.hierarchy`), `labels` (the batch in training, and where an edge is `truth`; else None),
`train`. One that asks for `frames`, and yet says the same of a frame whatever the others are, says so by a class
attribute `sees_frames_apart = True`: it is then asked about single photographs too. One that tells of each frame
and the next, and of a clip's last frame nothing, says `looks_ahead = True`: clips of a video then share a frame.
"""

from mtljax.models.heads.aspp import ASPP
from mtljax.models.heads.classifier import Classifier
from mtljax.models.heads.dense import Dense
from mtljax.models.heads.detect import Detect
from mtljax.models.heads.ego_motion import EgoMotion
from mtljax.models.heads.flow import Flow
from mtljax.models.heads.frozen import Frozen
from mtljax.models.heads.instances import Instances
from mtljax.models.heads.inverse_depth import InverseDepth
from mtljax.models.heads.linear import Linear
from mtljax.models.heads.parents import Parents
from mtljax.models.heads.pose import Pose
from mtljax.models.heads.track import Track
from mtljax.models.heads.trajectory import Trajectory

__all__ = [
    "ASPP", "Classifier", "Dense", "Detect", "EgoMotion", "Flow", "Frozen", "Instances", "InverseDepth", "Linear",
    "Parents", "Pose", "Track", "Trajectory",
]  # fmt: skip
