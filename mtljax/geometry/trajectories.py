"""Camera trajectories and how far an estimate is from the truth: NumPy in float64, on the host.

A trajectory is (N, 4, 4): rigid camera-to-world matrices, x right, y down, z forward, in metres. A function of two
takes the estimate first, and raises `ValueError` where one is not (N, 4, 4) with N >= 1, finite and rigid to 1e-3, or
where they differ in length.
"""

import numpy as np
from numpy.typing import ArrayLike

from mtljax.geometry.poses import inverse
from mtljax.geometry.rotations import axis_angles_of, matrices_of

ALIGNMENTS = (None, "se3", "sim3")
_LENGTHS = range(100, 801, 100)  # metres, KITTI's segments
_STEP = 10  # frames between the starts of KITTI's segments
_RIGID = 1e-3


def chain(motions: ArrayLike) -> np.ndarray:
    """The trajectory that relative motions make, in the frame of its first camera.

    Args:
        motions: (N, 6), translation in metres, then axis-angle in radians, as the label `ego_motion`: points of camera
            t + 1 to camera t, x_t = R x_{t+1} + t.

    Returns:
        (N + 1, 4, 4); the first is the identity.

    Raises:
        ValueError: for another shape, or numbers that are not finite.

    Example:
        >>> ahead = [0.0, 0.0, 2.0, 0.0, np.pi / 2, 0.0]  # two metres forwards, then a quarter turn to the right
        >>> print(chain([ahead, ahead])[:, :3, 3].round(6) + 0.0)
        [[0. 0. 0.]
         [0. 0. 2.]
         [2. 0. 2.]]
    """
    motions = np.asarray(motions, np.float64)
    if motions.ndim != 2 or motions.shape[1] != 6:
        raise ValueError(f"motions have shape {motions.shape}; expected (N, 6), translation then axis-angle.")
    finite = np.isfinite(motions).all(axis=1)
    if not np.all(finite):
        raise ValueError(f"motion {np.argmin(finite)} is not finite.")
    steps = np.tile(np.eye(4), (len(motions), 1, 1))
    steps[:, :3, :3] = matrices_of(motions[:, 3:])
    steps[:, :3, 3] = motions[:, :3]
    poses = np.tile(np.eye(4), (len(motions) + 1, 1, 1))
    for i, step in enumerate(steps):
        poses[i + 1] = poses[i] @ step
    return poses


def relative(poses: ArrayLike) -> np.ndarray:
    """The motions from each pose to the next: (N, 4, 4) -> (N - 1, 6), what `chain` takes.

    Example:
        >>> motions = [[0.0, 0.0, 2.0, 0.0, 0.1, 0.0], [0.5, 0.0, 1.0, 0.0, 0.0, -0.2]]
        >>> bool(np.allclose(relative(chain(motions)), motions))
        True
    """
    return motions_between(_trajectory(poses, "trajectory"))


def motions_between(poses: np.ndarray) -> np.ndarray:
    """As `relative`, of (N, 4, 4) float64 that are taken for poses as they are.

    Example:
        >>> print(motions_between(chain([[0.0, 0.0, 2.0, 0.0, 0.0, 0.0]])))
        [[0. 0. 2. 0. 0. 0.]]
    """
    steps = inverse(poses[:-1], np) @ poses[1:]
    return np.concatenate([steps[:, :3, 3], axis_angles_of(steps[:, :3, :3])], axis=1)


def align(estimate: ArrayLike, truth: ArrayLike, scale: bool = False) -> np.ndarray:
    """The estimate moved as a whole so that its positions fit the truth's best, by least squares.

    Umeyama, Least-Squares Estimation of Transformation Parameters between Two Point Patterns, PAMI 1991, equations
    40 to 42. Positions on a line, or all in one point, leave a rotation free: then one of the best ones is taken.

    Args:
        estimate: (N, 4, 4).
        truth: (N, 4, 4).
        scale: whether positions are scaled as well (Sim(3), for an estimate up to scale), or not (SE(3)). A still
            estimate keeps its scale; against a still truth the best scale is 0.

    Returns:
        (N, 4, 4), in the truth's world; rotations stay rigid.

    Example:
        >>> truth = chain([[0.0, 0.0, 2.0, 0.0, 0.3, 0.0]] * 5)
        >>> moved = chain([[1.0, 2.0, 3.0, 0.5, 0.0, 0.0]])[1] @ truth
        >>> bool(np.allclose(align(moved, truth), truth))
        True
    """
    estimate, truth = _pair(estimate, truth)
    p, g = estimate[:, :3, 3], truth[:, :3, 3]
    p_mean, g_mean = p.mean(axis=0), g.mean(axis=0)
    u, spread, v = np.linalg.svd((g - g_mean).T @ (p - p_mean) / len(p))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])  # no reflection
    turn = u * signs @ v
    variance = np.mean(np.sum((p - p_mean) ** 2, axis=1))
    factor = spread @ signs / variance if scale and variance > 0 else 1.0
    aligned = estimate.copy()
    aligned[:, :3, :3] = turn @ estimate[:, :3, :3]
    aligned[:, :3, 3] = factor * (p - p_mean) @ turn.T + g_mean
    return aligned


