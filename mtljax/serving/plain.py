"""Numbers as they are told: probabilities of logits, and what JSON can hold."""

from typing import Any

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis; NaN where no logit is finite."""
    with np.errstate(invalid="ignore"):
        raised = np.exp(logits - logits.max(-1, keepdims=True))
        return raised / raised.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of each logit."""
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))


def plain(value: Any) -> Any:
    """Numbers as JSON has them: None for those that are not finite."""
    if np.ndim(value):
        return [plain(x) for x in value]
    return float(f"{float(value):.6g}") if np.isfinite(value) else None
