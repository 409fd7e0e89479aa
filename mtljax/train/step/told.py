"""What a model is told of a batch beside its inputs."""

from typing import Any

from mtljax.models.pure import asks_for, names


def told_of(batch: Any, model: Any, method: str = "__call__") -> dict[str, Any]:
    """The camera and the labels of a batch, as keywords of a model's method, if that takes them.

    Labels are the whole batch; what heads see of it, and when, the model says (`mtljax.models.sharing.base.tasked`).

    Example:
        >>> import mtljax as mtl
        >>> model = mtl.MultiTask(mtl.encoders.MLP((4,)), {"a": mtl.heads.Linear(1)})
        >>> sorted(told_of({"image": 1}, model)), told_of({"image": 1}, model, "encode")
        (['camera', 'labels'], {})
    """
    asked = getattr(model, method)
    known = {"labels": batch} if names(asked, "labels") else {}
    # A model is told of the camera as ever; an encoder, where it predicts too.
    return known | ({"camera": batch.get("camera")} if method != "encode" or asks_for(asked, "camera") else {})
