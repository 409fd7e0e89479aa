"""Rotations on the host, in float64: quaternions (w, x, y, z), axis-angles in radians and matrices, by SciPy."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

# SciPy is imported where it is needed: `import mtljax` need not take the time. Its older versions take no empty arrays.


def quaternions_of(rotation: "Rotation") -> np.ndarray:
    """The quaternions (w, x, y, z) of SciPy's rotations: (4,) of one, (N, 4) of several.

    Example:
        >>> from scipy.spatial.transform import Rotation
        >>> print(quaternions_of(Rotation.identity()))
        [1. 0. 0. 0.]
    """
    return np.roll(rotation.as_quat(), 1, axis=-1)


def rotation_from(quaternions: ArrayLike) -> "Rotation":
    """SciPy's rotations of quaternions (w, x, y, z), (4,) or (N, 4), of any length but 0.

    Example:
        >>> print(quaternions_of(rotation_from([0.0, 0.0, 2.0, 0.0])))
        [0. 0. 1. 0.]
    """
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(np.roll(np.asarray(quaternions, np.float64), -1, axis=-1))


def matrices_of(axis_angles: np.ndarray) -> np.ndarray:
    """The matrices of axis-angles: (N, 3) radians -> (N, 3, 3).

    Example:
        >>> print(matrices_of(np.zeros((1, 3)))[0])
        [[1. 0. 0.]
         [0. 1. 0.]
         [0. 0. 1.]]
    """
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(axis_angles).as_matrix() if len(axis_angles) else np.zeros((0, 3, 3))


def axis_angles_of(matrices: np.ndarray) -> np.ndarray:
    """The axis-angles of rotation matrices: (N, 3, 3) -> (N, 3) radians, of at most pi.

    Example:
        >>> print(axis_angles_of(matrices_of(np.array([[0.0, 0.5, 0.0]]))))
        [[0.  0.5 0. ]]
    """
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices).as_rotvec() if len(matrices) else np.zeros((0, 3))
