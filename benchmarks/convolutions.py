"""One convolution and its two gradients in XLA, by the order of axes, and in PyTorch where it is installed, in turns.

python benchmarks/convolutions.py

3 x 3, with the shapes of the first and the last stage of the network of `peers.py`.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any

import jax
import machine
import numpy as np
from balancers import medians

BATCH = 8
SHAPES = {"32 x 32, 48 channels": (32, 48), "4 x 4, 384 channels": (4, 384)}
LAYOUTS = {"NHWC": ("NHWC", "HWIO", "NHWC"), "NCHW": ("NCHW", "OIHW", "NCHW")}
WHAT = ("forward", "to the input", "to the kernel")


def ours(layout: str, x: np.ndarray, kernel: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The calls of XLA, of arrays in the order NHWC and HWIO."""
    if layout == "NCHW":
        x, kernel = x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)
    x, kernel = jax.device_put((x, kernel))

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUTS[layout])

    def to_input(y: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.linear_transpose(lambda x: forward(x, kernel), y)(y)[0]  # which has the input's shape

    def to_kernel(x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(y)[0]

    def call(function: Callable[..., jax.Array], *args: jax.Array) -> Callable[[], Any]:
        compiled = jax.jit(function)
        return lambda: jax.block_until_ready(compiled(*args))

    calls = call(forward, x, kernel), call(to_input, x, kernel), call(to_kernel, x, x)
    return {f"{layout}, {what}": made for what, made in zip(WHAT, calls, strict=True)}


def theirs(x: np.ndarray, kernel: np.ndarray) -> dict[str, Callable[[], Any]]:
    """PyTorch's calls, none where it is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    image, weight = torch.tensor(x.transpose(0, 3, 1, 2).copy()), torch.tensor(kernel.transpose(3, 2, 0, 1).copy())

    def backward(mask: list[bool]) -> Callable[[], Any]:
        rest = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask)
        return lambda: torch.ops.aten.convolution_backward(image, image, weight, *rest)

    calls = (
        lambda: torch.conv2d(image, weight, padding=1),
        backward([True, False, False]),
        backward([False, True, False]),
    )
    return {f"PyTorch, {what}": call for what, call in zip(WHAT, calls, strict=True)}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--busy", action="store_true", help=machine.BUSY)
    flags = parser.parse_args()
    clock = machine.clock_of(flags.busy)
    print(f"{machine.described()}; load {os.getloadavg()[0]:.1f}")
    rng = np.random.default_rng(0)
    for name, (size, channels) in SHAPES.items():
        x = rng.normal(size=(BATCH, size, size, channels)).astype(np.float32)
        kernel = rng.normal(size=(3, 3, channels, channels)).astype(np.float32)
        calls = ours("NHWC", x, kernel) | ours("NCHW", x, kernel) | theirs(x, kernel)
        for what, seconds in medians(calls, flags.turns, clock).items():
            print(f"{name:<24}{what:<26}{1e3 * seconds:>8.2f} ms", flush=True)


if __name__ == "__main__":
    main()
