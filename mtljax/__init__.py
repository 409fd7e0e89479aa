"""mtljax: multi-task learning in JAX and Flax. One model, many tasks, gradients that do not fight."""

from mtljax import balance, models, tasks
from mtljax.balance import equal, gradnorm, pcgrad, value_and_jacobian
from mtljax.models import MultiTask, encoders, heads
from mtljax.tasks import Metric, Task

__version__ = "0.1.0"

__all__ = [
    "Metric",
    "MultiTask",
    "Task",
    "balance",
    "encoders",
    "equal",
    "gradnorm",
    "heads",
    "models",
    "pcgrad",
    "tasks",
    "value_and_jacobian",
]
