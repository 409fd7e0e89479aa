"""Normals and edges from depth, on surfaces whose normals and edges are known."""

import numpy as np

from mtljax.data.labels.edges import edges_from_depth
from mtljax.data.labels.normals import normals_from_depth
from mtljax.geometry import backproject

H, W = 40, 60
K = np.array([[100.0, 0, 30], [0, 100.0, 20], [0, 0, 1]])
RAYS = backproject(np.ones((H, W, 1)), K, np)
ALL = np.ones((H, W), bool)


def plane(normal, distance):
    """The depth of the plane n . P = -distance, with its unit normal towards the camera."""
    normal = np.array(normal) / np.linalg.norm(normal)
    return -distance / (RAYS @ normal), normal


def test_points_lie_on_their_rays():
    points = backproject(np.full((H, W, 1), 3.0), K, np)
    np.testing.assert_allclose(points[..., 2], 3)
    uv = points[..., :2] / points[..., 2:] * 100 + [30, 20]
    np.testing.assert_allclose(uv[0, 0], [0.5, 0.5])
    np.testing.assert_allclose(uv[-1, -1], [W - 0.5, H - 0.5])


def test_normals_of_planes_are_exact():
    for n in ([0, 0, -1], [0.5, 0.2, -1], [-0.3, -0.9, -1], [0, -1.2, -1]):
        depth, normal = plane(n, 2.0)
        found, valid = normals_from_depth(depth, depth > 0, K)
        assert valid[(depth > 0) & (depth < 6)].mean() > 0.9
        np.testing.assert_allclose(found[valid], np.broadcast_to(normal, found[valid].shape), atol=2e-3)
        assert not found[~valid].any()


def test_normals_bear_the_noise_of_a_sensor():
    depth, normal = plane([0.3, -0.4, -1], 2.0)
    noisy = depth + np.random.default_rng(0).normal(0, 0.003, depth.shape)
    found, valid = normals_from_depth(noisy, ALL, K)
    angle = np.degrees(np.arccos(np.clip(found[valid] @ normal, -1, 1)))
    assert np.median(angle) < 3


def test_normals_do_not_mix_surfaces_and_know_where_they_are_unknown():
    left, right = plane([0.4, 0, -1], 1.5), plane([-0.4, 0, -1], 4.0)
    depth = np.where(np.arange(W) < 30, left[0], right[0])
    hole = ALL.copy()
    hole[10:20, 5:15] = False
    found, valid = normals_from_depth(depth, hole, K)
    assert not valid[~hole].any()
    for columns, (_, normal) in ((slice(0, 30), left), (slice(30, W), right)):
        part = found[:, columns][valid[:, columns]]
        np.testing.assert_allclose(part, np.broadcast_to(normal, part.shape), atol=5e-3)


def test_edges_are_at_jumps_and_creases_only():
    near, far = plane([0.2, 0, -1], 1.5)[0], plane([0.2, 0, -1], 3.0)[0]
    roof = np.minimum(plane([1, 0, -1], 2.0)[0], plane([-1, 0, -1], 2.0)[0])
    for depth, at in ((np.where(np.arange(W) < 30, near, far), 29.5), (roof, 29.5)):
        edge, known = edges_from_depth(depth, ALL, *normals_from_depth(depth, ALL, K), K)
        rows, columns = np.nonzero(edge)
        assert known.all()
        assert len(np.unique(rows)) > H - 8
        assert np.abs(columns - at).max() <= 3
    slanted = plane([0.6, 0.3, -1], 2.0)[0]
    assert not edges_from_depth(slanted, ALL, *normals_from_depth(slanted, ALL, K), K)[0].any()


def test_edges_are_unknown_beside_holes():
    depth = plane([0, 0, -1], 2.0)[0]
    valid = ALL.copy()
    valid[:, 20] = False
    edge, known = edges_from_depth(depth, valid, *normals_from_depth(depth, valid, K), K)
    assert not edge.any()
    assert not known[:, 19:22].any()
    assert known[:, :19].all()
