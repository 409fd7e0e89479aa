"""Runs on a part of the training examples."""

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.train.config import experiment
from mtljax.train.config.default import checked
from mtljax.train.run import evaluate as evaluation
from mtljax.train.run import loop
from tests.train.conftest import changed


def built(config, **changes):
    return experiment.build(checked(changed(config, **changes)))


def test_a_run_sees_no_other_examples(digits):
    """Nor does the constant predictor."""
    parts = built(digits, train_share=0.5, batch_size=4, parallel="mesh(data=1)")
    whole = built(digits, parallel="mesh(data=1)").training
    assert (len(parts.training), len(whole)) == (5, 10)
    images = {parts.training[i]["image"].tobytes() for i in range(5)}
    assert images < {whole[i]["image"].tobytes() for i in range(10)}
    batches = parts.train_batches()
    seen = {np.asarray(image).tobytes() for _ in range(5) for image in next(batches)["image"]}
    assert seen == images


def test_the_constant_is_made_of_the_part(digits, monkeypatch):
    parts = built(digits, train_share=0.5, batch_size=4, parallel="mesh(data=1)")
    made_of = []
    monkeypatch.setattr(evaluation, "evaluate_constant", lambda labels, *others: made_of.append(labels))
    from mtljax.train.config import checks

    evaluation.figures_of_constant(parts, checks.fit(parts))
    assert len(made_of[0]["left"]) == 5


def test_a_part_of_less_than_a_batch_is_refused_before_anything_is_written(digits, tmp_path):
    message = r"train_share=0.3 leaves 3 of 10 training examples, less than batch_size=8"
    with pytest.raises(UserError, match=message):
        loop.train(changed(digits, train_share=0.3), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_a_share_that_cannot_be_is_refused(digits, share):
    with pytest.raises(UserError, match=r"config\.train_share="):
        checked(changed(digits, train_share=share))


def test_a_part_is_told(digits, tmp_path, capsys):
    loop.train(changed(digits, train_share=0.8, steps=1, parallel="mesh(data=1)"), tmp_path / "run")
    assert "train_share=0.8: 8 of 10 examples" in capsys.readouterr().out
