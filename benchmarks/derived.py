"""What is derived on the host, in CPU time: colours of a picture of 1024 x 2048, normals of a depth map of 480 x 640,
and a batch of eight pictures of 480 x 640.

python benchmarks/derived.py

Colours beside one product of all pixels with a matrix, in NumPy; the sums over windows that normals are fitted to
beside the same sums written out in float32; a batch of bytes, as it crosses to the device, beside one of float32.
"""

import time
from collections.abc import Callable
from typing import Any

import machine
import numpy as np

from mtljax.data import augment, pipeline
from mtljax.data.labels import normals

REPEATS = 5


def milliseconds(call: Callable[[], Any]) -> float:
    """The least CPU time of a few calls, after a first."""
    call()
    found = []
    for _ in range(REPEATS):
        begin = time.process_time()
        call()
        found.append(time.process_time() - begin)
    return 1e3 * min(found)


def product(image: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """All pixels by a matrix, rounded and cut off, about the mean colour."""
    grey = shift @ image.reshape(-1, 3).mean(axis=0)
    found = image.reshape(-1, 3) @ matrix.astype(np.float32) + grey.astype(np.float32)
    return (np.clip(found, 0, 255) + 0.5).astype(np.uint8).reshape(image.shape)


def sums(inverse: np.ndarray, around: np.ndarray, radius: int) -> np.ndarray:
    """As `normals._window_sums`, an array for each step."""
    (h, w), found = inverse.shape, np.zeros((9, *inverse.shape), np.float32)
    for dv in range(-radius, radius + 1):
        for du in range(-radius, radius + 1):
            difference = around[radius + dv : radius + dv + h, radius + du : radius + du + w] - inverse
            same = np.abs(difference) < 0.04 * inverse
            q = np.where(same, difference, np.float32(0))
            found += np.stack([f * same for f in (1, du, dv, du * du, du * dv, dv * dv)] + [q, du * q, dv * q])
    return found


def main() -> None:
    """Prints the table."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 1024, 2048, 3), dtype=np.uint8)
    change, matrix = augment.colour(0.2, 0.2, 0.2, 0.1), rng.normal(size=(3, 3))
    y, x = np.mgrid[:480, :640]
    inverse = (1 / (1.5 + 0.002 * x + 0.001 * y + 0.8 * ((x // 50 + y // 40) % 2))).astype(np.float32)
    around = np.pad(inverse, 3, constant_values=1e30)
    pictures = [{"image": rng.integers(0, 256, (1, 480, 640, 3), dtype=np.uint8)} for _ in range(8)]

    def batch(raw: bool) -> Any:
        return pipeline.collate(list(map(pipeline.Prepare(None, raw), pictures)))

    pairs = {
        "batch": (milliseconds(lambda: batch(True)), milliseconds(lambda: batch(False))),
        "colour": (milliseconds(lambda: change({"image": image}, np.random.default_rng(0))),
                   milliseconds(lambda: product(image, matrix, matrix))),
        "normals": (milliseconds(lambda: normals._window_sums(inverse, around, 3)),
                    milliseconds(lambda: sums(inverse, around, 3))),
    }  # fmt: skip
    print(machine.described())
    print(f"{'':<12}{'ms':>8}{'plainly':>10}{'ratio':>8}")
    for name, (found, plainly) in pairs.items():
        print(f"{name:<12}{found:>8.1f}{plainly:>10.1f}{found / plainly:>8.2f}")


if __name__ == "__main__":
    main()
