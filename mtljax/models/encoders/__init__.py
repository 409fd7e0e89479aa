"""Encoders: images (or feature vectors) in, features out.

An image encoder gives a pyramid, a tuple of maps from fine to coarse, each `(B, H/stride, W/stride, C)`, or vectors.
Each is a chain of named stages (`Staged`), between which networks can be joined.
"""

from mtljax.models.encoders.alexnet import AlexNet
from mtljax.models.encoders.fpn import FPN
from mtljax.models.encoders.global_pool import global_pool
from mtljax.models.encoders.lenet import LeNet
from mtljax.models.encoders.mlp import MLP
from mtljax.models.encoders.resnet import ResNet
from mtljax.models.encoders.staged import Staged
from mtljax.models.encoders.unet import UNet
from mtljax.models.encoders.vit import ViT

__all__ = ["FPN", "MLP", "AlexNet", "LeNet", "ResNet", "Staged", "UNet", "ViT", "global_pool"]
