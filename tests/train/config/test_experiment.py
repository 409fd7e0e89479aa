"""From config to parts: what fits together, and what is said where it does not."""

import re

import grain
import jax
import ml_collections
import numpy as np
import pytest

from mtljax import balance
from mtljax.data import rgbd
from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config import checks
from mtljax.train.config import default as run_config
from mtljax.train.config.experiment import balancer_of, build


def config(folder="nowhere", **changes):
    """A config for a folder of frames; `a__b=...` changes the key a.b, a dict replaces all that was there."""
    given = default_config()
    given.data = f"rgbd({str(folder)!r})"
    given.model = "MultiTask(encoder=ResNet(depth=10, width=2, norm='group', stem='patch2'))"
    given.tasks = {"depth": "depth(width=4)", "normals": "normals(width=4)"}
    given.optimizers = {"shared": "sgd(0.1)", "depth": "sgd(0.1)", "normals": "adam(1e-3)"}
    given.batch_size = 8
    for key, value in changes.items():
        *outer, inner = key.split("__")
        within = given[outer[0]] if outer else given
        within[inner] = ml_collections.ConfigDict(value) if isinstance(value, dict) else value
    return run_config.checked(given)


def test_the_parts():
    parts = build(config(balance="gradnorm(alpha=0.5)", measure="features", parallel="mesh(data=4)"))
    assert list(parts.tasks) == ["depth", "normals"]
    assert parts.labels == ("depth", "normal")
    assert parts.balancer.num_tasks == 2
    assert parts.spread.num_devices == 4
    assert parts.data == rgbd("nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"balance": "pcgard()"},
            r"unknown balancer 'pcgard'; did you mean 'pcgrad'\? Known: aligned_mtl, auto_lambda, cagrad, ",
        ),
        ({"balance": "gradnorm(alhpa=1)"}, r"'alhpa'; did you mean 'alpha'"),
        ({"balance": "__import__('os')"}, r"unknown balancer '__import__'"),
        ({"balance_groups": (("encoder", "pcgard()"),)}, r"unknown balancer 'pcgard'; did you mean 'pcgrad'"),
        ({"balance_groups": ("encoder", "pcgrad()")}, r"balance_groups=\('encoder', .*expected pairs of a regular"),
        (
            {"balance_groups": (("encoder", "pcgrad()"),), "balance": "mgda()"},
            r"balance='mgda\(\)' and config.balance_groups: expected one of them",
        ),
        (
            {"balance_groups": (("encoder", "pcgrad()"),), "measure": "features"},
            r"works with measure=shared, not 'features'",
        ),
        ({"optimizers__depth": "sdg(0.1)"}, r"unknown optimiser 'sdg'; did you mean 'sgd'"),
        ({"optimizers__depth": "sgd()"}, r"missing a required argument: 'learning_rate'"),
        ({"optimizers__depth": "constant_schedule(1.0)"}, r"optimizers.depth.*expected an optax transformation"),
        ({"model": "MultiTask(encoder=ResNett(depth=10))"}, r"'ResNett'; did you mean 'ResNet'"),
        ({"model": "Multitask(encoder=ResNet())"}, r"unknown model 'Multitask'; did you mean 'MultiTask'"),
        ({"tasks__depth": "dept()"}, r"unknown task 'dept'; did you mean 'depth'"),
        ({"tasks__depth": "depth(loss='l3')"}, r"unknown depth loss 'l3'; did you mean 'l1'"),
        ({"tasks__depth": "depth(head=Dens(1))"}, r"'Dens'; did you mean 'Dense'"),
        ({"measure": "feature"}, r"unknown measure 'feature'; did you mean 'features'"),
        ({"parallel": "pmapp"}, r"unknown parallel 'pmapp'; did you mean 'pmap'"),
        ({"parallel": "mesh(data=9)"}, r"mesh\(data=9\).*expected -1 or 1 to 8"),
        ({"parallel": "mesh(fsdp=3)"}, r"8 devices cannot be divided by 3; .* data=2, which leaves 2 of them idle"),
        ({"balance": "moco()", "measure": "features"}, r"works with measure=shared, not 'features'"),
        ({"balance": "modo()"}, r"batch_size=8: balance='modo\(\)' splits .* in 3; expected a multiple of 24"),
        ({"balance": "compose(imtl_l(), imtlg())"}, r"unknown name in balancer .*'imtlg'; did you mean 'imtl_g'"),
        ({"balance": "uncertainty(optimizer=adm(1e-3))"}, r"'adm'; did you mean 'adam'"),
        ({"batch_size": 12}, r"batch_size=12 cannot be divided over the 8 devices.*8 or 16"),
        ({"augment": "compose(flip(), crp(8, 8))"}, r"unknown name in augmentation .*'crp'; did you mean 'crop'"),
        ({"augment": "flap()"}, r"unknown augmentation 'flap'; did you mean 'flip'\? Known: colour, compose, crop, "),
        ({"augment": "flip(q=0.5)"}, r"argument of flip\(\) in augmentation 'flip\(q=0.5\)': 'q'"),
        ({"augment": "flip(p=2)"}, r"flip\(p=2\): expected a number from 0 to 1"),
        ({"tasks__depth": "depth(loss='l3')"}, r"^tasks.depth: unknown depth loss"),
        ({"optimizers__depth": "sdg(0.1)"}, r"^optimizers.depth: unknown optimiser"),
        ({"optimizers__depth": "adam(-1e-3)"}, r"^optimizers.depth: .*learning_rate=-0.001\) climbs"),
        ({"tasks__normals": "ego_motion(depth=(1, 2))"}, r"unknown parent of task 'normals': \(1, 2\)"),
        ({"tasks__normals": "ego_motion(depth=[1])"}, r"unknown parent of task 'normals': \[1\]"),
        ({"balance": "PCGrad()"}, r"unknown balancer 'PCGrad'; did you mean 'pcgrad'\?"),
        ({"model": "multitask(encoder=ResNet())"}, r"unknown model 'multitask'; did you mean 'MultiTask'"),
        ({"data": "rgdb('x')"}, r"unknown data 'rgdb'; did you mean 'rgbd'"),
        ({"data": "scenes('tinny')"}, r"'tinny'; did you mean 'tiny'"),
    ],
)
def test_mistakes_are_named_before_any_data_is_read(changes, message):
    with pytest.raises(UserError, match=message):
        build(config(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tasks__depth": "segment(num_classes=3)"},
            r"reads the label 'semantic', which data .* does not have .*normal",
        ),
        (
            {"tasks__depth": "depth(label='dept')"},
            r"reads the label 'dept', which data .* does not have; did you mean 'depth'\? \(it has depth, .*normal",
        ),
        (
            {"tasks__depth": "normals(label='depth')"},
            r"task 'depth', prediction of shape.*label depth has shape .*axis of 3",
        ),
        ({"model": "MultiTask(encoder=MLP([4]))"}, r"a dense prediction wants an image encoder"),
        ({"model": "MultiTask(encoder=ResNet(depth=11))"}, r"ResNet\(depth=11\): expected one of"),
        ({"tasks__depth": "depth(head=Linear(1))"}, r"'depth' predicts shape .* must agree in all axes but the last"),
        ({"optimizers": {"shared": "sgd(0.1)", "depth": "sgd(0.1)"}}, r"no optimiser for group 'normals'"),
        (
            {"balance_groups": (("encoder/nowhere.*", "pcgrad()"), (".*", "equal()"))},
            r"config.balance_groups of model .*'encoder/nowhere.\*' matches no parameter; did you mean 'encoder/",
        ),
        (
            {"balance": "per_group([('encoder/.*kernel', pcgrad())])"},
            r"config.balance of model .*no group matches \d+ of the parameters that tasks share: encoder/",
        ),
        ({"optimizers__norms": "sgd(0.1)"}, r"optimiser group .*'norms'; did you mean 'normals'"),
        ({"augment": "crop(64, 64)"}, r"crop\(64, 64\): an image is only 24 x 32 pixels, height x width\.$"),
        (
            {"augment": "crop(16, 16)", "model": "MultiTask(encoder=ViT('Ti', patch=8, depth=1))"},
            r"augment='crop\(16, 16\)' makes images of shape \(1, 16, 16, 3\); those of validation .*\(1, 24, 32, 3\), and the parameters",
        ),
    ],
)
def test_what_does_not_fit_is_named(ten_frames, changes, message):
    with pytest.raises(UserError, match=re.compile(message, re.DOTALL)):
        checks.fit(build(config(ten_frames, **changes)))


