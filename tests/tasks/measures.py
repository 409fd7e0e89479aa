"""What tests ask of a task: its loss, its sums and its gradient, compiled once; and whether they add."""

import jax
import numpy as np


def measured(task):
    """Jitted (prediction, batch) -> (total, count), sums, gradient of total."""

    def measure(prediction, batch):
        loss, gradient = jax.value_and_grad(lambda p: task.loss(p, batch), has_aux=True)(prediction)
        return loss, task.sums(prediction, batch), gradient

    return jax.jit(measure)


def add_over_examples(measure, prediction, batch, atol=0.0):
    """Asserts that loss and sums of a batch are those of its examples, added up."""
    whole = measure(prediction, batch)[:2]
    cuts = [slice(i, i + 1) for i in range(len(prediction))]
    parts = [measure(prediction[cut], jax.tree.map(lambda x, cut=cut: x[cut], batch))[:2] for cut in cuts]
    added = jax.tree.map(lambda *x: sum(x), *parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol), added, whole)


def nothing_without_labels(measure, task, prediction, empty):
    """Asserts that a batch without any label adds nothing, pulls nowhere, and has no figures."""
    (total, count), sums, gradient = measure(prediction, empty)
    assert (total, count) == (0, 0)
    assert not np.any(gradient)
    assert not any(np.any(value) for value in jax.tree.leaves(sums))
    figures = [metric.value(jax.tree.map(np.asarray, sums)) for metric in task.metrics if sums]  # of edges on the host
    assert np.isnan(figures).all()
