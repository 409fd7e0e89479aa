"""Labels without a class, though they are no gaps: how many of them there are, and whether a run may start so."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.tasks.labels import check_class_ids
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.task import Metric

NOWHERE = -1  # the id that stands for no class beside `ignore`
MOST = 0.01  # of the labels: the share without a class beyond which a run does not start
UNCLASSED = Metric("unclassed", False, ratio("unclassed", over="labelled"))
_LISTED = 8


def counts(ids: jax.Array, valid: jax.Array, num_classes: int, ignore: int) -> dict[str, jax.Array]:
    """What `UNCLASSED` is made of: labels that are no gaps, and those of them whose id is no class; () int32 each."""
    labelled = valid & (ids != ignore) & (ids != NOWHERE)
    beyond = labelled & ((ids < 0) | (ids >= num_classes))
    return {"labelled": jnp.sum(labelled, dtype=jnp.int32), "unclassed": jnp.sum(beyond, dtype=jnp.int32)}


def check(labels: Mapping[str, np.ndarray], label: str, num_classes: int, ignore: int = NOWHERE) -> str:
    """What there is to tell of labels without a class, for the start of a run.

    Args:
        labels: a batch with `label` and its mask.
        label: batch key of the class ids.
        num_classes: C.
        ignore: the id that stands for no class, beside -1.

    Returns:
        A sentence, or nothing where all labels have a class.

    Raises:
        UserError: where more than `MOST` of them have none, or where of two classes one is given as `ignore`: a mask of
            0 and 255.

    Example:
        >>> labels = {"y": np.array([0, 1, 2, -1]), "y_valid": np.ones(4, bool)}
        >>> check(labels, "y", num_classes=3)
        ''
        >>> check(labels, "y", num_classes=2)
        Traceback (most recent call last):
        mtljax.errors.UserError: 33 % of the labels 'y' have no class: id 2; expected 0 to 1, or -1 where there is ...
    """
    ids = np.asarray(labels[label])
    check_class_ids(ids, label)
    ids = ids[np.broadcast_to(np.asarray(labels[f"{label}_valid"], bool), ids.shape)].astype(np.int64)
    gaps = (ids == ignore) | (ids == NOWHERE)
    found = np.unique(ids[~gaps])
    if num_classes == 2 and ignore > 1 and found.tolist() == [0] and (ids == ignore).any():
        raise UserError(
            f"label {label!r} holds 0 and {ignore} alone, and {ignore} stands for no class: nothing is of class 1. "
            f"Expected a mask of 0 and 1; or is another id to be ignored (ignore=...)?"
        )
    beyond = found[(found < 0) | (found >= num_classes)]
    if not beyond.size:
        return ""
    share = np.isin(ids[~gaps], beyond).mean()
    listed = ", ".join(map(str, beyond[:_LISTED])) + (", ..." if beyond.size > _LISTED else "")
    none = "-1" if ignore == NOWHERE else f"{ignore} or -1"
    said = (
        f"{100 * share:.2g} % of the labels {label!r} have no class: id{'s' * (beyond.size > 1)} {listed}; "
        f"expected 0 to {num_classes - 1}, or {none} where there is none"
    )
    if share <= MOST:
        return f"{said}. They count for nothing."
    raise UserError(f"{said}. Found are {found[0]} to {found[-1]}; num_classes={num_classes}.")
