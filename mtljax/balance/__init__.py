"""Losses and Jacobian -> one gradient: balancers as optax transformations. Needs JAX and optax only."""

from mtljax.balance._balancer import Balancer, BalanceState, Observation, from_rule
from mtljax.balance._equal import equal
from mtljax.balance._gradnorm import GradNormState, gradnorm
from mtljax.balance._gramian import Gramian, combine, gramian
from mtljax.balance._jacobian import Linearized, linearize, value_and_jacobian
from mtljax.balance._pcgrad import pcgrad

__all__ = [
    "BalanceState",
    "Balancer",
    "GradNormState",
    "Gramian",
    "Linearized",
    "Observation",
    "combine",
    "equal",
    "from_rule",
    "gradnorm",
    "gramian",
    "linearize",
    "pcgrad",
    "value_and_jacobian",
]
