"""Counts are exact beyond 2^24, where float32 stops counting: of one batch, of devices, and of batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import mtljax as mtl
from mtljax.train.run.evaluate import Accumulator
from tests.tasks.metrics.test_not_finite import CASES

HEIGHT, WIDTH = 2**12 + 1, 2**12 + 3
NUMBER = HEIGHT * WIDTH  # odd, and so no float32
MASK = (1, 1, HEIGHT, WIDTH, 1)
# task, one pixel's prediction, label, one pixel's label, counts
BIG = {
    "segment": (mtl.tasks.segment(num_classes=2), [0.0, 1.0], "semantic", [1], {"confusion": [0, 0, 0, NUMBER]}),
    "normals": (mtl.tasks.normals(), [0.0, 0, 1], "normal", [0.0, 0, 1], {"within_30.0": NUMBER, "pixels": NUMBER}),
    "depth": (mtl.tasks.depth(), [1.0], "depth", [1.0], {"delta1": NUMBER, "pixels": NUMBER}),
    "flow": (mtl.tasks.flow(), [9.0, 0], "forward_flow", [0.0, 0], {"Fl_all": NUMBER, "pixels": NUMBER}),
}


# Of normals, whose angles take long, that all that is counted is an integer is tested below.
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n == "normals" else []) for n in BIG])
def test_pixels_of_one_batch(name):
    task, prediction, label, truth, wanted = BIG[name]

    @jax.jit
    def sums(prediction, truth, valid):
        batch = {label: jnp.broadcast_to(truth, (*MASK[:-1], *truth.shape))}
        batch[f"{label}_valid"] = jnp.broadcast_to(valid, MASK)
        return task.sums(jnp.broadcast_to(prediction, (*MASK[:-1], *prediction.shape)), batch)

    found = sums(jnp.array(prediction), jnp.array(truth), True)
    for key, value in wanted.items():
        np.testing.assert_array_equal(np.ravel(found[key]), value, err_msg=key)
    if name == "normals":
        assert np.max(found["histogram"]) == NUMBER


def test_scores_of_devices():
    task = mtl.tasks.classify(num_classes=2, label="y")
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def sums(logits):
        y = jnp.ones(2**21 + 1, jnp.int32)
        valid = (jnp.arange(len(y)) > 0) | (jax.lax.axis_index("data") > 0)  # all but one
        found = task.sums(jnp.broadcast_to(logits, (len(y), 2)), {"y": y, "y_valid": valid})
        return jax.lax.psum({**found, "scores": jnp.max(found["scores"])}, "data")

    spread = jax.shard_map(sums, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec())
    found = jax.jit(spread)(jnp.array([0.0, 1.0]))
    assert {key: int(value) for key, value in found.items() if value} == dict.fromkeys(
        ("top1", "top5", "examples", "scores", "labelled"), 2**24 + 7
    )


def test_counts_of_batches():
    found = Accumulator({"it": BIG["depth"][0]})
    for number in (2**24, 1):
        sums = {"delta1": np.int32(number), "pixels": np.int32(number + 1), "not_finite": np.int32(0)}
        sums |= dict.fromkeys(("AbsErr", "AbsRel", "SqRel", "square", "log_square", "log10", "delta2", "delta3"), 0.0)
        sums |= {"deviation": 0.0, "images": 1.0}
        found.add({"it": {"total": 0.0, "count": np.float32(1), "sums": sums}}, {}, {})
    assert found.figures()["it/delta1"] == (2**24 + 1) / (2**24 + 3)


@pytest.mark.parametrize("name", CASES)
def test_what_is_counted_is_an_integer(name):
    """Sums that are whole for every prediction and mask are counts."""
    task, prediction, batch = CASES[name]
    sums = jax.eval_shape(task.sums, prediction, batch)
    measures = {"AbsErr", "AbsRel", "SqRel", "square", "log_square", "log10", "deviation", "images", "angle"}
    measures |= {"distance", "EPE", "EPE_moving", "RPE_translation", "RPE_rotation", "photometric", "auto_masked"}
    assert {key for key, value in sums.items() if value.dtype != jnp.int32} <= measures
