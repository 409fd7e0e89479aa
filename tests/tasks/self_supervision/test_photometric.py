"""The parts of the photometric loss against plain NumPy transcriptions of their definitions."""

import jax
import numpy as np

from mtljax.tasks.self_supervision import photometric, smoothness

RNG = np.random.default_rng(0)
X, Y = RNG.random((2, 3, 7, 9, 3)).astype(np.float32)


def windows(x):
    """(..., H, W, C) -> the nine neighbours of every pixel, borders reflected, (9, ..., H, W, C)."""
    padded = np.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)], mode="reflect")
    height, width = x.shape[-3:-1]
    return np.stack([padded[..., i : i + height, j : j + width, :] for i in range(3) for j in range(3)]).astype(float)


def ssim(x, y):
    a, b = windows(x), windows(y)
    covariance = ((a - a.mean(0)) * (b - b.mean(0))).mean(0)
    above = (2 * a.mean(0) * b.mean(0) + 1e-4) * (2 * covariance + 9e-4)
    return above / ((a.mean(0) ** 2 + b.mean(0) ** 2 + 1e-4) * (a.var(0) + b.var(0) + 9e-4))


def test_ssim_and_the_error_are_their_definitions():
    near = np.clip(X + 0.1 * Y, 0, 1)
    for x, y in ((X, Y), (X, near), (X, 1 - X)):
        found, error = jax.jit(lambda x, y: (photometric.ssim(x, y), photometric.photometric_error(x, y)))(x, y)
        np.testing.assert_allclose(found, ssim(x, y), atol=2e-4)
        wanted = 0.85 * np.clip((1 - ssim(x, y)) / 2, 0, 1).mean(-1) + 0.15 * np.abs(x - y).mean(-1)
        np.testing.assert_allclose(error[..., 0], wanted, atol=2e-4)


def test_blurring_is_its_definition():
    weights = np.array([1, 2, 1, 2, 4, 2, 1, 2, 1]) / 16
    once = np.tensordot(weights, windows(X), axes=1)
    np.testing.assert_allclose(photometric.blurred(X, 1), once, atol=1e-6)
    np.testing.assert_allclose(photometric.blurred(X, 2), np.tensordot(weights, windows(once), axes=1), atol=1e-6)
    assert photometric.blurred(X, 0) is X


def test_smoothness_is_its_definition():
    depth = (1 + RNG.random((3, 7, 9, 1))).astype(np.float32)
    inverse = 1 / depth / (1 / depth).mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(smoothness.inverse_depth(depth), inverse, rtol=1e-5)
    wanted = sum(
        (np.abs(np.diff(inverse, axis=a)) * np.exp(-np.abs(np.diff(X, axis=a)).mean(-1, keepdims=True))).mean((1, 2, 3))
        for a in (1, 2)
    )
    np.testing.assert_allclose(smoothness.edge_aware(inverse, X), wanted, rtol=1e-5)


def test_images_are_reduced_by_averages():
    small = smoothness.reduced(X, 2)
    assert small.shape == (3, 3, 4, 3)
    np.testing.assert_allclose(small[1, 2, 3], X[1, 4:6, 6:8].mean((0, 1)), rtol=1e-6)
