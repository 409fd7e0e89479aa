"""ETH/UCY files: windows, splits, and what is said of files that are not as they should be."""

import numpy as np
import pytest

from mtljax.data import check
from mtljax.data.sources.eth_ucy import eth_ucy
from mtljax.errors import UserError


def rows(length, peds=(1, 2), skip=()):
    return [f"{10 * f}\t{p}.0\t{0.5 * f + p}\t{p}" for f in range(length) for p in peds if (f, p) not in skip]


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.txt").write_text("\n".join(content) + "\n")
    return str(folder)


def test_windows(tmp_path):
    hotel = rows(22, peds=(1, 2, 3), skip=[(f, 3) for f in range(15, 22)] + [(21, 2)])
    path = write(tmp_path / "paths", biwi_eth=rows(21), biwi_hotel=hotel)
    full = eth_ucy(path, test="hotel")
    held_out = full.split("validation")
    assert len(held_out) == 4  # two windows with both 1 and 2; in the third 1 is alone
    assert len(full.split("train")) == 4
    example = held_out[0]
    np.testing.assert_allclose(example["inputs"]["seen"][[0, 7]], [[-3.5, 0], [0, 0]])
    np.testing.assert_allclose(example["future"][[0, 11]], [[0.5, 0], [6, 0]])
    assert example["future_valid"].shape == (12, 1)
    assert example["future_valid"].all()
    check(full)
    loose = eth_ucy(path, test="hotel", protocol="any_length").split("validation")
    assert len(loose) == 13 + 12 + 6
    last = loose[len(loose) - 1]
    assert last["future_valid"].sum() == 2
    assert not last["future"][2:].any()


def test_windows_may_all_go_ahead(tmp_path):
    still = [f"{10 * f} 9 4.0 2.0" for f in range(20)]
    path = write(tmp_path / "paths", biwi_eth=rows(20), biwi_hotel=rows(20), crowds_zara01=still + rows(20))
    plain, ahead = (eth_ucy(path, test="zara1", ahead=way) for way in (False, True))
    one, turned = plain.split("validation"), ahead.split("validation")
    assert len(one) == len(turned) == 3
    for a, b in zip(one, turned, strict=True):
        np.testing.assert_allclose(*(np.linalg.norm(x["future"], axis=1) for x in (a, b)), rtol=1e-5)
        np.testing.assert_allclose(b["inputs"]["seen"][0, 1], 0, atol=1e-6)
        assert b["inputs"]["seen"][0, 0] <= 0
    check(ahead)


def test_training_windows_may_be_varied(tmp_path):
    path = write(tmp_path / "paths", biwi_eth=rows(20), biwi_hotel=rows(20))
    plain, varied = (eth_ucy(path, test="eth", varied=way) for way in (False, True))
    assert len(varied.split("validation")) == len(plain.split("validation")) == 2
    whole = varied.split("train")
    assert len(whole) == 8
    for i, one in enumerate(plain.split("train")):
        np.testing.assert_allclose(whole[i]["future"], one["future"])
        np.testing.assert_allclose(whole[i + 2]["future"], one["future"] * [1, -1])
        speed = whole[i + 4]["future"][:, 0] / one["future"][:, 0]
        np.testing.assert_allclose(speed, speed[0], rtol=1e-5)
        assert 0.4 <= speed[0] <= 1.1
    check(varied)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["0 1 2.0 3.0", "0 2 2.0 3.0", "10 1 2.0"], r"biwi_eth.txt', line 3: 3 numbers; expected four"),
        (["0 1 2.0 3.0", "0 2 2.0 x"], r"biwi_eth.txt', line 2: 'x' is no number; expected frame, pedestrian, x and y"),
        (["0 1 2.0 nan"], r"biwi_eth.txt', line 1: 'nan' is no finite number"),
        (["0 1 2.0 3.0", "", "0 1 4.0 3.0"], r"biwi_eth.txt', line 3: pedestrian 1 is in frame 0 already, in line 1"),
        (rows(19), "has no window of 20 frames in biwi_eth.txt"),
    ],
)
def test_faults_of_files(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        eth_ucy(write(tmp_path / "paths", biwi_eth=content)).split("validation")


def test_files_that_are_left_out_of_the_training_set_are_told_once(tmp_path, capsys):
    path = write(tmp_path / "paths", biwi_eth=rows(20), biwi_hotel=rows(20), students001=rows(20))
    for _ in range(2):
        eth_ucy(path, test="hotel").split("train")
        eth_ucy(path, test="hotel").split("validation")
    told = "lacks students003.txt, crowds_zara01.txt, crowds_zara02.txt; the training set is without their paths"
    assert capsys.readouterr().err.count(told) == 1
    write(tmp_path / "paths", students003=rows(20), crowds_zara01=rows(20), crowds_zara02=rows(20))
    eth_ucy(path, test="eth").split("train")
    assert capsys.readouterr().err == ""


def test_faults_of_arguments(tmp_path):
    with pytest.raises(UserError, match="did you mean 'zara1'"):
        eth_ucy("paths", test="zara01")
    with pytest.raises(UserError, match="did you mean 'full'"):
        eth_ucy("paths", protocol="ful")
    with pytest.raises(UserError, match="none of the other scenes' files"):
        eth_ucy(write(tmp_path / "paths", biwi_eth=rows(20))).split("train")
    with pytest.raises(UserError, match=r"biwi_hotel.txt' cannot be read"):
        eth_ucy(str(tmp_path / "paths"), test="hotel").split("validation")
    with pytest.raises(UserError, match="eth_ucy folder"):
        eth_ucy(str(tmp_path / "path")).split("train")
