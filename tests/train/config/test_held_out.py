"""Training examples that are kept aside for a balancer that learns on them."""

import numpy as np
import pytest

from mtljax import balance
from mtljax.errors import UserError
from mtljax.train.config import checks
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import build
from mtljax.train.config.own_balancers import check_balancer
from mtljax.train.run import loop
from mtljax.train.step.ahead import HELD_OUT
from tests.train.conftest import changed


def shown(split):
    return {np.asarray(split[i]["image"]).tobytes() for i in range(len(split))}


def test_what_is_kept_aside_is_not_trained_on(digits):
    config = changed(digits, balance="moml()", validation_share=0.25, batch_size=2)
    parts = build(checked(config))
    whole = shown(parts.data.split("train"))
    assert (len(parts.training), len(parts.held_out)) == (7, 3)
    assert shown(parts.training) | shown(parts.held_out) == whole
    assert not shown(parts.training) & shown(parts.held_out)
    batch, again = next(parts.train_batches()), next(parts.train_batches(2))
    for one in (batch, again):
        assert one.keys() - {HELD_OUT} == one[HELD_OUT].keys()
        assert {image.tobytes() for image in one[HELD_OUT]["image"]} <= shown(parts.held_out)
    assert batch[HELD_OUT]["image"].tobytes() != again[HELD_OUT]["image"].tobytes()


def test_a_balancer_that_needs_none_trains_on_all(digits):
    parts = build(checked(changed(digits, validation_share=0.25, batch_size=2)))
    assert len(parts.training) == len(parts.data.split("train"))
    assert HELD_OUT not in next(parts.train_batches())


@pytest.mark.parametrize("balancer", [balance.moml(2), balance.per_group({"encoder/.*": balance.pcgrad(2)})])
def test_what_wants_more_than_gradients_may_be_given_as_an_object(balancer):
    check_balancer("given('balancer')", balancer)


def looked_at(config):
    """What a run looks at before it trains."""
    parts = build(checked(config))
    return checks.notes(parts, checks.fit(parts))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"validation_share": 0.05},
            r"validation_share=0.05 leaves 1 of 10 training examples, less than batch_size=2; ",
        ),
        ({"validation_share": 0.9}, r"leaves 1 of 10 training examples to train on, .* expected a smaller share"),
        ({"validation_share": 1.0}, r"validation_share=1.0: expected a share, above 0 and below 1"),
        ({"accumulate": 2}, r"balance='auto_lambda\(\)' needs a validation batch, which accumulate=2 cannot divide"),
    ],
)
def test_a_share_that_leaves_no_batch_is_told(digits, changes, message):
    config = changed(digits, balance="auto_lambda()", **({"batch_size": 2} | changes))
    with pytest.raises(UserError, match=message):
        looked_at(config)


@pytest.mark.slow
def test_a_run_tells_what_is_kept_aside(digits, tmp_path, capsys):
    config = changed(digits, balance="auto_lambda()", validation_share=0.34, batch_size=4, steps=2)
    loop.train(config, tmp_path)
    assert "validation_share=0.34: 4 of 10 training examples are kept aside" in capsys.readouterr().out
