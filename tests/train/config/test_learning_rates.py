"""Learning rates that cannot be meant are refused; those that can be are not."""

import pytest

from mtljax.errors import UserError
from mtljax.train.config.experiment import balancer_of, optimizer_of


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adam(-1e-3)", r"adam\(learning_rate=-0.001\) climbs: expected a finite number of at least 0"),
        ("sgd(learning_rate=-0.1, momentum=0.9)", r"sgd\(learning_rate=-0.1\) climbs"),
        ("chain(clip_by_global_norm(1.0), adamw(0.1 - 0.2))", r"adamw\(learning_rate=-0.1\) climbs"),
        ("adam(1e999)", r"adam\(learning_rate=inf\): expected"),
        ("adam(1e999 - 1e999)", r"adam\(learning_rate=nan\): expected"),
        ("adam('fast')", r"adam\(learning_rate='fast'\): expected"),
        ("adam(sgd(0.1))", r"adam\(learning_rate=Gradient.*\): expected"),
        ("adam(linear_schedule(1e-3, -1e-3, steps))", r"schedule of adam\(\) gives the learning rate -.* of 100"),
        ("sgd(warmup_cosine_decay_schedule(-0.1, 1e-3, 10, steps))", r"learning rate -0.1 at step 0 of 100"),
        ("sgd(exponential_decay(0.1, 1, 1e30))", r"learning rate inf at step"),
        ("scale_by_learning_rate(-0.1)", r"climbs"),
        ("chain(scale_by_adam(), scale(1e-3))", r"climbs: its updates follow the gradient"),
        ("chain(scale_by_adam(), scale_by_schedule(constant_schedule(1e-3)))", r"climbs: its updates follow"),
        ("identity()", r"climbs: its updates follow"),
    ],
)
def test_optimisers_that_climb_are_refused(text, message):
    with pytest.raises(UserError, match=rf"optimizers.depth.*{message}"):
        optimizer_of(text, steps=100, key="optimizers.depth")


@pytest.mark.parametrize(
    "text",
    [
        "adam(1e-3)",
        "adam(0.0)",
        "sgd(1)",
        "set_to_zero()",
        "adafactor()",
        "lbfgs()",
        "polyak_sgd()",
        "rprop(1e-3)",
        "chain(scale_by_adam(), scale(-1e-3))",
        "chain(trace(0.9), scale_by_learning_rate(1e-3))",
        "chain(add_decayed_weights(1e-4), scale_by_learning_rate(-1e-3, flip_sign=False))",
        "adamw(warmup_cosine_decay_schedule(0.0, 1e-3, steps // 10, steps))",
        "adamw(cosine_onecycle_schedule(steps, 1e-3))",
        "sgd(join_schedules([linear_schedule(0.0, 0.1, 10), polynomial_schedule(0.1, 0.0, 2, steps)], [10]))",
        "chain(sgd(0.1), scale(-1.0))",  # who says so, means it
    ],
)
def test_optimisers_that_may_be_meant_are_not(text):
    optimizer_of(text, steps=100)


def test_what_learns_weights_of_losses_is_looked_at_too():
    with pytest.raises(UserError, match=r"adam\(learning_rate=-0.001\) climbs"):
        balancer_of("uncertainty(optimizer=adam(-1e-3))", 3, seed=0)
    balancer_of("uncertainty(optimizer=adam(cosine_decay_schedule(1e-3, 10)))", 3, seed=0)
