"""What a run tries before it trains: tasks on the shapes of a batch, images and labels of the training split."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from mtljax import data, tasks
from mtljax.data.check import sampled
from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config import checks, data_checks
from mtljax.train.config import default as run_config
from mtljax.train.config.experiment import build
from mtljax.train.config.task_checks import check_on_host, check_shapes
from mtljax.train.run import loop

NUMBER, CLASSES = 12, 3
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (NUMBER, 1, 6, 8, 3)).astype(np.uint8)


@dataclasses.dataclass
class Made:
    """A data set of made images with a class, a number and a map of classes each; `change` changes every example."""

    change: object = None
    name: str = "made"

    def split(self, name):
        return [self.change(example) if self.change else example for example in map(self._example, range(NUMBER))]

    @staticmethod
    def _example(index):
        return {
            "image": IMAGES[index],
            "kind": np.int32(index % CLASSES),
            "kind_valid": np.array(True),
            "depth": np.full((1, 6, 8, 1), 1.0 + index, np.float32),
            "depth_valid": np.ones((1, 6, 8, 1), bool),
        }


def config(monkeypatch, change=None, **changes):
    monkeypatch.setitem(data.SOURCES, "made", lambda: Made(change))
    made = default_config()
    made.data, made.model = "made()", "MultiTask(encoder=MLP([4]))"
    made.tasks = {"kind": f"classify(num_classes={CLASSES}, label='kind')"}
    made.optimizers = {"shared": "sgd(0.1)", "kind": "sgd(0.1)"}
    made.batch_size, made.steps, made.panel_images = 8, 1, 0
    made.update(changes)
    return run_config.checked(made)


def with_image(change):
    return lambda example: example | {"image": change(example["image"])}


def noted(parts):
    return checks.notes(parts, checks.fit(parts))


def test_nothing_is_said_of_what_is_right(monkeypatch):
    assert noted(build(config(monkeypatch))) == []


@pytest.mark.parametrize("scale", [1 / 255, 1 / 64])  # as [0, 1], and as normalised images
def test_nothing_is_said_of_float_images_that_are_right(scale):
    images = [(image * scale - 2 * (scale > 1 / 255)).astype(np.float32) for image in IMAGES]
    assert list(looked_at(images)) == []


def looked_at(images):
    return data_checks.look_at_images(range(len(images)), [{"image": image} for image in images])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x.transpose(0, 3, 1, 2),
            r"shape \(1, 3, 6, 8\), which looks like channels first; .* \(1, 6, 8, 3\)",
        ),
        (lambda x: (x / 255).astype(np.float32).transpose(0, 3, 1, 2), r"looks like channels first"),
        (lambda x: x[..., :1].transpose(0, 3, 1, 2), r"\(1, 1, 6, 8\), which looks like channels first"),
        (lambda x: x[0].transpose(2, 0, 1), r"\(3, 6, 8\), which looks like channels first; .* \(6, 8, 3\)"),
        (lambda x: x.astype(np.float32), r"float32 from \d to 2\d\d, which looks like numbers of 8 bits; .* by 255"),
        (lambda x: x.astype(np.float64) * 0.9 + 0.5, r"float64 from .* looks like numbers of 8 bits"),
        (lambda x: x.astype(np.int32), r"dtype int32; expected uint8, or float32"),
        (lambda x: x.astype(np.uint16) * 257, r"dtype uint16"),
        (lambda x: x > 100, r"dtype bool"),
        (lambda x: np.full(x.shape, np.nan, np.float32), r"12 of 12 training .* images that are not finite .*expected"),
    ],
)
def test_images_that_are_surely_wrong_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        list(looked_at([change(image) for image in IMAGES]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: (x[..., :1] / 255).astype(np.float32).transpose(0, 3, 1, 2),
            r"shape \(1, 1, 6, 8\), which looks like channels first; expected them last, \(1, 6, 8, 1\)",
        ),
        (lambda x: np.zeros_like(x), r"12 of 12 training images looked at have one value everywhere, such as 0"),
        (lambda x: np.full_like(x, 255), r"one value everywhere, such as 255"),
        (lambda x: x // 128, r"uint8 from 0 to 1; expected 0 to 255"),
        (lambda x: x.astype(np.float32) - 120, r"mean .* and deviation 7\d.*expected floats of about \[0, 1\]"),
        (lambda x: np.concatenate([x, x], -1).astype(np.float32), r"mean 130 and deviation 73"),  # of no camera
        (lambda x: x.astype(np.float32) * 257, r"\(.* to 6\.\d*e\+04\)"),
    ],
)
def test_images_that_may_be_meant_are_told(change, message):
    [note] = looked_at([change(image) for image in IMAGES])
    assert re.search(message, note), note


def test_a_few_images_that_are_not_finite_are_told():
    images = [(image / 255).astype(np.float32) for image in IMAGES]
    images[5] = np.full_like(images[5], np.inf)
    [note] = looked_at(images)
    assert note.startswith("1 of 12 training examples looked at have images that are not finite (such as 5)")


def labels_of(*chosen, change=None):
    examples = Made(change).split("train")
    return data_checks.look_at_labels({task.name: task for task in chosen}, range(NUMBER), examples, "made()")


def struck(*indices):
    def change(example):
        if example["depth"].flat[0] - 1 in indices:
            depth = example["depth"].copy()
            depth[0, 2, 3] = np.nan
            return example | {"depth": depth}
        return example

    return change


def test_labels_that_are_not_finite_are_told_and_refused_where_they_are_many():
    [note] = labels_of(tasks.depth(), change=struck(7))
    assert note.startswith("1 of 12 training examples looked at have labels 'depth' that are not finite (such as 7)")
    with pytest.raises(UserError, match=r"8 of 12 training examples .* labels 'depth' that are not finite .*masks"):
        list(labels_of(tasks.depth(), change=struck(*range(8))))


def test_labels_behind_a_mask_may_be_anything():
    def change(example):
        valid = example["depth_valid"].copy()
        valid[0, 2, 3] = False
        return struck(*range(NUMBER))(example) | {"depth_valid": valid}

    assert list(labels_of(tasks.depth(), change=change)) == []


def test_a_task_that_nothing_is_labelled_for_is_told():
    [note] = labels_of(tasks.depth(), change=lambda e: e | {"depth_valid": np.zeros((1, 6, 8, 1), bool)})
    assert note == "task 'depth': none of 12 training examples looked at has a label 'depth'."


def test_a_label_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(
        UserError, match=r"reads the label 'dept', which made\(\) does not .*'depth'\? \(it has depth, k"
    ):
        list(labels_of(tasks.depth(label="dept")))


def checked(says=None):
    """A task that says this of its labels, or refuses them with it; and what it is asked of."""
    task, seen = tasks.classify(num_classes=CLASSES, label="kind", name="kind"), []

    def check(labels):
        seen.append({key: (value.shape, value.dtype.name) for key, value in labels.items() if key.startswith("kind")})
        if isinstance(says, UserError):
            raise says
        return says

    object.__setattr__(task, "check", check)
    return task, seen


def test_what_a_task_checks_of_its_labels_is_called_with_a_batch_of_them():
    task, seen = checked()
    assert list(labels_of(task)) == []
    assert seen == [{"kind": ((12,), "int32"), "kind_valid": ((12,), "bool")}]
    with pytest.raises(UserError, match=r"task 'kind', in 12 training examples looked at: ids 7, 9 have no class"):
        list(labels_of(checked(UserError("ids 7, 9 have no class."))[0]))
    [note] = labels_of(checked("1 % have no class.")[0])
    assert note == "task 'kind', in 12 training examples looked at: 1 % have no class."


def test_tasks_are_asked_of_training_and_validation_labels(monkeypatch):
    task, seen = checked()
    noted(dataclasses.replace(build(config(monkeypatch)), tasks={"kind": task}))
    assert [labels["kind"] for labels in seen] == [((12,), "int32"), ((8,), "int32")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_image(lambda x: x.astype(np.float32)), "looks like numbers of 8 bits"),
        (with_image(lambda x: x.astype(np.int16)), "dtype int16"),
        (with_image(lambda x: x.transpose(0, 3, 1, 2)), "a validation image has shape .* channels first"),
    ],
)
def test_a_run_is_refused_before_anything_is_left(monkeypatch, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        loop.train(config(monkeypatch, change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_prints_its_notes_and_the_order_of_tasks(monkeypatch, tmp_path, capsys):
    monkeypatch.delattr(loop.Loop, "run")  # all is told before
    with pytest.raises(AttributeError, match="run"):
        loop.train(config(monkeypatch, with_image(np.zeros_like)), tmp_path / "run")
    out, err = capsys.readouterr()
    assert "warning: 12 of 12 training images looked at have one value everywhere, such as 0." in err
    assert "made: train 12, validation 12\n" in out
    assert "losses, weights and preferences are in the order kind" in out


SHAPES = {"kind": jax.ShapeDtypeStruct((8, CLASSES), np.float32)}
SAMPLE = {"image": np.zeros((8, 4), np.float32), "kind": np.arange(8) % CLASSES, "kind_valid": np.ones(8, bool)}


def changed(**changes):
    return {"kind": dataclasses.replace(tasks.classify(num_classes=CLASSES, label="kind", name="kind"), **changes)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": lambda p, b: p.sum(-1)}, r"task 'kind': its loss has shapes \(8,\); expected two scalars"),
        ({"loss": lambda p, b: (p.sum(-1), 1.0)}, r"task 'kind': its loss has shapes"),
        (
            {"loss": lambda p, b: p @ b["kind"]},
            r"task 'kind', prediction of shape \(8, 3\): .* \(its loss; labels: kind ",
        ),
        ({"sums": lambda p, b: {"a": b["king"]}}, r"KeyError: 'king' \(its sums of metrics"),
        ({"sums": lambda p, b: {"a": p + np.ones(5)}}, r"sums of metrics"),
        (
            {"host_sums": lambda p, b: {"a": p + np.ones(5)}},
            r"\(its metrics; labels: kind \(8,\); \S+, line \d+, in <lambda>\)",
        ),
        ({"metrics": (tasks.Metric("m", True, lambda s: s["nothing"]),)}, r"KeyError: 'nothing' \(its metrics"),
        ({"metrics": (tasks.Metric("m", True, lambda s: np.ones(3)),)}, r"\(its metrics"),
        (
            {"constant": lambda b: np.zeros(5)},
            r"constant has shape \(5,\), but the prediction 3 channels; .* too narrow",
        ),
        ({"constant": lambda b: np.zeros(())}, r"constant has shape \(\)"),
        (
            {"draw": lambda p, b: (np.zeros((2, 1, 4, 4)), np.zeros((2, 1, 4, 4, 3)))},
            r"draw gives shape \(2, 1, 4, 4\)",
        ),
        ({"draw": lambda p, b: b["none"]}, r"KeyError: 'none' \(its picture"),
    ],
)
def test_all_that_a_task_computes_is_tried_before_training(changes, message):
    def tried():
        check_shapes(changed(**changes), SHAPES, SAMPLE)
        check_on_host(changed(**changes), SHAPES, SAMPLE, draws=True)

    with pytest.raises(UserError, match=message):
        tried()


def test_a_task_that_fits_passes_and_what_is_not_wanted_is_not_tried():
    check_shapes(changed(), SHAPES, SAMPLE)
    check_on_host(changed(draw=lambda p, b: b["none"]), SHAPES, SAMPLE, draws=False)
    unlabelled = SAMPLE | {"kind_valid": np.zeros(8, bool)}
    check_on_host(changed(constant=lambda b: np.zeros(5)), SHAPES, unlabelled, draws=False)


@pytest.mark.parametrize("head", ["Linear(1)", "Linear(2)", "Linear(4)"])
def test_a_head_of_another_width_than_the_classes_is_told_at_the_start(monkeypatch, head):
    given = config(monkeypatch, tasks={"kind": f"classify(num_classes=3, label='kind', head={head})"})
    with pytest.raises(UserError, match=r"task 'kind', prediction of shape \(8, \d\)"):
        noted(build(given))


def test_large_images_are_sampled_less_and_none_twice():
    class Counted(list):
        def __getitem__(self, index):
            counted.append(index)
            return {"image": np.broadcast_to(np.uint8(1), (1, 1024, 2048, 3))}

    counted = []
    indices, examples = sampled(Counted(range(100)), threads=2)
    assert len(indices) == len(examples) == 8
    assert indices[0] == 0
    assert indices[-1] == 99
    assert sorted(counted[1:]) == indices.tolist()
    assert len(sampled(Made().split("train"), threads=1)[0]) == NUMBER
