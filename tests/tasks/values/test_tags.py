"""Tags: the loss, AP and F1 against plain definitions, ties and gaps, tags that never come."""

import itertools

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.tasks.metrics.ranking import average_precision
from mtljax.train.run.evaluate import Accumulator
from tests.tasks import measures

B, K = 40, 4
RNG = np.random.default_rng(0)
TRUTH = (RNG.random((B, K)) < [0.3, 0.5, 0.9, 0.0]).astype(np.uint8)  # the last never comes
VALID = RNG.random((B, K)) < 0.8
LOGITS = (RNG.integers(-6, 7, (B, K)) / 4).astype(np.float32)  # with ties
BATCH = {"colours": TRUTH, "colours_valid": VALID}
TASK = mtl.tasks.tags(num_tags=K, label="colours")


@pytest.fixture(scope="module")
def measured():
    return measures.measured(TASK)


def figures(prediction, batch, task=TASK):
    added = Accumulator({"it": task})
    for rows in (slice(0, 7), slice(7, None)):
        part = {key: value[rows] for key, value in batch.items()}
        sums = jax.jit(task.sums)(prediction[rows], part)
        added.add({"it": {"total": 0.0, "count": 1.0, "sums": sums}}, {}, part)
    return {key.removeprefix("it/"): value for key, value in added.figures().items()}


def precision_over_recall(scores, truth):
    """AP as it is defined: at every threshold, precision times the gain in recall."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        recall = truth[taken].sum() / truth.sum()
        total, before = total + (recall - before) * truth[taken].mean(), recall
    return total


def test_the_loss_is_its_definition_and_gaps_never_matter(measured):
    p = 1 / (1 + np.exp(-LOGITS[VALID].astype(float)))
    y = TRUTH[VALID].astype(float)
    (total, count), sums, gradient = measured(LOGITS, BATCH)
    np.testing.assert_allclose(total, -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)), rtol=1e-5)
    assert count == VALID.sum()
    np.testing.assert_allclose(gradient, np.where(VALID, 1 / (1 + np.exp(-LOGITS)) - TRUTH, 0), atol=1e-6)
    dirty = measured(np.where(VALID, LOGITS, np.nan), BATCH | {"colours": np.where(VALID, TRUTH, 9).astype(np.uint8)})
    jax.tree.map(np.testing.assert_array_equal, ((total, count), sums, gradient), dirty)
    measures.nothing_without_labels(measured, TASK, LOGITS, BATCH | {"colours_valid": np.zeros_like(VALID)})


def test_figures_are_their_definitions():
    found = figures(LOGITS, BATCH)
    aps, f1s, hits, misses = [], [], 0, 0
    for k in range(K):
        truth, scores = TRUTH[VALID[:, k], k] > 0, LOGITS[VALID[:, k], k]
        taken = scores >= 0
        hits, misses = hits + (taken & truth).sum(), misses + (taken != truth).sum()
        if truth.any():
            aps.append(precision_over_recall(scores, truth))
            f1s.append(2 * (taken & truth).sum() / (2 * (taken & truth).sum() + (taken != truth).sum()))
    assert len(aps) == K - 1
    np.testing.assert_allclose(found["mAP"], np.mean(aps), rtol=1e-9)
    np.testing.assert_allclose(found["F1"], 2 * hits / (2 * hits + misses), rtol=1e-9)
    np.testing.assert_allclose(found["F1_macro"], np.mean(f1s), rtol=1e-9)
    assert found["unseen"] == 1 / K
    perfect = figures(np.where(TRUTH > 0, 3.0, -3.0).astype(np.float32), BATCH)
    assert (perfect["mAP"], perfect["F1"], perfect["F1_macro"]) == (1, 1, 1)


def test_average_precision_is_its_definition_of_every_small_case():
    for length in (1, 2, 3, 4):
        for truth in itertools.product((0, 1), repeat=length):
            for scores in itertools.product(range(3), repeat=length):
                counts = np.zeros((2, 3))
                np.add.at(counts, (list(truth), list(scores)), 1)
                if any(truth):
                    wanted = precision_over_recall(np.array(scores), np.array(truth))
                    np.testing.assert_allclose(average_precision(counts), wanted)
                else:
                    assert np.isnan(average_precision(counts))


def test_the_constant_is_how_often_tags_come_and_is_worth_that():
    constant = TASK.constant(BATCH)
    share = (TRUTH * VALID).sum(0) / VALID.sum(0)
    np.testing.assert_allclose(1 / (1 + np.exp(-constant.astype(float))), share, atol=1e-3)
    found = figures(np.broadcast_to(constant, (B, K)), BATCH)
    np.testing.assert_allclose(found["mAP"], share[:3].mean(), rtol=1e-6)


def test_many_tags_are_counted_in_fewer_bits():
    task = mtl.tasks.tags(num_tags=300, label="colours")
    logits = RNG.normal(size=(6, 300)).astype(np.float32)
    batch = {"colours": (logits > 0.5).astype(np.uint8), "colours_valid": np.ones((6, 1), bool)}
    sums = jax.jit(task.sums)(logits, batch)
    assert sums["scores"].shape == (300, 2, 2**13)
    assert task.primary.value(jax.tree.map(np.asarray, sums)) > 0.99


def test_pictures_name_the_likeliest_first():
    task = mtl.tasks.tags(num_tags=K, label="colours", names=["red", "blue", "brown", "grey"])
    found, true = task.draw(LOGITS[:2], {key: value[:2] for key, value in BATCH.items()})
    assert found.shape == true.shape == (2, 1, 64, 96, 3)
    assert (found[0] != found[1]).any()
    other, _ = TASK.draw(LOGITS[:2], {key: value[:2] for key, value in BATCH.items()})
    assert (other != found).any()


def test_labels_that_are_no_flags_are_refused_and_tags_that_never_come_told():
    assert TASK.check(BATCH) == "no example has the tags 3."
    with pytest.raises(UserError, match="label 'colours' holds 2; expected 0 and 1"):
        TASK.check(BATCH | {"colours": 2 * TRUTH, "colours_valid": np.ones_like(VALID)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_tags": 0}, r"tags\(num_tags=0\): expected a whole number"),
        ({"num_tags": 3, "names": ["a"]}, r"tags\(num_tags=3\): 1 names; expected one for each"),
        ({"num_tags": 3, "primary": "map"}, r"unknown primary metric of tags\(...\): 'map'; did you mean 'mAP'"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        mtl.tasks.tags(label="colours", **arguments)
