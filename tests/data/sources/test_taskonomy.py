"""Folders in Taskonomy's layout, in its encodings, made small."""

import shutil

import numpy as np
import pytest
from PIL import Image

from mtljax.data import DataSet, taskonomy
from mtljax.errors import UserError

H, W = 8, 12
DOMAINS = {"depth_zbuffer": "depth_zbuffer", "normal": "normal", "edge_texture": "edge_texture",
           "edge_occlusion": "edge_occlusion", "segment_semantic": "segmentsemantic"}  # fmt: skip


def arrays(seed):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(H, W, 3))
    normal[..., 2] = -np.abs(normal[..., 2])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)  # ours: towards the camera
    stored = np.round(127.5 * (normal * [1, 1, -1] + 1)).astype(np.uint8)
    depth = rng.integers(300, 6000, (H, W)).astype(np.uint16)
    depth[0], stored[0], stored[1, :2] = 65535, 128, 128  # holes in the mesh, and two pixels without a normal
    found = {
        "rgb": rng.integers(0, 255, (H, W, 3), np.uint8),
        "depth_zbuffer": depth,
        "normal": stored,
        "edge_texture": rng.integers(0, 6000, (H, W)).astype(np.uint16),
        "edge_occlusion": rng.integers(0, 500, (H, W)).astype(np.uint16),
        "segment_semantic": (np.arange(H * W).reshape(H, W) % 18).astype(np.uint8),
    }
    return found, normal


def write(root, building, point, view, seed, parts=tuple(DOMAINS)):
    made, _ = arrays(seed)
    for part, domain in [("rgb", "rgb"), *((part, DOMAINS[part]) for part in parts)]:
        file = root / part / building / f"point_{point}_view_{view}_domain_{domain}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made[part]).save(file)


@pytest.fixture
def root(tmp_path):
    """One building; point 10 comes after point 9 and is the last."""
    root = tmp_path / "cauthron"
    for seed, (point, view) in enumerate([(0, 0), (0, 1), (2, 0), (9, 0), (10, 0), (10, 3)]):
        write(root, "", point, view, seed)
    return root


