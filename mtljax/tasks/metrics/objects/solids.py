"""Points on the solids of `scenes`, by which ADD compares poses."""

import numpy as np

SPHERE, BOX, CYLINDER, CONE = range(1, 5)  # classes of `scenes`
NUMBER = 200


def solid_points(category: int, half_sizes: np.ndarray, number: int = NUMBER, seed: int = 0) -> np.ndarray:
    """Points on a solid's surface, the same each time.

    They are drawn evenly over the surface of the unit solid (a box of sides of 2, a cylinder and a cone of radius 1 and
    height 2 about z, the cone's tip at +z), and then scaled.

    Args:
        category: 1 to 4: sphere, box, cylinder, cone.
        half_sizes: (3,), metres.
        number: of points.
        seed: of the draw.

    Returns:
        (number, 3), metres along the solid's own axes.

    Raises:
        KeyError: for another category.
    """
    rng = np.random.default_rng(seed)
    unit = {SPHERE: _sphere, BOX: _box, CYLINDER: _cylinder, CONE: _cone}[category](rng, number)
    return unit * half_sizes


def _sphere(rng: np.random.Generator, number: int) -> np.ndarray:
    points = rng.normal(size=(number, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _box(rng: np.random.Generator, number: int) -> np.ndarray:
    points, side = rng.uniform(-1, 1, (number, 3)), rng.integers(0, 3, number)
    points[np.arange(number), side] = rng.choice([-1.0, 1.0], number)
    return points


def _cylinder(rng: np.random.Generator, number: int) -> np.ndarray:
    # The side has an area of 4 pi, each end one of pi.
    side = rng.uniform(size=number) < 4 / 6
    height = np.where(side, rng.uniform(-1, 1, number), rng.choice([-1.0, 1.0], number))
    return _around(rng, np.where(side, 1.0, np.sqrt(rng.uniform(size=number))), height)


def _cone(rng: np.random.Generator, number: int) -> np.ndarray:
    # The side has an area of pi sqrt(5), the base one of pi; a place on the side is the likelier the wider the cone is.
    side = rng.uniform(size=number) < np.sqrt(5) / (1 + np.sqrt(5))
    radius = np.sqrt(rng.uniform(size=number))
    return _around(rng, radius, np.where(side, 1 - 2 * radius, -1.0))


def _around(rng: np.random.Generator, radius: np.ndarray, height: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, len(radius))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