def test_rows_under_vmap_are_refused_where_the_compiler_gets_them_wrong(monkeypatch):
    def refuses():
        raise ValueError("this compiler gets them wrong")

    monkeypatch.setattr(balance, "check_vectorised", refuses)
    with pytest.raises(UserError, match="jacobian='vmap': this compiler gets them wrong"):
        build(config(jacobian="vmap"))
    build(config(jacobian="unrolled"))


def test_rows_are_not_held_where_the_balancer_needs_no_more_than_norms_and_angles():
    with pytest.raises(UserError, match=r"jacobian='streamed' .* balance='graddrop\(\)' looks at every element"):
        build(config(jacobian="streamed", balance="graddrop()"))
    with pytest.raises(UserError, match=r"jacobian='streamed' is .* not to measure='features'"):
        build(config(jacobian="streamed", balance="pcgrad()", measure="features"))
    build(config(jacobian="streamed", balance="pcgrad()"))


def test_what_balancers_of_groups_cannot_do_is_told_of_their_key():
    groups = [("encoder/.*", "pcgrad()")]
    for changes in ({"measure": "features"}, {"jacobian": "streamed"}):
        with pytest.raises(UserError, match=r"balance_groups=\[\('encoder/\.\*', 'pcgrad\(\)'\)\] (works|looks)"):
            build(config(balance_groups=groups, **changes))


