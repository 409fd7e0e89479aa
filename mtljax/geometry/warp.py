"""One frame as seen from another: bilinear sampling, view synthesis, the flow that a camera's motion makes.

Pixels are (x, y), centres at integers + 0.5. Leading axes of all arguments broadcast, but for those of `sample`.
"""

from types import ModuleType

import jax
import jax.numpy as jnp

from mtljax.geometry.camera import NEAR, Array, backproject, pixel_grid, project, transform


def inside(pixels: jax.Array, height: int, width: int) -> jax.Array:
    """Whether places (..., 2) as (x, y) are in an image, 0 <= x <= W and 0 <= y <= H: (..., 1) bool.

    Example:
        >>> import jax.numpy as jnp
        >>> print(inside(jnp.array([[0.0, 1.0], [2.5, 1.0]]), height=1, width=2)[:, 0])
        [ True False]
    """
    within = (pixels >= 0) & (pixels <= jnp.array([width, height], pixels.dtype))
    return jnp.all(within, axis=-1, keepdims=True)


def sample(image: jax.Array, pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """An image's values at any places, bilinearly between pixel centres: (..., H, W, C) at (..., h, w, 2).

    Beyond the outermost centres the border's values go on, without a gradient in that direction.

    Args:
        image: (..., H, W, C).
        pixels: (..., h, w, 2) places as (x, y), with the same leading axes.

    Returns:
        Values (..., h, w, C), and whether the place is `inside` the image, (..., h, w, 1) bool.

    Example:
        >>> import jax.numpy as jnp
        >>> values, there = sample(jnp.array([[[1.0], [3.0]]]), jnp.array([[[1.0, 0.5], [1.75, 0.5], [2.5, 0.5]]]))
        >>> print(values[..., 0], there[..., 0])
        [[2. 3. 3.]] [[ True  True False]]
    """
    height, width, channels = image.shape[-3:]
    x = jnp.clip(pixels[..., 0] - 0.5, 0, width - 1)
    y = jnp.clip(pixels[..., 1] - 0.5, 0, height - 1)
    left, top = (jax.lax.stop_gradient(jnp.floor(place)) for place in (x, y))
    to_right, down = (x - left)[..., None], (y - top)[..., None]
    column, row = left.astype(jnp.int32), top.astype(jnp.int32)
    right, bottom = jnp.minimum(column + 1, width - 1), jnp.minimum(row + 1, height - 1)
    flat = image.reshape(*image.shape[:-3], height * width, channels)
    # All corners in one gather: it and its gradient are much for a compiler.
    index = jnp.stack([j * width + i for j in (row, bottom) for i in (column, right)], axis=-3)
    corners = jnp.take_along_axis(flat, index.reshape(*index.shape[:-3], -1, 1), axis=-2, mode="clip")
    a, b, c, d = jnp.moveaxis(corners.reshape(*index.shape, channels), -4, 0)
    above, below = a + to_right * (b - a), c + to_right * (d - c)
    return above + down * (below - above), inside(pixels, height, width)


def flow_warp(source: jax.Array, flow: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A frame pulled back along a flow: at every pixel p, the source (..., H, W, C) at p + flow (..., H, W, 2).

    Returns:
        Values (..., H, W, C), and whether p + flow is inside the source, (..., H, W, 1) bool.

    Example:
        >>> import jax.numpy as jnp
        >>> source = jnp.array([[[1.0], [2.0], [3.0]]])
        >>> values, there = flow_warp(source, jnp.array([1.0, 0.0]) * jnp.ones((1, 3, 2)))
        >>> print(values[..., 0], there[..., 0])
        [[2. 3. 3.]] [[ True  True False]]
    """
    height, width = flow.shape[-3:-1]
    return sample(source, pixel_grid(height, width) + flow)


def seen_from(
    depth: Array, intrinsics: Array, matrix: Array, near: float = NEAR, xp: ModuleType = jnp
) -> tuple[Array, Array]:
    """Where another camera sees each pixel of a frame.

    Args:
        depth: of the frame, (..., H, W, 1) metres.
        intrinsics: of both cameras, (..., 3, 3).
        matrix: maps the frame's points to the other camera's, (..., 4, 4).
        near: metres before the other camera, below which a point has no image there.
        xp: `jax.numpy`, or `numpy`, in whose arrays all of it is.

    Returns:
        Pixels (..., H, W, 2) of the other frame, and whether the point is in front of its camera, (..., H, W, 1) bool.

    Example:
        >>> import jax.numpy as jnp
        >>> from mtljax import geometry
        >>> k = jnp.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        >>> nearer = geometry.matrix_of(jnp.array([2.0, 0.0, -1.0, 0.0, 0.0, 0.0]))
        >>> print(seen_from(jnp.full((1, 1, 1), 2.0), k, nearer)[0])
        [[[2.5 0.5]]]
    """
    return project(transform(matrix, backproject(depth, intrinsics, xp)), intrinsics, near, xp)


def view(source: jax.Array, depth: jax.Array, intrinsics: jax.Array, matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A frame put together from another one's pixels (view synthesis; SfMLearner, Zhou et al. 2017, eq. 2).

    Args:
        source: the other frame, (..., H, W, C).
        depth: of the frame that is made, (..., H, W, 1) metres.
        intrinsics: of both, (..., 3, 3).
        matrix: maps the made frame's points to the source's camera, (..., 4, 4).

    Returns:
        The frame (..., H, W, C), and where it is valid, (..., H, W, 1) bool: the point is in front of the source's
        camera and inside its image. What the source does not see, because something is before it, is not told.

    Example:
        >>> import jax.numpy as jnp
        >>> source, depth = jnp.arange(12.0).reshape(3, 4, 1), jnp.ones((3, 4, 1))
        >>> made, valid = view(source, depth, jnp.eye(3), jnp.eye(4))
        >>> bool(jnp.allclose(made, source)), bool(valid.all())
        (True, True)
    """
    pixels, in_front = seen_from(depth, intrinsics, matrix)
    values, there = sample(source, pixels)
    return values, there & in_front


def rigid_flow(
    depth: Array, intrinsics: Array, matrix: Array, near: float = NEAR, xp: ModuleType = jnp
) -> tuple[Array, Array]:
    """The flow that the camera's motion makes in a still world, (..., H, W, 2) pixels; arguments as of `seen_from`.

    Returns:
        The flow, and whether the point is in front of the other camera, (..., H, W, 1) bool.

    Example:
        >>> import jax.numpy as jnp
        >>> from mtljax import geometry
        >>> aside = geometry.matrix_of(jnp.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
        >>> print(rigid_flow(jnp.full((1, 1, 1), 2.0), jnp.diag(jnp.array([10.0, 10.0, 1.0])), aside)[0])
        [[[5. 0.]]]
    """
    pixels, in_front = seen_from(depth, intrinsics, matrix, near, xp)
    height, width = depth.shape[-3:-1]
    return pixels - pixel_grid(height, width, xp), in_front