def ate(estimate: ArrayLike, truth: ArrayLike, alignment: str | None = None) -> float:
    """Absolute trajectory error: the root mean square distance of positions, in metres.

    Sturm et al., A Benchmark for the Evaluation of RGB-D SLAM Systems, IROS 2012.

    Args:
        estimate: (N, 4, 4).
        truth: (N, 4, 4).
        alignment: None, where both are in the same frame; `se3` or `sim3`, after `align`.

    Raises:
        ValueError: for another alignment too.

    Example:
        >>> truth = chain([[0.0, 0.0, 2.0, 0.0, 0.3, 0.0]] * 5)
        >>> half = chain([[0.0, 0.0, 1.0, 0.0, 0.3, 0.0]] * 5)
        >>> f"{ate(half, truth):.3f} {ate(half, truth, 'se3'):.3f} {ate(half, truth, 'sim3'):.3f}"
        '2.842 1.628 0.000'
    """
    return float(np.sqrt(np.mean(position_errors(estimate, truth, alignment) ** 2)))


def rpe(estimate: ArrayLike, truth: ArrayLike) -> tuple[float, float]:
    """Relative pose error from each frame to the next: the means of translation, metres, and of rotation, degrees.

    Sturm et al., IROS 2012, with means of norms in place of their root mean squares; NaN for one pose.

    Example:
        >>> truth, estimate = chain([[0.0, 0.0, 2.0, 0.0, 0.0, 0.0]]), chain([[0.0, 0.0, 1.5, 0.0, 0.1, 0.0]])
        >>> print(*np.round(rpe(estimate, truth), 3))
        0.5 5.73
    """
    translation, rotation = pair_errors(estimate, truth)
    return _mean(translation), _mean(rotation)


def kitti_errors(estimate: ArrayLike, truth: ArrayLike) -> tuple[float, float]:
    """KITTI's t_rel, in per cent, and r_rel, in degrees per 100 m: means over segments of 100, 200, ..., 800 m.

    Geiger et al., Are we ready for autonomous driving?, CVPR 2012; as in the benchmark's code,
    segments start at every tenth frame and end at the first frame that is farther along the true path than their
    length. NaN where no segment fits.

    Example:
        >>> truth, short = (chain([[0.0, 0.0, step, 0.0, 0.0, 0.0]] * 300) for step in (1.0, 0.98))
        >>> print(*np.round(kitti_errors(short, truth), 3))
        2.017 0.0
    """
    translation, rotation = segment_errors(estimate, truth)
    return _mean(translation), _mean(rotation)


def snippet_ate(estimate: ArrayLike, truth: ArrayLike, length: int = 5) -> tuple[float, float]:
    """SfMLearner's "ATE": mean and standard deviation over all snippets of five frames, in metres. It is not `ate`.

    Zhou et al., Unsupervised Learning of Depth and Ego-Motion from Video, CVPR 2017, as in the authors' code: in each
    snippet the first frames are aligned, one scale s = sum(g . p) / sum(p . p) is fitted, and the error is
    `sqrt(sum |s p - g|^2) / N`: no root of a mean. NaN where the trajectory is shorter than a snippet.

    Args:
        estimate: (N, 4, 4).
        truth: (N, 4, 4).
        length: of a snippet, in frames.

    Example:
        >>> truth, half = (chain([[0.0, 0.0, step, 0.0, 0.3, 0.0]] * 9) for step in (2.0, 1.0))
        >>> mean, deviation = snippet_ate(half, truth)
        >>> f"{mean:.6f} {deviation:.6f}"
        '0.000000 0.000000'
    """
    errors = snippet_errors(estimate, truth, length)
    return _mean(errors), float(np.std(errors)) if len(errors) else float("nan")


def position_errors(estimate: ArrayLike, truth: ArrayLike, alignment: str | None = None) -> np.ndarray:
    """The distances of which `ate` is the root mean square: (N,) metres.

    Example:
        >>> truth, half = (chain([[0.0, 0.0, step, 0.0, 0.0, 0.0]]) for step in (2.0, 1.0))
        >>> print(position_errors(half, truth))
        [0. 1.]
    """
    if alignment not in ALIGNMENTS:
        raise ValueError(f"alignment={alignment!r}; expected one of {', '.join(map(repr, ALIGNMENTS))}.")
    estimate, truth = _pair(estimate, truth)
    if alignment is not None:
        estimate = align(estimate, truth, scale=alignment == "sim3")
    return np.linalg.norm(estimate[:, :3, 3] - truth[:, :3, 3], axis=-1)