def test_training_images_alone_are_augmented(ten_frames):
    parts = build(config(ten_frames, augment="compose(crop(16, 24), flip())"))
    checks.fit(parts)
    batch = next(parts.train_batches())
    assert batch["image"].shape == (8, 1, 16, 24, 3)
    assert batch["depth"].shape == batch["depth_valid"].shape == (8, 1, 16, 24, 1)
    assert next(iter(parts.eval_batches()))["image"].shape == (8, 1, 24, 32, 3)


def test_missing_labels_are_hidden_in_training_alone(ten_frames):
    parts = build(config(ten_frames, missing=0.5))
    there = [[parts.training[i][f"{key}_valid"].any() for key in ("depth", "normal", "edge")] for i in range(8)]
    assert 4 < np.sum(there) < 20
    assert all(np.unique(column).size == 2 for column in np.transpose(there))
    for batch in parts.eval_batches():
        for key in ("depth", "normal"):
            assert batch[f"{key}_valid"].reshape(8, -1).any(axis=1).tolist() == batch["example_valid"].tolist()


def test_a_task_without_the_parent_it_names_is_told(monkeypatch):
    from mtljax import tasks

    def child(name="child"):
        made = tasks.depth(name=name)
        return tasks.Task(**{**vars(made), "parents": ("detph",)})

    monkeypatch.setattr(tasks, "child", child, raising=False)
    monkeypatch.setitem(tasks.FACTORIES, "child", child)
    with pytest.raises(UserError, match=r"parent of task .*'detph'; did you mean 'depth'"):
        build(config(tasks__normals="child()"))


def test_balancers_are_told_the_tasks_in_the_order_of_their_losses(monkeypatch):
    told = []

    def told_tasks(num_tasks: int, weights: dict | None = None, *, tasks: tuple = ()) -> balance.Balancer:
        told.append((num_tasks, weights, tasks))
        return balance.equal(num_tasks)

    monkeypatch.setattr(balance, "constant", told_tasks)
    build(config(balance="constant(weights={'normals': 2, 'depth': 1.5})"))
    build(config(balance="compose(imtl_l(), constant({'depth': 3}))"))
    names = ("depth", "normals")
    assert told == [(2, {"normals": 2, "depth": 1.5}, names), (2, {"depth": 3}, names)]
    balancer_of("constant()", 2, seed=0)
    assert told[-1] == (2, None, ())


def test_the_table_tells_the_order_of_tasks():
    parts = build(config(model="MultiTask(encoder=UNet(width=4, levels=1, norm='batch'))"))
    params = parts.shapes(np.zeros((1, 1, 24, 32, 3)))["params"]
    assert parts.group_table(params).splitlines()[-1].endswith("in the order depth, normals")


def test_seeds_make_the_parameters():
    given = {"model": "MultiTask(encoder=MLP([4]))", "tasks": {"fine": "classify(num_classes=3, label='fine')"}}
    images = jax.numpy.zeros((2, 1, 4, 4, 3))
    kernels = [
        jax.tree.leaves(build(config(seed=seed, **given)).init(images)["params"]["encoder"])[-1] for seed in (0, 0, 1)
    ]
    assert (kernels[0] == kernels[1]).all()
    assert (kernels[0] != kernels[2]).any()


def test_evaluation_reads_with_as_many_threads_as_training(ten_frames, monkeypatch):
    parts = build(config(ten_frames, loader_threads=3))
    options, threads = grain.ReadOptions, []
    monkeypatch.setattr(grain, "ReadOptions", lambda **given: threads.append(given["num_threads"]) or options(**given))
    parts.eval_batches()
    parts.train_batches()
    assert threads == [3, 3]
