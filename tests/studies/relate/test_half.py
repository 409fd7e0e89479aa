"""Networks of half the FLOPs: the widest whose measured share is at most a half."""

import pytest

from mtljax.errors import UserError
from mtljax.studies.relate import half
from tests.studies.relate.made import study


@pytest.fixture
def config(monkeypatch):
    """A config whose FLOPs are the square of its model's width, and a part for the head."""
    monkeypatch.setattr(half, "_flops", lambda config, model, text, task: 10.0 + half.widths_in(model)[0] ** 2)
    made = study(None, "networks()").config
    made.model = "MultiTask(encoder=ResNet(depth=10, width=16))"
    made.tasks = {"a": "depth(width=32)"}
    return made


def test_the_widest_network_of_half_the_flops_is_found(config):
    found = half.half_of(config, "a")
    assert found.model == "MultiTask(encoder=ResNet(depth=10, width=11))"
    assert found.task == "depth(width=22)"
    assert found.share == (10 + 11**2) / (10 + 16**2)
    assert (10 + 12**2) / (10 + 16**2) > 0.5


def test_a_model_may_be_given(config):
    found = half.half_of(config, "a", "MultiTask(encoder=ResNet(depth=10, width=8))")
    assert (found.task, found.share) == ("depth(width=32)", (10 + 64) / (10 + 256))


def test_a_model_without_widths_is_told(config, monkeypatch):
    monkeypatch.setattr(half, "_flops", lambda *_: 1.0)
    config.model = "MultiTask(encoder=LeNet())"
    with pytest.raises(UserError, match=r"names no width .* networks\(half='...'\)"):
        half.half_of(config, "a")


def test_a_network_that_cannot_be_halved_is_told(config, monkeypatch):
    monkeypatch.setattr(half, "_flops", lambda config, model, text, task: 100.0 + half.widths_in(model)[0])
    with pytest.raises(UserError, match="no width makes a network of 'a' of half the FLOPs"):
        half.half_of(config, "a")
