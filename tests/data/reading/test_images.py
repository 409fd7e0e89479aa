"""Pictures and label images in every way that files store them: read as they look, or refused with the reason."""

import zlib

import numpy as np
import pytest
from PIL import Image

from mtljax.data import camvid, cityscapes, kitti_odometry, rgbd, taskonomy
from mtljax.data.reading import images
from mtljax.errors import UserError
from tests.data.sources import test_cityscapes, test_kitti_odometry, test_taskonomy
from tests.data.sources.streets import write_streets
from tests.frames import write_folder

GREY = np.array([[0, 10, 100], [200, 254, 255]], np.uint8)
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
WIDE = np.array([[0, 70, 12800], [25600, 40000, 65535]], np.uint16)
COLOURS = [0, 0, 0, 128, 0, 0, 0, 128, 0, 200, 200, 200]


def saved(folder, picture, name="a.png", **arguments):
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(folder / name, **arguments)
    return folder / name


def with_palette(ids, palette):
    picture = Image.frombytes("P", ids.shape[::-1], ids.tobytes())
    picture.putpalette(palette)
    return picture


@pytest.mark.parametrize(
    ("picture", "name", "wanted"),
    [
        (RGB, "a.png", RGB),
        (GREY, "a.png", GREY),
        (GREY > 99, "a.png", 255 * (GREY > 99)),
        (WIDE, "a.png", WIDE // 256),
        (WIDE, "a.tif", WIDE // 256),
        (WIDE.astype(np.int32), "a.tif", WIDE // 256),
        (np.dstack([RGB, np.full_like(GREY, 255)]), "a.png", RGB),
        (Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (3, 2), 255)]), "a.png", GREY),
        (Image.fromarray(RGB).convert("CMYK"), "a.tif", RGB),
        (with_palette(np.array([[0, 1, 2]], np.uint8), COLOURS), "a.png", [[[0, 0, 0], [128, 0, 0], [0, 128, 0]]]),
    ],
)
def test_pictures_are_seen_as_they_look(tmp_path, picture, name, wanted):
    found, wanted = images.colour(saved(tmp_path, picture, name)), np.asarray(wanted)
    wanted = wanted if wanted.ndim == 3 else np.repeat(wanted[..., None], 3, axis=-1)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), wanted, atol=1 if name == "a.tif" else 0)


@pytest.mark.parametrize(
    ("picture", "arguments", "message"),
    [
        (np.dstack([RGB, GREY]), {}, "transparent pixels"),
        (Image.merge("LA", [Image.fromarray(GREY)] * 2), {}, "transparent pixels"),
        (with_palette(np.array([[0, 1, 2]], np.uint8), COLOURS), {"transparency": 1}, "transparent pixels"),
        (with_palette(np.array([[0, 1, 2]], np.uint8), COLOURS), {"transparency": b"\xff\x80"}, "transparent pixels"),
        (GREY, {"transparency": 100}, "transparent pixels"),
        (WIDE, {"transparency": 40000}, "transparent pixels"),
        (WIDE % 256, {}, "grey of 16 bits but holds nothing above 255, of 65535: it would be black"),
        (WIDE / np.float32(65535), {"name": "a.tif"}, "mode F, in which black and white are no known numbers"),
        (WIDE.astype(np.int32) * 2, {"name": "a.tif"}, "holds numbers from 0 to 131070; expected 16 bits"),
    ],
)
def test_pictures_whose_looks_are_not_known_are_refused(tmp_path, picture, arguments, message):
    with pytest.raises(UserError, match=message):
        images.colour(saved(tmp_path, picture, **arguments))