def test_examples_are_canonical(root):
    data = taskonomy(str(root))
    assert isinstance(data, DataSet)
    example = data.split("train")[1]
    made, normal = arrays(1)
    kinds = {"image": (3, np.uint8), "depth": (1, np.float32), "normal": (3, np.float32), "edge": (1, np.uint8)}
    kinds["semantic"] = (1, np.int32)
    assert example.keys() == {*kinds, *(f"{key}_valid" for key in kinds if key != "image")}
    for key, (channels, dtype) in kinds.items():
        assert (example[key].shape, example[key].dtype) == ((1, H, W, channels), dtype), key
        if key != "image":
            valid = example[f"{key}_valid"]
            assert (valid.shape, valid.dtype) == ((1, H, W, 1), np.bool_)
            assert not example[key][~np.broadcast_to(valid, example[key].shape)].any()
    np.testing.assert_array_equal(example["image"][0], made["rgb"])
    np.testing.assert_allclose(example["depth"][0, 1:, :, 0], made["depth_zbuffer"][1:] / 512)
    whole = np.arange(H)[:, None] > np.zeros(W)
    np.testing.assert_array_equal(example["depth_valid"][0, ..., 0], whole)
    whole[1, :2] = False
    np.testing.assert_array_equal(example["normal_valid"][0, ..., 0], whole)
    np.testing.assert_allclose(example["normal"][0][whole], normal[whole], atol=0.006)
    np.testing.assert_allclose(np.linalg.norm(example["normal"][0][whole], axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(example["edge"][0, ..., 0], made["edge_texture"] >= 0.5 * 0.08 * 65535)
    assert 0 < example["edge"].mean() < 1
    assert example["edge_valid"].all()
    stored = made["segment_semantic"]
    np.testing.assert_array_equal(example["semantic_valid"][0, ..., 0], stored > 0)
    np.testing.assert_array_equal(example["semantic"][0, ..., 0], np.maximum(stored.astype(int) - 1, 0))


def test_occlusion_edges_are_known_where_depth_is(root):
    example = taskonomy(str(root), edges="edge_occlusion", edge_strength=0.25).split("train")[0]
    stored = arrays(0)[0]["edge_occlusion"]
    np.testing.assert_array_equal(example["edge"][0, 1:, :, 0], stored[1:] >= 0.25 * 0.00625 * 65535)
    assert not example["edge_valid"][0, 0].any()
    assert example["edge_valid"][0, 1:].all()


def seeds(source):
    images = {arrays(seed)[0]["rgb"].tobytes(): seed for seed in range(10)}
    return [images[example["image"].tobytes()] for example in source]


def test_the_last_points_of_one_building_are_held_out_with_all_their_views(root):
    data = taskonomy(str(root), validation=0.2)
    assert [seeds(data.split(split)) for split in ("train", "validation")] == [[0, 1, 2, 3], [4, 5]]


def test_the_last_of_several_buildings_are_held_out(tmp_path):
    root = tmp_path / "starter"
    for seed, building in enumerate(["taskonomy/allen", "taskonomy/beech", "taskonomy/cedar"]):
        write(root, building, 0, 0, seed, parts=["depth_zbuffer"])
        write(root, building, 1, 0, seed + 3, parts=["depth_zbuffer"])
    data = taskonomy(str(root), validation=0.3)
    assert [seeds(data.split(split)) for split in ("train", "validation")] == [[0, 3, 1, 4], [2, 5]]
    assert data.split("train")[0].keys() == {"image", "depth", "depth_valid"}


SPLITS = "id,train,val,test\nallen,1,0,0\nbeech,0,1,0\ncedar,0,0,1\ndale,1,0,0\n"


@pytest.fixture
def three(tmp_path):
    for seed, building in enumerate(["taskonomy/allen", "taskonomy/beech", "taskonomy/cedar"]):
        write(tmp_path / "three", building, 0, 0, seed, parts=["depth_zbuffer"])
    (tmp_path / "splits.csv").write_text(SPLITS)
    return tmp_path


def test_official_splits_are_by_building(three):
    data = taskonomy(str(three / "three"), splits=str(three / "splits.csv"))
    assert [seeds(data.split(split)) for split in ("train", "validation")] == [[0], [1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SPLITS.replace("allen", "aleln"), r"splits.csv' lack allen; expected all buildings"),
        (SPLITS.replace("beech,0,1", "beech,1,0"), r"splits.csv' have no building of the folder in val"),
        ("a,b\n1,2\n", r"splits.csv' cannot be read .*expected rows of id,train,val,test"),
        (None, r"splits.csv' cannot be read"),
    ],
)
def test_splits_that_are_not_of_the_folder_are_named(three, text, message):
    (three / "splits.csv").unlink() if text is None else (three / "splits.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        taskonomy(str(three / "three"), splits=str(three / "splits.csv")).split("validation")


def test_all_is_resized_together(root):
    whole, small = (taskonomy(str(root), size=size).split("train")[0] for size in (None, (4, 6)))
    assert small["image"].shape == (1, 4, 6, 3)
    for name in ("depth", "normal", "semantic", "depth_valid", "normal_valid", "semantic_valid", "edge_valid"):
        np.testing.assert_array_equal(small[name], whole[name][:, 1::2, 1::2])
    covered = (whole["edge"] * whole["edge_valid"]).reshape(1, 4, 2, 6, 2, 1).max(axis=(2, 4))
    np.testing.assert_array_equal(small["edge"], covered * small["edge_valid"])


def first(root, part):
    return root / part / f"point_0_view_0_domain_{DOMAINS.get(part, part)}.png"


def put(part, array):
    return lambda root: Image.fromarray(array).save(first(root, part))


def truncate(root):
    first(root, "normal").write_bytes(first(root, "normal").read_bytes()[:50])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, r"Taskonomy folder '.*cauthron' does not exist"),
        (lambda r: shutil.rmtree(r / "rgb"), r"has no images; expected files such as rgb/point_0_view_0"),
        (lambda r: [shutil.rmtree(r / part) for part in DOMAINS], r"has rgb alone"),
        (
            lambda r: first(r, "segment_semantic").unlink(),
            r"lacks segment_semantic/point_0_view_0_domain_segmentsemantic",
        ),
        (truncate, r"point_0_view_0_domain_normal.png' does not decode"),
        (put("depth_zbuffer", np.zeros((H, W), np.uint8)), r"zbuffer.png' has mode L; expected 16 bit grey: 1/512 m"),
        (put("depth_zbuffer", np.zeros((H, 4), np.uint16)), r"zbuffer.png' is 4 x 8 pixels; its image is 12 x 8"),
        (put("segment_semantic", np.full((H, W), 18, np.uint8)), r"semantic.png' holds 18; expected 0 .. 17"),
        (put("segment_semantic", np.zeros((H, W, 3), np.uint8)), r"semantic.png' has mode RGB; expected 8 bit grey"),
        (put("normal", np.zeros((H, W), np.uint8)), r"normal.png' have mode L; expected 8 bit colours"),
        (lambda r: [f.unlink() for f in (r / "rgb").iterdir() if "point_0_" not in f.name], r"of one point alone"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(root, harm, message):
    harm(root)
    with pytest.raises(UserError, match=message):
        list(taskonomy(str(root)).split("train"))


def test_mistakes_in_arguments_are_named(root):
    with pytest.raises(UserError, match=r"validation=1"):
        taskonomy(str(root), validation=1)
    with pytest.raises(UserError, match=r"'edge_texure'; did you mean 'edge_texture'"):
        taskonomy(str(root), edges="edge_texure")
    with pytest.raises(UserError, match=r"edge_strength=0"):
        taskonomy(str(root), edge_strength=0)
    with pytest.raises(UserError, match=r"split of taskonomy/cauthron: 'test'"):
        taskonomy(str(root)).split("test")
