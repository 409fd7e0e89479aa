"""Heads that compare frames: what they compare, the form of what they predict, and that they learn motion."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from scipy import ndimage

import mtljax as mtl
from mtljax.models.heads import motion
from mtljax.models.heads.matching import best_match, correlation, least_squares_shift
from tests.models.test_multitask import random_like

SIZE = (24, 40)  # which 16, 32 and 64 do not divide
HEADS = {"flow": mtl.heads.Flow(width=8), "ego_motion": mtl.heads.EgoMotion(width=16)}
FRAMES = 3
PYRAMID = tuple(
    np.random.default_rng(0).normal(size=(2 * FRAMES, SIZE[0] // k, SIZE[1] // k, 4)).astype(np.float32) for k in (4, 8)
)
each_head = pytest.mark.parametrize("name", HEADS)


def texture(rng, size, channels=1):
    """Smooth and random, of mean 0 and variance 1."""
    x = ndimage.gaussian_filter(rng.normal(size=(*size, channels)), (1.5, 1.5, 0), mode="wrap")
    return ((x - x.mean()) / x.std()).astype(np.float32)


def moved(x, shift):
    """What is at p is then at p + shift, (x, y); around the edges."""
    return ndimage.shift(x, (shift[1], shift[0], 0), mode="grid-wrap")


def a_level(module, _):
    return (module.name or "").startswith("stride")


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """Fewer places to compare compile faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "_RADIUS", 2)
        yield


@pytest.fixture(scope="module")
def compared():
    """name -> variables, and a jitted (pyramid) -> prediction, with what its levels gave."""
    found = {}
    for name, head in HEADS.items():
        variables = random_like(jax.eval_shape(lambda h=head: h.init(jax.random.key(0), PYRAMID, SIZE, FRAMES)))

        def apply(pyramid, head=head, variables=variables):
            return head.apply(variables, pyramid, SIZE, FRAMES, capture_intermediates=a_level)

        found[name] = variables, jax.jit(apply)
    return found


@pytest.mark.parametrize(
    ("stem", "size", "frames"),
    [("imagenet", (30, 42), 2), ("patch2", SIZE, 1), ("small", (17, 33), 4), ("patch2", (64, 96), None)],
)
def test_any_image_size_stride_and_clip_will_do(stem, size, frames):
    model = mtl.MultiTask(mtl.encoders.ResNet(depth=10, width=4, norm="group", stem=stem), HEADS)
    clip = (2,) if frames is None else (2, frames)
    images = jax.ShapeDtypeStruct((*clip, *size, 3), jnp.float32)
    out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    assert {name: (x.shape, x.dtype) for name, x in out.items()} == {
        "flow": ((*clip, *size, 12), jnp.float32),
        "ego_motion": ((*clip, 6), jnp.float32),
    }


def test_coarser_estimates_can_be_had_back_exactly(compared):
    out, kept = compared["flow"][1](PYRAMID)
    assert out.shape == (2, FRAMES, *SIZE, 12)
    for i, stride in enumerate(motion.STRIDES, 1):
        estimate = kept["intermediates"][f"stride{stride}"]["__call__"][0][0]
        found = np.asarray(out[:, :-1, ::stride, ::stride, 2 * i : 2 * i + 2])
        np.testing.assert_array_equal(found.reshape(estimate.shape), estimate)
        whole = np.kron(estimate, np.ones((1, stride, stride, 1)))[:, : SIZE[0], : SIZE[1]]
        np.testing.assert_array_equal(out[:, :-1, ..., 2 * i : 2 * i + 2].reshape(whole.shape), whole)
        assert np.ptp(found) > 0
    smooth = jax.image.resize(kept["intermediates"]["stride4"]["__call__"][0][0], (4, *SIZE, 2), "linear")
    np.testing.assert_allclose(out[:, :-1, ..., :2].reshape(smooth.shape), smooth, rtol=1e-5, atol=1e-5)


@each_head
def test_a_frame_is_compared_with_the_next_and_the_last_has_none(compared, name):
    apply = compared[name][1]
    before = np.asarray(apply(PYRAMID)[0])
    other = tuple(np.concatenate([x[:2], x[2:3][:, ::-1], x[3:]]) for x in PYRAMID)  # the first clip's last frame
    changed = np.abs(np.asarray(apply(other)[0]) - before).reshape(2, FRAMES, -1).max(axis=-1) > 0
    np.testing.assert_array_equal(changed, [[False, True, False], [False] * 3])
    assert not before[:, -1].any()
    assert before[:, :-1].any(axis=tuple(range(2, before.ndim))).all()


@each_head
@pytest.mark.parametrize("frames", [1, None])
def test_an_image_alone_has_no_motion(compared, name, frames):
    out = jax.jit(lambda v: HEADS[name].apply(v, tuple(x[:2] for x in PYRAMID), SIZE, frames))(compared[name][0])
    assert out.shape[: 1 if frames is None else 2] == ((2,) if frames is None else (2, 1))
    assert not np.asarray(out).any()


def test_half_precision_is_for_convolutions_only(compared):
    half = {name: head.clone(dtype="bfloat16") for name, head in HEADS.items()}
    for head in half.values():
        both = jax.eval_shape(lambda h=head: h.init_with_output(jax.random.key(0), PYRAMID, SIZE, FRAMES))
        assert {leaf.dtype for leaf in jax.tree.leaves(both)} == {jnp.dtype(jnp.float32)}
    variables, apply = compared["ego_motion"]
    single = np.asarray(apply(PYRAMID)[0])
    out = jax.jit(lambda pyramid: half["ego_motion"].apply(variables, pyramid, SIZE, FRAMES))(PYRAMID)
    assert 0 < np.abs(out - single).max() < 0.1 * np.abs(single).max()


