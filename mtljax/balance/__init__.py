"""Losses and Jacobian -> one gradient: balancers as optax transformations. Needs JAX and optax only."""

from mtljax.balance._absent import Holding, hold_absent, parts_reached, reached_by
from mtljax.balance._aligned_mtl import aligned_mtl
from mtljax.balance._balancer import MEASURES, Balancer, BalanceState, Weights, scale_private
from mtljax.balance._bargaining import fairgrad, nash_mtl
from mtljax.balance._baselines import constant, equal, mean, random_direction, random_weighting, sum
from mtljax.balance._cagrad import cagrad
from mtljax.balance._compose import compose
from mtljax.balance._config import config
from mtljax.balance._dual_cone import dualproj, upgrad
from mtljax.balance._dwa import dwa
from mtljax.balance._famo import famo
from mtljax.balance._graddrop import graddrop
from mtljax.balance._gradnorm import GradNormState, gradnorm
from mtljax.balance._gradvac import gradvac
from mtljax.balance._gramian import Gramian, combine, gramian
from mtljax.balance._imtl import imtl, imtl_g
from mtljax.balance._jacobian import Linearized, linearize, value_and_jacobian
from mtljax.balance._learned_weights import imtl_l, uncertainty
from mtljax.balance._mgda import mgda
from mtljax.balance._owners import is_private
from mtljax.balance._pcd import pcd
from mtljax.balance._pcgrad import pcgrad
from mtljax.balance._robust import krum, trimmed_mean
from mtljax.balance._rule import Observation, from_jacobian_rule, from_rule
from mtljax.balance._sampled import cr_mogm, modo, sdmgrad
from mtljax.balance._scalarizations import cosmos, geometric_mean, pbi
from mtljax.balance._stch import stch
from mtljax.balance._tracked import db_mtl, excess_mtl, moco
from mtljax.balance._vectorised import check_vectorised, mapped_rows_fail

__all__ = [
    "MEASURES",
    "BalanceState",
    "Balancer",
    "GradNormState",
    "Gramian",
    "Holding",
    "Linearized",
    "Observation",
    "Weights",
    "aligned_mtl",
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
    "mapped_rows_fail",
    "mean",
    "mgda",
    "moco",
    "modo",
    "nash_mtl",
    "parts_reached",
    "pbi",
    "pcd",
    "pcgrad",
    "random_direction",
    "random_weighting",
    "reached_by",
    "scale_private",
    "sdmgrad",
    "stch",
    "sum",
    "trimmed_mean",
    "uncertainty",
    "upgrad",
    "value_and_jacobian",
]
