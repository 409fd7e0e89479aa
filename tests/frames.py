"""Folders of frames in the 7-Scenes layout, made for tests."""

import numpy as np
from PIL import Image

H, W, N = 24, 32, 10
K = np.array([[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]])


def write_frame(folder, number, depth=None):
    stem = folder / f"frame-{number:06d}"
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 255, (H, W, 3), np.uint8)).save(f"{stem}.color.png")
    raw = np.full((H, W), 2000 + number, np.uint16) if depth is None else depth
    Image.fromarray(raw).save(f"{stem}.depth.png")
    angle = 0.1 * number
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = [number, 0, 1]
    np.savetxt(f"{stem}.pose.txt", pose)


def write_folder(folder, count=N, depth=lambda number: None):
    """Writes the intrinsics and `count` frames; `depth(number)` gives a frame's raw depth."""
    folder.mkdir(exist_ok=True)
    np.savetxt(folder / "camera-intrinsics.txt", K)
    for number in range(count):
        write_frame(folder, number, depth(number))
    return folder


def slanted(number):
    """Raw depth of a plane that turns from frame to frame, with two rows unmeasured in every other frame."""
    plane = 1500 + 60 * number + (number - 10) * np.arange(W) + np.zeros((H, 1))
    plane[: 2 * (number % 2)] = 0
    return plane.astype(np.uint16)


def tilted(number):
    """Raw depth of a plane that leans by tens of degrees, another way in every frame."""
    x, y = np.random.default_rng(number).uniform(-40, 40, 2)
    return (2000 + x * np.arange(-W // 2, W // 2) + y * np.arange(-H // 2, H // 2)[:, None]).astype(np.uint16)