@each_head
def test_feature_vectors_are_refused(name):
    with pytest.raises(ValueError, match=r"takes feature maps \(B, h, w, C\), not shapes \[\(2, 8\)\].*image encoder"):
        HEADS[name].init(jax.random.key(0), jnp.ones((2, 8)), frames=2)


def test_the_cost_volume_is_its_definition():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 2, 5, 6, 3)).astype(np.float32)
    radius, wanted = 2, np.zeros((2, 5, 6, 25))
    for b, y, x in np.ndindex(2, 5, 6):
        for k, (dy, dx) in enumerate(np.ndindex(5, 5)):
            v, u = y + dy - radius, x + dx - radius
            if 0 <= v < 5 and 0 <= u < 6:
                p, q = first[b, y, x], second[b, v, u]
                wanted[b, y, x, k] = p @ q / np.linalg.norm(p) / np.linalg.norm(q)
    np.testing.assert_allclose(correlation(first, second, radius), wanted, atol=1e-4)
    assert np.isfinite(correlation(np.zeros_like(first), second, radius)).all()


def test_the_best_match_is_where_a_texture_went():
    first = texture(np.random.default_rng(2), (16, 20), channels=8)
    second = np.roll(first, (-1, 3), axis=(0, 1))
    shift = best_match(correlation(first[None], second[None], 4), jnp.array(100.0))[0, 4:-4, 4:-4]
    np.testing.assert_allclose(shift, np.broadcast_to([3, -1], shift.shape), atol=0.25)


@pytest.mark.parametrize("shift", [(0.4, -0.3), (-0.5, 0.2), (0.0, 0.0)])
def test_least_squares_find_a_small_shift(shift):
    first = texture(np.random.default_rng(3), (16, 20), channels=4)
    found = least_squares_shift(first[None], moved(first, shift)[None], 5, jnp.array(1e-6))[0, 4:-4, 4:-4]
    np.testing.assert_allclose(found, np.broadcast_to(shift, found.shape), atol=0.12)
    flat = least_squares_shift(jnp.zeros((1, 6, 6, 2)), jnp.ones((1, 6, 6, 2)), 5, jnp.array(1e-6))
    assert not np.asarray(flat).any()  # without texture nothing can be told


def shifted_pairs(seed, clips=16, side=32, reach=4.0):
    """Features at strides 4 and 8 of pairs of textures, and labels: one shift for all pixels of a pair."""
    rng = np.random.default_rng(seed)
    shifts = rng.uniform(-reach, reach, (clips, 2)).astype(np.float32)
    first = [texture(rng, (side, side), channels=8) for _ in range(clips)]
    x = np.stack([[x, moved(x, shift)] for x, shift in zip(first, shifts, strict=True)]).astype(np.float32)
    pyramid = [x.reshape(2 * clips, side // k, k, side // k, k, -1).mean(axis=(2, 4)) for k in (4, 8)]
    flow = np.broadcast_to(shifts[:, None, None, None], (clips, 2, side, side, 2))
    motions = np.zeros((clips, 2, 6), np.float32)
    motions[..., [0, 4]] = 0.05 * shifts[:, None]
    has_next = np.broadcast_to(np.array([True, False])[:, None], (clips, 2, 1))
    return tuple(pyramid), {
        "forward_flow": flow,
        "forward_flow_valid": np.broadcast_to(has_next[..., None, None], (*flow.shape[:-1], 1)),
        "ego_motion": motions,
        "ego_motion_valid": has_next,
    }


LEARNT = {  # name -> task, training steps, and of a still world's errors how much may be left
    "flow": (mtl.tasks.flow(head=HEADS["flow"]), 20, {"EPE": 0.25}),
    "ego_motion": (
        mtl.tasks.ego_motion(head=HEADS["ego_motion"], beta=1.0),
        40,
        {"RPE_translation": 0.6, "RPE_rotation": 0.7},
    ),
}


@each_head
def test_motion_is_learnt(name):
    task, steps, shares = LEARNT[name]
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    batches = [shifted_pairs(seed) for seed in range(6)]
    variables = jax.jit(lambda: task.head.init(jax.random.key(0), batches[0][0], (32, 32), 2))()
    flat, tree_of = ravel_pytree(variables)  # one array of all parameters compiles faster

    def loss(flat, pyramid, batch):
        prediction = task.head.apply(tree_of(flat), pyramid, (32, 32), 2)
        total, count = task.loss(prediction, batch)
        return total / count, task.sums(prediction, batch)

    @jax.jit
    def step(flat, state, pyramid, batch):
        (_, sums), gradient = jax.value_and_grad(loss, has_aux=True)(flat, pyramid, batch)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(flat, updates), state, sums

    def figures(sums):
        return {metric.name: metric.value(jax.tree.map(np.asarray, sums)) for metric in task.metrics}

    state, (pyramid, labels) = optimiser.init(flat), shifted_pairs(seed=99)
    untrained = figures(step(flat, state, pyramid, labels)[2])
    for i in range(steps):
        flat, state, _ = step(flat, state, *batches[i % len(batches)])
    found = figures(step(flat, state, pyramid, labels)[2])
    across, down = np.abs(labels["forward_flow"][:, 0, 0, 0]).T
    still = {
        "EPE": np.hypot(across, down).mean(),
        "RPE_translation": 0.05 * across.mean(),
        "RPE_rotation": np.degrees(0.05 * down.mean()),
    }
    for key, share in shares.items():
        assert found[key] < share * still[key], key
        assert found[key] < 0.9 * untrained[key], key
