"""What is told of objects, on made predictions of which it is known; and a network of objects from end to end."""

import dataclasses
import json
import pathlib
import types

import jax
import numpy as np
import pytest
from PIL import Image

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.serving import commands
from mtljax.serving.answers import Question, answer
from mtljax.serving.following import Following, shared
from mtljax.serving.images import example_of
from mtljax.serving.loaded import answers_of
from mtljax.serving.network import Network
from mtljax.serving.object_pictures import draw_objects
from mtljax.serving.objects import at_own_size
from tests.runs import finish, launch
from tests.serving import sets

NAMES = ("background", "ball", "cube")
SEEN, SIZE = (8, 8), (16, 32)
FOUND = {
    "boxes": np.float32([[[0, 0, 4, 4], [2, 2, 6, 8], [1, 1, 2, 2]]]),
    "score": np.float32([[0.9, 0.4, 0.1]]),
    "probability": np.float32([[[0.2, 0.8], [0.7, 0.3], [0.5, 0.5]]]),
}
IDS = np.zeros((1, *SEEN), np.int32)
IDS[0, :4, :4] = 1

POSES = {
    "translation": np.float32([[[0, 0, 3]] * 3]),
    "rotation": np.broadcast_to(np.eye(3, dtype=np.float32), (1, 3, 3, 3)),
    "half_sizes": np.ones((1, 3, 3), np.float32),
}


def of_first(task, found, names=NAMES):
    """What is told of the first frame, at another size."""
    scaled = at_own_size(task, found, SEEN, SIZE)
    return answer(Question(task, names, size=SIZE), {key: x[0] for key, x in scaled.items()})


def test_boxes_are_in_pixels_of_the_photograph_and_classes_named():
    arrays, told = of_first(mtl.tasks.detect(2), FOUND)
    first, second = told["objects"]
    assert first == {"class": "cube", "number": 2, "probability": 0.8, "score": 0.9, "box": [0.0, 0.0, 16.0, 8.0]}
    assert (second["class"], second["box"]) == ("ball", [8.0, 4.0, 24.0, 16.0])
    assert (told["least_score"], told["left_out"]) == (0.3, 1)
    assert next(iter(arrays)) == "boxes"
    assert len(arrays["boxes"]) == 3  # all slots
    assert of_first(mtl.tasks.detect(2), FOUND, ())[1]["objects"][0]["class"] == "2"


def test_instances_are_numbered_on_a_map_of_the_own_size():
    arrays, told = of_first(mtl.tasks.instances(), FOUND | {"ids": IDS})
    assert next(iter(arrays)) == "ids"
    assert arrays["ids"].shape == SIZE
    assert [(one["on_map"], one["pixels"]) for one in told["objects"]] == [(1, 8 * 16), (2, 0)]


def test_tracks_and_paths_tell_who_goes_where():
    ids = np.int32([[0, 7, 0]])
    told = of_first(mtl.tasks.track(), FOUND | {"ids": ids})[1]
    assert [(one["id"], one["score"]) for one in told["objects"]] == [(7, 0.4)]
    assert told["left_out"] == 2
    paths = np.zeros((1, 3, 2, 1, 2), np.float32)
    paths[0, 1, 1] = 1
    found = FOUND | {"ids": ids, "paths": paths, "last": np.full((1, 3, 3), 2.0), "logits": np.log([[[1, 3.0]] * 3])}
    told = of_first(mtl.tasks.trajectory(space="image"), found)[1]
    assert told["objects"][0]["paths"] == [
        {"probability": 0.75, "path": [[12.0, 6.0]]},
        {"probability": 0.25, "path": [[8.0, 4.0]]},
    ]
    assert told["unit"] == "pixels"