@pytest.mark.parametrize(("picture", "orientation"), [(RGB, 6), (RGB, 3), (WIDE, 8), (GREY, 2)])
def test_pictures_are_turned_as_their_exif_data_say(tmp_path, picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = {6: lambda x: np.rot90(x, -1), 3: lambda x: np.rot90(x, 2), 8: np.rot90, 2: np.fliplr}
    file, plain = saved(tmp_path, picture, exif=exif), saved(tmp_path, picture, "plain.png")
    wanted = turns[orientation](images.colour(plain))
    np.testing.assert_array_equal(images.colour(file), wanted)
    with Image.open(file) as opened:  # of Pillow, as rows of one's own have it
        opened.load()
        np.testing.assert_array_equal(images.colour_of(opened, file), wanted)
    if picture is GREY:
        np.testing.assert_array_equal(images.class_ids(file), np.fliplr(GREY))


def test_damaged_exif_data_turn_nothing_and_far_too_many_pixels_are_told(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = saved(tmp_path, RGB, "a.jpg", exif=exif)
    file.write_bytes(file.read_bytes().replace(b"MM\0*", b"ZM\0*"))
    with Image.open(saved(tmp_path, RGB, "plain.jpg")) as plain:
        wanted = np.asarray(plain)
    np.testing.assert_array_equal(images.colour(file), wanted)
    with Image.open(file) as opened:
        np.testing.assert_array_equal(images.colour_of(opened.copy(), file), wanted)
    data = bytearray(saved(tmp_path, RGB).read_bytes())
    data[16:24] = (2**15).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError, match=r"a.png' does not decode: Image size \(1073741824 pixels\) exceeds limit"):
        images.colour(tmp_path / "a.png")


def test_colours_that_nothing_hides_are_read(tmp_path):
    palette = with_palette(np.array([[0, 1, 2]], np.uint8), COLOURS)
    for picture, transparent in ((palette, 3), (GREY, 99), (WIDE, 1)):
        file = saved(tmp_path, picture, transparency=transparent)
        assert images.colour(file).shape[-1] == 3


def size(file):
    with Image.open(file) as picture:
        return picture.size


def folders(root):
    """A reader of each kind of folder, and the first picture of each."""
    write_streets(root / "streets")
    yield camvid(str(root / "streets")), root / "streets" / "train" / "a_000.png"
    yield rgbd(str(write_folder(root / "frames", 6))), root / "frames" / "frame-000000.color.png"
    test_kitti_odometry.write_sequence(root / "kitti", "00")
    kitti = kitti_odometry(str(root / "kitti"), sequences=["00"], validation=["01"], size=None, frames=1)
    yield kitti, root / "kitti" / "sequences" / "00" / "image_2" / "000000.png"
    test_cityscapes.write_image(root / "city", "train", "ulm", 0)
    yield cityscapes(str(root / "city")), next((root / "city").rglob("*leftImg8bit.png"))
    for point in range(2):
        test_taskonomy.write(root / "rooms", "", point, 0, point)
    yield taskonomy(str(root / "rooms")), test_taskonomy.first(root / "rooms", "rgb")


def test_every_reader_of_folders_sees_grey_of_16_bits(tmp_path):
    for data, file in folders(tmp_path):
        width, height = size(file)
        ramp = np.tile(np.linspace(0, 65535, width), (height, 1)).astype(np.uint16)
        saved(file.parent, ramp, file.name)
        found = data.split("train")[0]["image"][0]
        np.testing.assert_array_equal(found, np.repeat(ramp[..., None] // 256, 3, axis=-1), err_msg=data.name)


IDS = np.array([[0, 1, 2], [3, 2, 1]], np.uint8)
GREYS = np.repeat(np.arange(4), 3).tolist()


@pytest.mark.parametrize(
    ("picture", "arguments"),
    [
        (IDS, {}),
        (with_palette(IDS, COLOURS), {}),
        (with_palette(IDS, COLOURS), {"transparency": 0}),
        (with_palette(IDS, COLOURS + [0] * 756), {}),
        (with_palette(IDS, GREYS), {}),
        (Image.fromarray(IDS).convert("P"), {}),
    ],
)
def test_classes_are_greys_of_8_bits_or_indices_of_colours(tmp_path, picture, arguments):
    found = images.class_ids(saved(tmp_path, picture, **arguments))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, IDS)


@pytest.mark.parametrize(
    ("picture", "arguments", "message"),
    [
        (IDS > 0, {}, "label image '.*' is grey of 1 bit: whether classes are its values"),
        (Image.fromarray(IDS), {"bits": 2}, "is grey of 2 bit"),
        (Image.fromarray(IDS), {"bits": 4}, "is grey of 4 bit"),
        (with_palette(IDS, GREYS[::-1]), {}, "palette of greys in an order of its own.*expected 8 bit grey"),
        (with_palette(IDS, [0] * 3 + [255] * 3 + [7] * 6), {}, "palette of greys in an order of its own"),
        (IDS.astype(np.uint16), {}, "mode I;16; expected 8 bit grey"),
        (np.dstack([IDS] * 3), {}, "mode RGB; expected 8 bit grey: a class of each pixel, or a palette of colours"),
        (Image.fromarray(IDS), {"format": "JPEG"}, "is a JPEG, which does not keep classes"),
    ],
)
def test_label_images_whose_classes_are_not_certain_are_refused(tmp_path, picture, arguments, message):
    with pytest.raises(UserError, match=message):
        images.class_ids(saved(tmp_path, picture, **arguments))


def test_every_reader_of_label_images_refuses_grey_of_4_bits(tmp_path):
    data = {made.name.split("/")[0]: made for made, _ in folders(tmp_path)}
    for name, pattern in (("camvid", "*annot/a_000.png"), ("city", "*labelIds.png"), ("taskonomy", "*semantic.png")):
        for file in list(tmp_path.rglob(pattern)):
            Image.new("L", size(file), 3).save(file, bits=4)
        with pytest.raises(UserError, match="is grey of 4 bit"):
            data[name].split("train")[0]
