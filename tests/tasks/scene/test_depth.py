"""Depth that another task trains: no loss of its own, several scales of which the first is judged."""

import jax
import numpy as np
import pytest

import mtljax as mtl

RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(1, 9, (2, 1, 6, 8, 1)).astype(np.float32)
BATCH = {"depth": TRUTH, "depth_valid": np.ones_like(TRUTH, bool)}
SCALES = np.concatenate([TRUTH + 0.5, RNG.uniform(1, 9, (2, 1, 6, 8, 2)).astype(np.float32)], axis=-1)


def test_without_a_loss_metrics_remain():
    task = mtl.tasks.depth(loss="none")
    assert task.loss(SCALES, BATCH) == (0, 0)
    sums = {key: np.asarray(value) for key, value in jax.jit(task.sums)(SCALES, BATCH).items()}
    found = {metric.name: metric.value(sums) for metric in task.metrics}
    np.testing.assert_allclose(found["AbsErr"], 0.5, rtol=1e-5)


@pytest.mark.parametrize("loss", ["l1", "berhu", "silog", "virtual_normal"])
def test_only_the_first_channel_is_judged(loss):
    batch = BATCH | {"camera": {"intrinsics": np.tile(np.float32([[7, 0, 4], [0, 7, 3], [0, 0, 1]]), (2, 1, 1))}}
    total = jax.jit(mtl.tasks.depth(loss=loss).loss)
    assert total(SCALES, batch) == total(SCALES[..., :1], batch)


def test_median_scaled_depth_is_drawn_as_it_is_judged():
    scaled, plain = (mtl.tasks.depth(median_scaling=s) for s in (True, False))
    found, wanted = scaled.draw(0.01 * TRUTH, BATCH)
    np.testing.assert_allclose(found.astype(int), wanted, atol=2)
    assert np.abs(plain.draw(0.01 * TRUTH, BATCH)[0].astype(int) - wanted).max() > 50


def test_none_is_no_term_of_a_sum():
    with pytest.raises(ValueError, match=r"unknown depth loss 'l3'.*none"):
        mtl.tasks.depth(loss="l3")
    assert mtl.tasks.depth(loss="l1").loss(SCALES, BATCH)[1] == 2
