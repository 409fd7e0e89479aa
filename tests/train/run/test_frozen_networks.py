"""Networks that stand still in a run: where they live, that nothing moves them, and that they stay what they were."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from mtljax.errors import UserError
from mtljax.train.config.checks import fit
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import build
from mtljax.train.run import frozen_networks, loop
from mtljax.train.run.start import newest_variables, start
from mtljax.train.step.step import make_train_step
from tests import runs
from tests.small_config import get_config
from tests.train.conftest import changed

pytestmark = pytest.mark.slow  # trains two runs; what is read and noted is tested in test_frozen_record.py


@pytest.fixture(scope="module")
def trained(ten_frames, tmp_path_factory):
    """A network from depth to normals, and a run that looks at its depth through it."""
    folder = tmp_path_factory.mktemp("frozen")
    config = get_config(str(ten_frames))
    config.batch_size, config.steps, config.panel_images, config.parallel = 2, 2, 1, "mesh(data=1)"
    config.checkpoint_every, config.balance, config.log_every = 1, "equal()", 1
    network = changed(config, input="depth", tasks={"normals": "normals(width=4)"})
    network.optimizers = {"shared": "adam(1e-2)", "normals": "adam(1e-2)"}
    loop.train(network, folder / "network")
    looks = changed(config, balance="xtc(direct='depth')")
    through = f"cross_task(target='depth', through={{'normals': {str(folder / 'network')!r}}})"
    looks.tasks = {"depth": "depth(width=4)", "seen": through}
    looks.optimizers = {"shared": "adam(1e-2)", "depth": "adam(1e-2)"}
    figures = loop.train(looks, folder / "looks")
    return folder, network, looks, figures


def test_a_label_is_learned_from(trained):
    folder, network, _, _ = trained
    parts = build(checked(network))
    batch = next(iter(parts.train_batches()))
    np.testing.assert_array_equal(batch["image"], np.where(batch["depth_valid"], batch["depth"], 0))
    kernel = newest_variables(folder / "network")[1]["params"]["encoder"]
    assert min(leaf.shape[-2] for leaf in jax.tree.leaves(kernel) if leaf.ndim == 4) == 1  # of one channel


def test_the_loss_is_its_own_row(trained):
    _, _, _, figures = trained
    assert figures["seen_normals/distance"] > 0
    [*_, line] = runs.lines(trained[0] / "looks", "train")
    assert line["seen_normals/loss"] > 0
    assert line["balance/weight/depth"] + line["balance/weight/seen_normals"] == pytest.approx(1)


def test_it_is_no_parameter_and_in_no_checkpoint_and_nothing_moves_it(trained):
    folder, _, looks, _ = trained
    saved = runs.state(folder / "looks", 2)
    assert not [key for key in saved if "frozen" in key]
    _, there = newest_variables(folder / "network")
    _, here = newest_variables(folder / "looks")
    assert sorted(here) == sorted({"params", "batch_stats", "frozen"})
    assert all(name in ("encoder", "heads_depth") for name in here["params"])
    kept = here["frozen"]["heads_seen_normals"]["variables"]
    assert jax.tree.structure(kept) == jax.tree.structure(there)
    jax.tree.map(np.testing.assert_array_equal, kept, there)
    [known] = json.loads((folder / "looks" / "frozen.json").read_text()).values()
    assert known == {
        "workdir": str(folder / "network"), "step": 2, "checksum": frozen_networks.checksum(there)
    }  # fmt: skip
    assert build(checked(looks)).tasks["seen_normals"].head.network.label == "depth"


def constants(traced, shapes):
    """How many numbers of arrays of some shapes are written into a program, and into those that it calls."""
    closed = isinstance(traced, core.ClosedJaxpr)
    inside = [
        leaf
        for equation in traced.eqns
        for leaf in jax.tree.leaves(equation.params, is_leaf=lambda x: isinstance(x, core.ClosedJaxpr | core.Jaxpr))
        if isinstance(leaf, core.ClosedJaxpr | core.Jaxpr)
    ]
    own = sum(jnp.size(const) for const in (traced.consts if closed else ()) if jnp.shape(const) in shapes)
    return own + sum(constants(one, shapes) for one in inside)


def test_it_is_no_constant_of_the_step(trained):
    folder, _, looks, _ = trained
    parts = build(checked(looks))
    fitted = fit(parts)
    state, _ = start(parts, fitted, folder / "looks")
    kernels = [leaf for leaf in jax.tree.leaves(state.model_state["frozen"]) if jnp.ndim(leaf) == 4]
    number, shapes = sum(map(jnp.size, kernels)), set(map(jnp.shape, kernels))
    step = make_train_step(parts.model, parts.tasks, parts.balancer, fitted.optimizer, spread=parts.spread)
    batch = next(iter(parts.train_batches()))
    assert constants(jax.make_jaxpr(step)(state, batch), shapes) == 0
    written = jax.make_jaxpr(jax.jit(lambda batch: step(state, batch)[1]["losses"]))(batch)
    assert constants(written, shapes) >= number


def test_a_run_goes_on_with_the_network_that_it_was_started_with(trained, tmp_path):
    folder, network, looks, _ = trained
    loop.train(changed(network, steps=3), folder / "network", allow_config_change=True)
    figures = loop.evaluate(looks, folder / "looks")
    assert figures["seen_normals/distance"] == pytest.approx(trained[3]["seen_normals/distance"], rel=1e-5)
    record = folder / "looks" / "frozen.json"
    before = record.read_text()
    try:
        record.write_text(before.replace('"step": 2', '"step": 3'))
        with pytest.raises(UserError, match=r"task 'seen_normals': the frozen network '.*network' changed: at step 3"):
            loop.evaluate(looks, folder / "looks")
        record.write_text(before.replace('"step": 2', '"step": 7'))
        with pytest.raises(UserError, match=r"has no checkpoint of step 7 any more.* \(it has 1, 2, 3\)"):
            loop.evaluate(looks, folder / "looks")
    finally:
        record.write_text(before)


def test_a_network_of_another_config_is_refused(trained):
    folder, network, looks, _ = trained
    file = folder / "network" / "config.json"
    before = file.read_text()
    try:
        file.write_text(before.replace("normals(width=4)", "normals(width=5)"))
        with pytest.raises(UserError, match="can be read, but not into the state that this config makes"):
            loop.evaluate(looks, folder / "looks")
    finally:
        file.write_text(before)
    with pytest.raises(UserError, match="pretrained weights are of images"):
        build(checked(changed(network, pretrained="weights.pth")))
    with pytest.raises(UserError, match=r"no config.json in 'nowhere'"):
        build(checked(changed(looks, tasks={"seen": "cross_task('depth', {'normals': 'nowhere'})"})))
    through = f"cross_task('depth', {{'normals': {str(folder / 'looks')!r}}})"
    with pytest.raises(UserError, match="was trained from images; expected a run with"):
        build(checked(changed(looks, tasks={"depth": "depth(width=4)", "seen": through})))


def test_it_is_placed_like_parameters(trained, tmp_path):
    folder, _, looks, figures = trained
    spread = changed(looks, parallel="mesh(data=2, fsdp=2, smallest=16)", batch_size=4)
    again = loop.evaluate(spread, folder / "looks")
    assert again["seen_normals/distance"] == pytest.approx(figures["seen_normals/distance"], rel=1e-4)
    found = loop.train(changed(spread, steps=3), folder / "looks", allow_config_change=True)
    assert np.isfinite(found["seen_normals/distance"])