def test_poses_are_metres_and_what_is_no_number_is_told():
    one = of_first(mtl.tasks.pose(), FOUND | POSES)[1]["objects"][0]
    assert one["translation"] == [0.0, 0.0, 3.0]
    assert one["rotation"][1] == [0.0, 1.0, 0.0]
    told = of_first(mtl.tasks.detect(2), FOUND | {"score": np.full((1, 3), np.nan, np.float32)})[1]
    assert (told["objects"], told["not_finite"]) == ([], 3)


def test_histories_have_paths_alone():
    task = mtl.tasks.trajectory(track=None, modes=2)
    told = answer(Question(task), {"paths": np.ones((2, 3, 2)), "logits": np.zeros(2)})[1]
    assert [one["probability"] for one in told["paths"]] == [0.5, 0.5]


def test_pictures_of_objects_need_no_labels():
    clip = np.zeros((1, 240, 320, 3), np.uint8)
    inputs = {
        "given": {"image": {"shape": [1, *SEEN, 3]}},
        "labels": {},
        "intrinsics": [[8, 0, 4], [0, 8, 4], [0, 0, 1]],
    }
    inputs["labels"]["segmentations"] = {"arrays": {"shape": [1, *SEEN, 1], "dtype": "uint8", "low": 0, "high": 9}}
    path = {
        "ids": np.int32([[7, 8, 0]]),
        "paths": np.float32([[[[[3, 3]]]] * 3]),
        "last": np.zeros((1, 3, 3), np.float32),
    }
    cases = [
        (mtl.tasks.detect(2), {}),
        (mtl.tasks.instances(), {"ids": IDS}),
        (mtl.tasks.pose(), POSES),
        (mtl.tasks.track(), {"ids": np.int32([[7, 8, 0]])}),
        (mtl.tasks.trajectory(space="image"), path | {"logits": np.zeros((1, 3, 1), np.float32)}),
    ]
    drawn = {task.name: draw_objects(task, FOUND | more, clip, SEEN, inputs)[0] for task, more in cases}
    for name, picture in drawn.items():
        assert picture.shape == (240, 320, 3), name
        assert picture.any(), name
    assert drawn["detect"][0, 0].any()  # a corner of the first box, and the opposite one
    assert drawn["detect"][120, 160].any()
    np.testing.assert_array_equal(drawn["instances"].any(axis=-1)[[0, 119, 121], [0, 159, 161]], [True, True, False])


def walkers(places, ids, at=0):
    """A clip of boxes 4 pixels wide whose left sides, and ids, are those of each frame's slots."""
    left = np.float32(places)[..., None]
    return {"track": {"boxes": np.concatenate([left, left, left + 4, left + 4], axis=-1) + at, "ids": np.int32(ids)}}


def test_ids_of_a_video_go_on_from_clip_to_clip():
    files = [pathlib.Path(f"video/{i}.png") for i in range(6)]
    following = Following()
    first = following.named(files[:3], walkers([[0, 40], [1, 41], [42, 2]], [[1, 2], [1, 2], [2, 1]]))
    np.testing.assert_array_equal(first["track"]["ids"], [[1, 2], [1, 2], [2, 1]])
    # the slots of the frame that both have are the other way round, a third comes, and one ends
    second = following.named(files[2:5], walkers([[2, 42], [3, 80], [4, 81]], [[1, 2], [1, 3], [1, 3]], at=0.1))
    np.testing.assert_array_equal(second["track"]["ids"], [[1, 2], [1, 3], [1, 3]])
    # the last clip has two frames of the one before; nobody is where any was but one, who lost an id in the last frame
    third = following.named(files[3:6], walkers([[3, 80], [60, 0], [61, 0]], [[7, 8], [9, 0], [9, 0]]))
    np.testing.assert_array_equal(third["track"]["ids"], [[1, 3], [4, 0], [4, 0]])
    other = following.named([pathlib.Path("b/0.png")], walkers([[3, 80]], [[5, 0]]))
    np.testing.assert_array_equal(other["track"]["ids"], [[1, 0]])
    boxes = {"detect": FOUND}
    assert following.named(files[:1], boxes) == boxes


