"""The loss of every image of a split, and of all together, by a run's newest checkpoint; kept beside the run."""

import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from mtljax.data import pipeline
from mtljax.tasks import Task
from mtljax.train.config.default import checked
from mtljax.train.config.parts import Experiment
from mtljax.train.config.programs import Programs
from mtljax.train.run.start import newest
from mtljax.train.run.workdir import replace_text, unwritable
from mtljax.train.spread import hosts
from mtljax.train.step.told import told_of

FILE = "image_losses.json"


def keep(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, splits: Sequence[str], programs: Programs | None = None
) -> None:
    """Computes the losses of a run's images in some splits, and writes them into its workdir.

    The file holds `step`, and of each split: `losses`, task -> a number an image, null where it has no label; and
    `mean`, task -> loss over all that is labelled, as evaluations have it.

    Args:
        config: of the run.
        workdir: of the run.
        splits: of its data.
        programs: as `loop.train` takes it.

    Raises:
        UserError: where there is no checkpoint, a split is not there, or the workdir cannot be written.
    """
    parts = (programs or Programs()).build(checked(config))
    restored = newest(parts, workdir)
    state = restored.state
    variables = jax.device_put(hosts.whole({"params": state.params, **state.model_state}), jax.local_devices()[0])
    step = parts.program("image losses", lambda: jax.jit(functools.partial(_losses, parts.model, parts.tasks)))
    found = {split: _of_split(parts, split, functools.partial(step, variables)) for split in splits}
    if hosts.first():
        try:
            replace_text(workdir / FILE, json.dumps({"step": restored.step, **found}) + "\n")
        except OSError as error:
            raise unwritable(workdir, error) from error


def _losses(
    model: Any, tasks: Mapping[str, Task], variables: Any, batch: Any
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Task -> sums and counts (B,) of its loss, of each example alone."""
    batch = pipeline.in_unit_range(batch)
    predictions = model.apply(variables, pipeline.inputs_of(batch), **told_of(batch, model))

    def one(example: Any) -> dict[str, tuple[jax.Array, jax.Array]]:
        predictions, batch = jax.tree.map(lambda x: x[None], example)
        return {name: task.loss(predictions[name], batch) for name, task in tasks.items()}

    return jax.lax.map(one, (predictions, batch))


def _of_split(parts: Experiment, split: str, step: Callable[[Any], Any]) -> dict[str, Any]:
    source = parts.data.split(split)
    batches = pipeline.eval_batches(
        source,
        parts.config.batch_size,
        keep=parts.labels,
        num_threads=parts.config.loader_threads,
        raw=True,
        label=parts.config.input,
    )
    found = [(np.asarray(batch["example_valid"]), jax.tree.map(np.asarray, step(batch))) for batch in batches]
    losses, mean = {}, {}
    for task in parts.tasks:
        total, count = (
            np.concatenate([pair[task][i][valid] for valid, pair in found]).astype(np.float64) for i in (0, 1)
        )
        each = [t / c if c > 0 and np.isfinite(t) else None for t, c in zip(total, count, strict=True)]
        losses[task] = each
        mean[task] = float(total.sum() / count.sum()) if count.sum() > 0 and np.isfinite(total.sum()) else None
    return {"losses": losses, "mean": mean}
