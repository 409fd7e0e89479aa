"""Runs that start from another run's parameters, or from pretrained weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import mtljax as mtl
from configs import nyuv2
from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import build
from mtljax.train.run import config_file, difference, initial, loop, start
from mtljax.train.run.start import newest_variables
from tests.data.sources.test_multi_mnist import write
from tests.models.test_pretrained import torch_names

HEADS = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}


@pytest.mark.slow  # two runs; what each part of a start does is tested below
def test_networks_trained_alone_are_stitched_and_trained_on(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    digits = write(tmp_path / "digits", "train", images, (np.arange(12) % 10).astype(np.uint8))
    config = default_config()
    config.data = f"multi_mnist({digits!r})"
    config.tasks = {side: f"classify(num_classes=10, label='{side}')" for side in ("left", "right")}
    config.optimizers = {"left": "adam(1e-3)", "right": "adam(1e-3)"}
    config.batch_size, config.steps, config.panel_images, config.parallel = 8, 3, 0, "mesh(data=1)"
    config.model, config.balance = "SingleTask(MLP((4,)))", "pcgrad()"
    loop.train(config, tmp_path / "alone")
    assert "warning: balance='pcgrad()' balances gradients of what tasks share" in capsys.readouterr().err
    config.balance = "equal()"
    config.model = "CrossStitch(MLP((4,)))"
    config.init_from = str(tmp_path / "alone")
    config.optimizers = {"stitch": "sgd(1.0)", "left": "set_to_zero()", "right": "adam(1e-3)"}
    half_written = tmp_path / "alone" / "checkpoints" / "4.orbax-checkpoint-tmp"  # by a run that goes on there
    half_written.mkdir()
    loop.train(config, tmp_path / "stitched")
    assert half_written.is_dir()
    told = capsys.readouterr().out
    assert f"arrays of {tmp_path}/alone at step 3; at random: stitch_layer1" in told
    (_, alone), (step, stitched) = (newest_variables(tmp_path / name) for name in ("alone", "stitched"))
    assert step == 3
    same = jax.tree.map(np.array_equal, alone["params"]["networks_left"], stitched["params"]["networks_left"])
    assert all(jax.tree.leaves(same))
    changed = jax.tree.map(np.array_equal, alone["params"]["networks_right"], stitched["params"]["networks_right"])
    assert not all(jax.tree.leaves(changed))


def test_another_shape_or_no_common_name_is_refused():
    variables = {"params": {"encoder": {"kernel": jnp.zeros((2, 3))}}}
    with pytest.raises(UserError, match=r"params/encoder/kernel has shape \(2, 4\) there, but \(2, 3\)"):
        initial.from_run("w", variables, lambda _: (1, {"params": {"encoder": {"kernel": jnp.zeros((2, 4))}}}))
    with pytest.raises(UserError, match="no parameter there has the name and shape"):
        initial.from_run("w", variables, lambda _: (1, {"params": {"other": jnp.zeros(2)}}))


def test_heads_for_another_number_of_classes_stay_at_random_and_are_told():
    model = {classes: mtl.MultiTask(mtl.encoders.MLP((3,)), {"a": mtl.heads.Linear(classes)}) for classes in (4, 1)}
    made = {classes: one.init(jax.random.key(classes), jnp.zeros((1, 2))) for classes, one in model.items()}
    found, note = initial.from_run("w", made[1], lambda _: (7, made[4]))
    kept = jax.tree.map(np.array_equal, found["params"], made[1]["params"])
    taken = jax.tree.map(np.array_equal, found["params"]["encoder"], made[4]["params"]["encoder"])
    assert all(jax.tree.leaves([kept["heads_a"], taken]))
    assert note.startswith("2 arrays of w at step 7; at random, since their shape is another: heads_a/")
    assert "kernel (3, 1), there (3, 4)" in note
    shapes = [
        {f"params/{jax.tree_util.keystr(path, simple=True, separator='/')}": leaf.shape
         for path, leaf in jax.tree_util.tree_leaves_with_path(made[classes]["params"])}
        for classes in (4, 1)
    ]  # fmt: skip
    assert difference.can_start_from(*shapes)
    shapes[1]["params/encoder/Dense_0/kernel"] = (2, 5)
    assert not difference.can_start_from(*shapes)


@pytest.mark.parametrize("way", [mtl.MultiTask, mtl.CrossStitch])
def test_pretrained_weights_go_into_every_encoder(tmp_path, way):
    file = tmp_path / "vit.safetensors"
    save_file(torch_names(0), file)
    model = way(mtl.encoders.ViT("Ti", depth=1), HEADS)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    found, note = initial.from_file(str(file), model, variables)
    names = ["encoder"] if way is mtl.MultiTask else ["networks_a", "networks_b"]
    assert note.endswith(f"in {', '.join(names)}")
    for name in names:
        np.testing.assert_array_equal(found["params"][name]["norm"]["scale"], torch_names(0)["norm.weight"])
    with pytest.raises(UserError, match="MMoE has no encoder"):
        initial.from_file(str(file), mtl.MMoE(HEADS, mtl.encoders.MLP()), {"params": {"shared_experts_0": {}}})


def test_pretrained_weights_see_normalised_images_unless_the_config_says_otherwise(tmp_path):
    config = default_config()
    config.tasks = {"depth": "depth(width=8)"}
    config.optimizers = {"shared": "sgd(0.1)", "depth": "sgd(0.1)"}

    def model(text, file=""):
        config.model, config.pretrained = text, file
        return build(config).model

    plain, on = model("MultiTask(ViT('Ti'))"), model("MultiTask(ViT('Ti'))", "vit.safetensors")
    off = model("MultiTask(ViT('Ti', normalise=False))", "vit.safetensors")
    own = model("MultiTask(ViT('Ti', normalise=((0.1, 0.2, 0.3), (1.0, 1.0, 2.0))))")
    assert [m.encoder.normalise for m in (plain, on, off)] == [False, True, False]
    assert own.encoder.normalise == ((0.1, 0.2, 0.3), (1.0, 1.0, 2.0))
    with pytest.raises(UserError, match=r"init_from='w': that run had normalise=True .*; expected normalise=True"):
        initial.check_normalised("w", on, plain, "MultiTask(ViT('Ti'))")
    initial.check_normalised("w", on, plain, "MultiTask(ViT('Ti', normalise=False))")
    initial.check_normalised("w", on, on, "MultiTask(ViT('Ti'))")
    initial.check_normalised("w", mtl.MultiTask(mtl.encoders.MLP(), HEADS), on, "")
    file = tmp_path / "vit.safetensors"
    save_file(torch_names(0), file)
    small = mtl.MultiTask(mtl.encoders.ViT("Ti", depth=1, normalise=True), HEADS)
    variables = jax.eval_shape(small.init, jax.random.key(0), jnp.zeros((1, 32, 128, 3)))
    found, note = initial.from_file(str(file), small, variables, (32, 128))
    assert "for normalised images in encoder" in note
    assert found["params"]["encoder"]["position"].shape == (1, 17, 192)


def test_a_run_asks_at_its_start_how_the_other_one_normalised(tmp_path):
    config = default_config()
    config.tasks, config.optimizers = {"depth": "depth(width=8)"}, {"shared": "sgd(0.1)", "depth": "sgd(0.1)"}
    config.model = "MultiTask(ViT('Ti', normalise=True))"
    config_file.write(checked(config), tmp_path)
    config.model, config.init_from = "MultiTask(ViT('Ti'))", str(tmp_path)
    with pytest.raises(UserError, match="that run had normalise=True"):
        start._from_elsewhere(build(checked(config)), None, {})


def test_the_protocol_of_nyuv2_takes_images_as_they_are():
    config = nyuv2.get_config()
    config.pretrained = "resnet50.safetensors"
    assert "normalise=False" in config.model
