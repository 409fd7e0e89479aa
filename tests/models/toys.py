"""Every way to share, small, and what it reads."""

import jax
import numpy as np
import pytest

import mtljax as mtl

HEADS = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
K = len(HEADS)
MLP = mtl.encoders.MLP((8, 8))
CONV = mtl.encoders.UNet(width=4, levels=1)
X = jax.random.normal(jax.random.key(1), (5, 6))
IMAGES = jax.random.normal(jax.random.key(2), (2, 8, 8, 3))


def ways(encoder, heads=HEADS):
    """Every way to share that takes the encoder."""
    found = {
        "MultiTask": mtl.MultiTask(encoder, heads),
        "SingleTask": mtl.SingleTask(encoder, heads),
        "CrossStitch": mtl.CrossStitch(encoder, heads),
        "Sluice": mtl.Sluice(encoder, heads),
        "NDDR": mtl.NDDR(encoder, heads),
        "LearnToBranch": mtl.LearnToBranch(encoder, heads),
    }
    if isinstance(encoder, mtl.encoders.MLP):
        return found | {
            "MMoE": mtl.MMoE(heads, encoder, experts=3),
            "CGC": mtl.CGC(heads, encoder, shared=2, own=1),
            "PLE": mtl.PLE(heads, encoder, shared=2, own=1),
            "DSelectK": mtl.DSelectK(heads, encoder, experts=4, k=2),
        }
    return found | {"MTAN": mtl.MTAN(encoder, heads), "PADNet": mtl.PADNet(encoder, heads, width=4)}


ON_VECTORS, ON_IMAGES = ways(MLP), ways(CONV)
ALL = [*((n, m, X) for n, m in ON_VECTORS.items()), *((n, m, IMAGES) for n, m in ON_IMAGES.items())]
AGAIN = ("CrossStitch", "NDDR")  # which mix channels; of others that are tried on vectors, folding is tried on maps
every_way = pytest.mark.parametrize(
    ("name", "model", "x"),
    [
        pytest.param(*way, id=f"{way[0]}-{way[2].ndim}d", marks=pytest.mark.slow if again else ())
        for way in ALL
        if not (again := way[2] is IMAGES and way[0] in ON_VECTORS) or way[0] in AGAIN
    ],
)


INITIALISED = {}


def init(model, x):
    """Its variables, made once for all tests."""
    key = (repr(model), x.shape)
    if key not in INITIALISED:
        INITIALISED[key] = jax.jit(lambda key: model.init(key, x))(jax.random.key(0))
    return INITIALISED[key]


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def assert_close(a, b, **kwargs):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6, **kwargs), dict(a), dict(b))


def without(params, prefix):
    return {name: part for name, part in params.items() if not name.startswith(prefix)}


def random_like(shapes):
    """Numbers for variables without compiling their initialisers; variances are positive."""
    rng = np.random.default_rng(0)

    def numbers(path, leaf):
        drawn = rng.normal(0, 0.2, leaf.shape).astype(leaf.dtype)
        return abs(drawn) if path[-1] == jax.tree_util.DictKey("var") else drawn

    return jax.tree_util.tree_map_with_path(numbers, shapes)


def random_variables(model, x):
    """As `random_like`, of a model."""
    return random_like(jax.eval_shape(model.init, jax.random.key(0), x))
