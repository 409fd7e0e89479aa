"""Seeds of one config share what is compiled; other configs do not."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.train.config import checks
from mtljax.train.config import programs as of_configs
from mtljax.train.config.default import checked
from mtljax.train.config.programs import Programs
from mtljax.train.run import loop
from mtljax.train.run.start import start
from tests.runs import lines, state
from tests.train.conftest import changed

HEAD = "classify(num_classes=10, label='{0}', head=Classifier(10, hidden=(4,)))"


@pytest.fixture
def config(digits):
    tasks = {side: HEAD.format(side) for side in ("left", "right")}
    return changed(digits, tasks=tasks, balance="random_weighting()", parallel="mesh(data=1)", panel_images=1)


@pytest.fixture
def second(config, tmp_path, monkeypatch):
    """The folder of a run whose programs the run of another seed has compiled; and what it compiled itself."""
    compiled, programs = [], Programs()
    loop.train(config, tmp_path / "0", programs=programs)
    with monkeypatch.context() as watched:
        watched.setattr(jax.stages.Lowered, "compile", lambda self, *args: compiled.append(self))
        loop.train(changed(config, seed=1, log_every=1), tmp_path / "1", programs=programs)
    return tmp_path / "1", compiled


def test_a_second_seed_compiles_nothing_and_trains_another_network(second, tmp_path):
    assert not second[1]
    first, other = (state(tmp_path / name, 2) for name in "01")
    assert any((value != first[key]).any() for key, value in other.items() if "kernel" in key)


@pytest.mark.slow
def test_a_second_seed_gives_what_it_gives_alone(second, config, tmp_path):
    loop.train(changed(config, seed=1, log_every=1), tmp_path / "alone")
    found, expected = (state(folder, 2) for folder in (second[0], tmp_path / "alone"))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    told = [[figures(line) for line in lines(folder)] for folder in (second[0], tmp_path / "alone")]
    assert told[0] == told[1]


@pytest.mark.slow
def test_the_seed_is_an_input_of_what_is_compiled(config):
    """So that the persistent cache finds in another process what a run of another seed has compiled."""

    def programs(seed):
        parts = Programs().build(checked(changed(config, seed=seed)))
        fitted = checks.fit(parts)
        state, _ = start(parts, fitted)
        batch = parts.spread.place_batch(next(parts.train_batches()))
        key = jax.random.key(seed)
        lowered = (
            parts.train_step(fitted.optimizer).lower(state, batch),
            jax.jit(parts.model.init).lower(key, batch["image"]),
        )
        return [program.as_text() for program in lowered]

    assert programs(0) == programs(1)


def figures(line):
    return {key: value for key, value in line.items() if key not in ("time", "input/wait_share")}


def test_programs_are_shared_where_they_are_the_same_and_let_go(config):
    programs = Programs()

    def of(**changes):
        return programs.build(checked(changed(config, **changes))).programs

    first = of()
    assert of(seed=5) is first
    assert of(missing=0.5, eval_every=7) is first
    for other in ({"steps": 9}, {"batch_size": 4}, {"balance": "equal()"}, {"dtype": "bfloat16"}):
        assert of(**other) is not first
        assert of() is not first, "only the latest is kept"
        first = of()
    two = Programs(keep=2)
    kept = two.build(checked(config)).programs
    two.build(checked(changed(config, steps=9)))
    assert two.build(checked(config)).programs is kept
    with pytest.raises(ValueError, match="keep=0"):
        Programs(keep=0)


def test_a_balancer_of_ones_own_may_do_what_it_likes_with_its_seed(config):
    config.balance = "tests.faulty_config:balancer()"
    keys = {of_configs._key(changed(config, seed=seed)) for seed in range(3)}
    assert len(keys) == 3


FACTORIES = {name: f for name, f in vars(mtl.balance).items() if inspect.isfunction(f)}
DRAWING = [name for name, f in FACTORIES.items() if "seed" in inspect.signature(f).parameters]


@pytest.mark.parametrize("name", DRAWING)
def test_a_seed_is_in_the_state_of_a_balancer_and_never_in_its_program(name):
    def program(seed):
        balancer = getattr(mtl, name)(num_tasks=3, seed=seed)
        arguments = (jnp.ones((3, 4)), balancer.init(jnp.ones(4)), jnp.ones(4))
        return str(jax.make_jaxpr(lambda j, s, p: balancer.update(j, s, p, losses=jnp.ones(3)))(*arguments))

    assert program(0) == program(1)


def test_there_are_balancers_that_draw():
    assert {"pcgrad", "gradvac", "graddrop", "random_weighting"} <= set(DRAWING)