def test_clips_share_a_frame_where_somebody_is_followed():
    tasks = {"track": mtl.tasks.track(), "flow": mtl.tasks.flow()}
    assert [shared(Asked(comparing=names, tasks=tasks)) for names in ((), ("flow",), ("flow", "track"))] == [0, 0, 1]
    assert shared(Asked(comparing=("flow",), looking_ahead=("flow",), tasks=tasks)) == 1


def test_of_the_last_frame_of_a_clip_no_motion_is_told():
    heads = {"flow": mtl.heads.Flow(), "ego_motion": mtl.heads.EgoMotion(), "depth": mtl.heads.Dense(1)}
    tasks = {"flow": mtl.tasks.flow(), "ego_motion": mtl.tasks.ego_motion(), "depth": mtl.tasks.depth()}
    network = Network(types.SimpleNamespace(heads=heads), {}, tasks, {"labels": {}}, 1, names=tuple(tasks))
    assert network.looking_ahead == ("flow", "ego_motion")
    clip = np.zeros((2, 4, 4, 3), np.uint8)
    found = {name: np.ones((2, 4, 4, 1 + (name == "flow"))) for name in ("flow", "depth")} | {
        "ego_motion": np.ones((2, 6))
    }
    first, last = (answers_of(network, found, clip, frame) for frame in (0, 1))
    assert first["flow"][1] == {"pixels": {"mean": 1.41421, "most": 1.41421}}
    assert first["depth"][1] == last["depth"][1]
    assert last["flow"] == last["ego_motion"] == ({}, {"untold": "no frame comes after it"})


def test_boxes_are_drawn_with_the_names_of_their_classes():
    clip, task = np.zeros((1, 240, 320, 3), np.uint8), mtl.tasks.detect(2)
    inputs = {"given": {"image": {"shape": [1, *SEEN, 3]}}, "labels": {}, "intrinsics": None}

    def drawn(names):
        labels = {"instances": {"arrays": {}, "names": names}}
        return draw_objects(task, FOUND, clip, SEEN, inputs | {"labels": labels})[0]

    numbered, named = drawn(None), drawn(list(NAMES))
    ink = [int(picture[:120, :160].any(axis=-1).sum()) for picture in (numbered, named)]
    assert ink[1] > ink[0] + 20  # "cube" is more than "2"
    np.testing.assert_array_equal(drawn(["none"]), numbered)


@dataclasses.dataclass
class Asked:
    """A network of clips of two frames, of which one task compares them."""

    names: tuple[str, ...] = ("detect", "track")
    comparing: tuple[str, ...] = ("track",)
    looking_ahead: tuple[str, ...] = ()
    frames: int = 2
    tasks: dict = dataclasses.field(default_factory=dict)

    @property
    def untold(self):
        return {"trajectory": "where was the camera?"}

    def asked(self, names):
        return names


def test_tasks_that_compare_frames_want_clips(capsys):
    files = [pathlib.Path("a/0.png"), pathlib.Path("b/1.png")]
    assert commands._enough(Asked(), files, None) == ["detect"]
    said = capsys.readouterr().err
    assert "left out: task 'track', which wants clips of 2 frames of a video, a folder each" in said
    assert "left out: task 'trajectory', which cannot be asked of images alone: where was the camera?" in said
    with pytest.raises(UserError, match=r"'track' wants clips of 2 frames .* enough for --tasks=detect\."):
        commands._enough(Asked(), files, ["detect", "track"])
    with pytest.raises(UserError, match=r"and there are at most 1 in one\."):
        commands._enough(Asked(names=("track",)), files, None)
    video = [pathlib.Path("a/0.png"), pathlib.Path("a/1.png")]
    assert commands._enough(Asked(), video, ["track"]) == Asked()