def pair_errors(estimate: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """What `rpe` is the means of: metres and degrees, each (N - 1,).

    Example:
        >>> truth = chain([[0.0, 0.0, 2.0, 0.0, 0.1, 0.0]] * 3)
        >>> pair_errors(truth, truth)[0].shape
        (3,)
    """
    estimate, truth = _pair(estimate, truth)
    now = np.arange(len(truth) - 1)
    return _errors_between(estimate, truth, now, now + 1)


def segment_errors(estimate: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """What `kitti_errors` is the means of: per cent and degrees per 100 m, each a number a segment.

    Example:
        >>> truth = chain([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]] * 125)
        >>> segment_errors(truth, truth)[0]  # of 100 m from frames 0, 10 and 20
        array([0., 0., 0.])
    """
    estimate, truth = _pair(estimate, truth)
    steps = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=-1)
    path = np.concatenate([[0.0], np.cumsum(steps)])
    starts, lengths = (x.ravel() for x in np.meshgrid(np.arange(0, len(path), _STEP), _LENGTHS, indexing="ij"))
    ends = np.searchsorted(path, path[starts] + lengths, side="right")
    fits = ends < len(path)
    translation, rotation = _errors_between(estimate, truth, starts[fits], ends[fits])
    return 100 * translation / lengths[fits], 100 * rotation / lengths[fits]


def snippet_errors(estimate: ArrayLike, truth: ArrayLike, length: int = 5) -> np.ndarray:
    """What `snippet_ate` is the mean of: (N - length + 1,) metres, a number a snippet.

    Example:
        >>> truth = chain([[0.0, 0.0, 2.0, 0.0, 0.0, 0.0]] * 5)
        >>> still = chain(np.zeros((5, 6)))
        >>> print(snippet_errors(still, truth).round(3))  # sqrt(4 + 16 + 36 + 64) / 5
        [2.191 2.191]
    """
    if length < 2:
        raise ValueError(f"length={length}; expected snippets of at least 2 frames.")
    estimate, truth = _pair(estimate, truth)
    frames = np.arange(len(truth) - length + 1)[:, None] + np.arange(length)
    p, g = ((inverse(x[frames[:, :1]], np) @ x[frames])[..., :3, 3] for x in (estimate, truth))
    square = np.sum(p * p, axis=(1, 2), keepdims=True)
    scale = np.sum(g * p, axis=(1, 2), keepdims=True) / np.where(square > 0, square, 1.0)
    return np.sqrt(np.sum((scale * p - g) ** 2, axis=(1, 2))) / length


def rigid(poses: ArrayLike) -> np.ndarray:
    """Whether (..., 4, 4) matrices are a rotation and a translation, to 1e-3: (...) bool.

    Example:
        >>> print(rigid([np.eye(4), 2 * np.eye(4)]))
        [ True False]
    """
    poses = np.asarray(poses, np.float64)
    turn = poses[..., :3, :3]
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(turn @ np.swapaxes(turn, -1, -2) - np.eye(3)).max(axis=(-2, -1))
        bottom = np.abs(poses[..., 3, :] - [0, 0, 0, 1]).max(axis=-1)
        return (np.maximum(off, bottom) < _RIGID) & (np.linalg.det(turn) > 0)


def _errors_between(
    estimate: np.ndarray, truth: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far the estimate's motions from start to end are from the true ones: metres and degrees."""
    p, g = (inverse(x[start], np) @ x[end] for x in (estimate, truth))
    error = inverse(p, np) @ g
    angle = np.linalg.norm(axis_angles_of(error[:, :3, :3]), axis=-1)  # exact near 0, as a trace's arccos is not
    return np.linalg.norm(error[:, :3, 3], axis=-1), np.degrees(angle)


def _pair(estimate: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    estimate, truth = _trajectory(estimate, "estimate"), _trajectory(truth, "truth")
    if len(estimate) != len(truth):
        raise ValueError(f"the estimate has {len(estimate)} poses, the truth {len(truth)}; expected as many.")
    return estimate, truth


def _trajectory(poses: ArrayLike, name: str) -> np.ndarray:
    poses = np.asarray(poses, np.float64)
    if poses.ndim != 3 or poses.shape[1:] != (4, 4) or not len(poses):
        raise ValueError(f"{name} has shape {poses.shape}; expected (N, 4, 4) with at least one pose.")
    finite = np.isfinite(poses).all(axis=(1, 2))
    if not np.all(finite):
        raise ValueError(f"pose {np.argmin(finite)} of the {name} is not finite.")
    if not rigid(poses).all():
        raise ValueError(
            f"pose {np.argmin(rigid(poses))} of the {name} is not rigid; expected a camera-to-world matrix."
        )
    return poses


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
