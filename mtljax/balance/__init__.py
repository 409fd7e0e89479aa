"""Losses and Jacobian -> one gradient: balancers as optax transformations. Needs JAX and optax only."""

from mtljax.balance.balancer import MEASURES, Balancer, BalanceState, Weights, scale_private
from mtljax.balance.bilevel import VALIDATION, Ahead, look_ahead
from mtljax.balance.compose import compose
from mtljax.balance.gramian import Gramian, combine, gramian
from mtljax.balance.hold_absent import Holding, hold_absent, parts_reached, reached_by, reached_leaves, where_reached
from mtljax.balance.jacobian import Linearized, linearize, linearize_at, value_and_jacobian
from mtljax.balance.linearized.owners import is_private, private_from
from mtljax.balance.linearized.vectorised import check_vectorised, mapped_rows_fail
from mtljax.balance.methods.aligned_mtl import aligned_mtl
from mtljax.balance.methods.auto_lambda import auto_lambda
from mtljax.balance.methods.cagrad import cagrad
from mtljax.balance.methods.config import config
from mtljax.balance.methods.constant import constant
from mtljax.balance.methods.cosmos import cosmos
from mtljax.balance.methods.cr_mogm import cr_mogm
from mtljax.balance.methods.db_mtl import db_mtl
from mtljax.balance.methods.dualproj import dualproj
from mtljax.balance.methods.dwa import dwa
from mtljax.balance.methods.equal import equal
from mtljax.balance.methods.excess_mtl import excess_mtl
from mtljax.balance.methods.fairgrad import fairgrad
from mtljax.balance.methods.famo import famo
from mtljax.balance.methods.forum import forum
from mtljax.balance.methods.geometric_mean import geometric_mean
from mtljax.balance.methods.graddrop import graddrop
from mtljax.balance.methods.gradnorm import GradNormState, gradnorm
from mtljax.balance.methods.gradvac import gradvac
from mtljax.balance.methods.imtl import imtl
from mtljax.balance.methods.imtl_g import imtl_g
from mtljax.balance.methods.imtl_l import imtl_l
from mtljax.balance.methods.krum import krum
from mtljax.balance.methods.mean import mean
from mtljax.balance.methods.mgda import mgda
from mtljax.balance.methods.moco import moco
from mtljax.balance.methods.modo import modo
from mtljax.balance.methods.moml import moml
from mtljax.balance.methods.nash_mtl import nash_mtl
from mtljax.balance.methods.pbi import pbi
from mtljax.balance.methods.pcd import pcd
from mtljax.balance.methods.pcgrad import pcgrad
from mtljax.balance.methods.random_direction import random_direction
from mtljax.balance.methods.random_weighting import random_weighting
from mtljax.balance.methods.sdmgrad import sdmgrad
from mtljax.balance.methods.stch import stch
from mtljax.balance.methods.sum import sum
from mtljax.balance.methods.trimmed_mean import trimmed_mean
from mtljax.balance.methods.uncertainty import uncertainty
from mtljax.balance.methods.upgrad import upgrad
from mtljax.balance.methods.xtc import xtc
from mtljax.balance.per_group import per_group
from mtljax.balance.rule import Observation, from_jacobian_rule, from_rule

__all__ = [
    "MEASURES",
    "VALIDATION",
    "Ahead",
    "BalanceState",
    "Balancer",
    "GradNormState",
    "Gramian",
    "Holding",
    "Linearized",
    "Observation",
    "Weights",
    "aligned_mtl",
    "auto_lambda",
    "cagrad",
    "check_vectorised",
    "combine",
    "compose",
    "config",
    "constant",
    "cosmos",
    "cr_mogm",
    "db_mtl",
    "dualproj",
    "dwa",
    "equal",
    "excess_mtl",
    "fairgrad",
    "famo",
    "forum",
    "from_jacobian_rule",
    "from_rule",
    "geometric_mean",
    "graddrop",
    "gradnorm",
    "gradvac",
    "gramian",
    "hold_absent",
    "imtl",
    "imtl_g",
    "imtl_l",
    "is_private",
    "krum",
    "linearize",
    "linearize_at",
    "look_ahead",
    "mapped_rows_fail",
    "mean",
    "mgda",
    "moco",
    "modo",
    "moml",
    "nash_mtl",
    "parts_reached",
    "pbi",
    "pcd",
    "pcgrad",
    "per_group",
    "private_from",
    "random_direction",
    "random_weighting",
    "reached_by",
    "reached_leaves",
    "scale_private",
    "sdmgrad",
    "stch",
    "sum",
    "trimmed_mean",
    "uncertainty",
    "upgrad",
    "value_and_jacobian",
    "where_reached",
    "xtc",
]