TASKS = ("detect", "instances", "track")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    made = sets.config("solids", {name: sets.OBJECTS[name] for name in TASKS}, sets.PYRAMID)
    made.batch_size = made.baseline_examples = 2
    return sets.leave(made, tmp_path_factory.mktemp("objects") / "run")


@pytest.fixture(scope="module")
def finding(workdir):
    """The run, with a head that takes every peak of heat for an object."""
    run = mtl.load(workdir)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, x: (
            x.at[0].add(8.0) if "heads_detect" in jax.tree_util.keystr(path) and x.shape == (13 - 4,) else x
        ),
        run.variables,
    )
    return dataclasses.replace(run, network=dataclasses.replace(run.network, variables=variables, programs={}))


PHOTO = np.random.default_rng(5).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.slow
def test_photographs_are_enough_for_what_sees_frames_apart(finding):
    tasks = ["detect", "instances"]
    network = finding.network.asked(tasks)
    [raw] = network.predict([example_of(network, PHOTO[None])])
    told = finding.answers(PHOTO[None], tasks)[0]
    objects = told["detect"]["objects"]
    assert len(objects) == 5
    boxes = raw["detect"]["boxes"][0, 0] * np.float32([2, 1.5, 2, 1.5])  # seen at 32 x 32
    np.testing.assert_allclose([one["box"] for one in objects], boxes, rtol=1e-3, atol=1e-3)
    assert {one["class"] for one in objects} <= {"sphere", "box", "cylinder", "cone"}
    found = finding.predict(np.stack([PHOTO] * 8), tasks)
    ids = found["instances"]["ids"]
    assert ids.shape == (8, 48, 64)
    assert found["detect"]["boxes"].shape == (8, 5, 4)
    assert [one["pixels"] for one in told["instances"]["objects"]] == [int((ids[0] == i).sum()) for i in range(1, 6)]
    assert finding.draw(PHOTO[None], tasks)[0].ndim == 3
    with pytest.raises(UserError, match=r"expected \(2, H, W, C\), a clip of 2 frames"):
        finding.predict(PHOTO[None], ["track"])


@pytest.mark.slow
def test_slots_are_exported(finding, tmp_path):
    sets.needs("flatbuffers")
    file = finding.export(tmp_path, tasks=["detect", "instances"])
    told = json.loads((tmp_path / "preprocessing.json").read_text())
    assert told["outputs"]["detect/probability"]["names"] == ["sphere", "box", "cylinder", "cone"]
    assert told["outputs"]["instances/ids"]["shape"] == ["batch", 32, 32]
    assert "slot of the object" in told["outputs"]["instances/ids"]["read"]
    images = np.random.default_rng(6).random((2, 96, 32, 3), np.float32)
    found = jax.export.deserialize(bytearray(file.read_bytes())).call(images)
    assert found["instances/ids"].shape == (2, 96, 32)
    assert 32 < found["detect/boxes"].max() <= 96
    sets.needs("jax2onnx", "onnxruntime")
    assert finding.export(tmp_path / "onnx", "onnx", ["instances"]).is_file()


@pytest.mark.slow
def test_the_command_line_finds_objects_in_a_video(workdir, compiled, tmp_path):
    (tmp_path / "video").mkdir()
    for i in range(2):
        Image.fromarray(PHOTO).save(tmp_path / "video" / f"{i}.png")
    common = ["--mode=predict", f"--workdir={workdir}", f"--images={tmp_path}/video", f"--out={tmp_path}/out"]
    finish(launch(compiled, *common))
    told = json.loads((tmp_path / "out" / "1.json").read_text())
    assert list(told["tasks"]) == list(TASKS)
    assert told["clip"] == {"first": f"{tmp_path}/video/0.png", "frame": 1, "frames": 2}
    with np.load(tmp_path / "out" / "1.npz") as arrays:
        assert arrays["instances"].shape == (48, 64)
        assert arrays["detect"].shape == arrays["track"].shape == (5, 4)
        assert arrays["track/ids"].shape == (5,)
