"""Heads that compare frames: what they compare, the form of what they predict, and that they learn motion."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import mtljax as mtl
from mtljax.models.heads import flow
from mtljax.models.heads.motion import frame_pairs
from mtljax.models.heads.motion.matching import best_match, correlation, least_squares_shifts
from tests.models.heads.moving import moved, pairs_in_motion, shifted_pairs, still_world, texture
from tests.models.toys import random_like

SIZE = (24, 40)  # which 16, 32 and 64 do not divide
HEADS = {"flow": mtl.heads.Flow(width=8), "ego_motion": mtl.heads.EgoMotion(width=16)}
FRAMES = 3
PYRAMID = tuple(
    np.random.default_rng(0).normal(size=(2 * FRAMES, SIZE[0] // k, SIZE[1] // k, 4)).astype(np.float32) for k in (4, 8)
)
each_head = pytest.mark.parametrize("name", HEADS)


def a_level(module, _):
    return (module.name or "").startswith("stride")


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """Fewer places to compare compile faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_pairs, "_RADIUS", 2)
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
    [
        ("imagenet", (30, 42), 2),
        pytest.param("small", (17, 33), 4, marks=pytest.mark.slow),
        pytest.param("patch2", SIZE, None, marks=pytest.mark.slow),
    ],
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


@pytest.mark.slow
def test_coarser_estimates_can_be_had_back_exactly(compared):
    out, kept = compared["flow"][1](PYRAMID)
    assert out.shape == (2, FRAMES, *SIZE, 12)
    for i, stride in enumerate(flow.STRIDES, 1):
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
@pytest.mark.parametrize("frames", [1, pytest.param(None, marks=pytest.mark.slow)])
def test_an_image_alone_has_no_motion(compared, name, frames):
    out = jax.jit(lambda v: HEADS[name].apply(v, tuple(x[:2] for x in PYRAMID), SIZE, frames))(compared[name][0])
    assert out.shape[: 1 if frames is None else 2] == ((2,) if frames is None else (2, 1))
    assert not np.asarray(out).any()


@pytest.mark.slow
def test_a_turn_is_seen_the_smaller_the_longer_the_lens(compared):
    """And a camera that is given counts as that one."""
    variables, head = compared["ego_motion"][0], HEADS["ego_motion"]
    cameras = {
        share: {
            "intrinsics": np.tile(
                np.float32([[share * SIZE[1], 0, 20], [0, share * SIZE[1], 12], [0, 0, 1]]), (2, 1, 1)
            )
        }
        for share in (1.0, 8.0)
    }
    apply = jax.jit(lambda camera: head.apply(variables, PYRAMID, SIZE, FRAMES, camera))
    motions = {share: np.asarray(apply(camera)) for share, camera in cameras.items()}
    np.testing.assert_allclose(motions[1.0], compared["ego_motion"][1](PYRAMID)[0], rtol=1e-4, atol=1e-6)
    turns = {share: np.linalg.norm(motion[:, :-1, 3:5], axis=-1) for share, motion in motions.items()}
    assert (turns[8.0] < 0.5 * turns[1.0]).all()


@pytest.mark.slow  # the motion found for a parent's depth is in its units too
def test_translations_are_in_units_of_the_typical_depth(compared):
    variables, apply = compared["ego_motion"]
    far = jax.jit(lambda v: HEADS["ego_motion"].clone(typical_depth=3.0).apply(v, PYRAMID, SIZE, FRAMES))(variables)
    near = np.asarray(apply(PYRAMID)[0])
    np.testing.assert_allclose(far, near * np.repeat([3, 1], 3), rtol=1e-2, atol=1e-3)


@jax.jit
def predicted_at_the_start(seen):
    return HEADS["ego_motion"].init_with_output(jax.random.key(0), size=(64, 64), frames=2, **seen)[0]


@pytest.mark.slow
@pytest.mark.parametrize("tall", [1.0, 0.5])
def test_motion_is_found_without_training_where_depth_is_known(tall):
    seen, labels = pairs_in_motion(7, 64, tall=tall)
    task = mtl.tasks.ego_motion(head=HEADS["ego_motion"], depth="depth")
    assert task.parents == {"depth": "depth"}
    seen["parents"] = {"depth": labels["depth"].astype(np.float32)}
    sums = jax.tree.map(np.asarray, task.sums(predicted_at_the_start(seen), labels))
    for metric in task.metrics:
        assert metric.value(sums) < 0.25 * still_world(labels)[metric.name], metric.name


@pytest.mark.slow
def test_motion_is_found_for_the_depth_of_a_parent_that_it_does_not_train(compared):
    variables, head = compared["ego_motion"][0], HEADS["ego_motion"]

    @jax.jit
    def length(depth):
        motion = head.apply(variables, PYRAMID, SIZE, FRAMES, None, {"depth": depth})
        return jnp.sum(jnp.abs(motion[..., :3])), jnp.sum(jnp.abs(motion[..., 3:]))

    depth = np.random.default_rng(5).uniform(1, 3, (2, FRAMES, *SIZE, 2)).astype(np.float32)
    (moved, turned), (moved_twice, turned_alike) = length(depth), length(2 * depth)
    np.testing.assert_allclose(moved_twice, 2 * moved, rtol=1e-2)
    np.testing.assert_allclose(turned_alike, turned, rtol=1e-2)
    other_scale = depth * np.float32([1, 7])  # the first scale alone is taken
    np.testing.assert_array_equal(length(other_scale)[0], moved)
    assert not np.asarray(jax.jit(jax.grad(lambda x: length(x)[0]))(depth)).any()


@pytest.mark.slow
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
    found = least_squares_shifts(first[None], moved(first, shift)[None], (3, 5), jnp.array(1e-6))[1][0, 4:-4, 4:-4]
    np.testing.assert_allclose(found, np.broadcast_to(shift, found.shape), atol=0.12)
    (flat,) = least_squares_shifts(jnp.zeros((1, 6, 6, 2)), jnp.ones((1, 6, 6, 2)), (5,), jnp.array(1e-6))
    assert not np.asarray(flat).any()  # without texture nothing can be told


LEARNT = {  # name -> task, pairs and their side, steps, learning rate, and what share of an untrained head's error is left
    "flow": (mtl.tasks.flow(head=HEADS["flow"]), shifted_pairs, 32, 20, 1e-2, {"EPE": 0.85}),
    "ego_motion": (
        mtl.tasks.ego_motion(head=HEADS["ego_motion"]),
        pairs_in_motion,
        64,
        80,
        5e-3,
        {"RPE_translation": 0.9},
    ),
}


@pytest.mark.slow
@each_head
def test_motion_is_learnt(name):
    task, pairs, side, steps, rate, shares = LEARNT[name]
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))
    batches = [pairs(seed, side) for seed in range(6)]
    variables = jax.jit(lambda: task.head.init(jax.random.key(0), size=(side, side), frames=2, **batches[0][0]))()
    flat, tree_of = ravel_pytree(variables)  # one array of all parameters compiles faster

    def loss(flat, seen, batch):
        prediction = task.head.apply(tree_of(flat), size=(side, side), frames=2, **seen)
        total, count = task.loss(prediction, batch)
        return total / count, task.sums(prediction, batch)

    @jax.jit
    def step(flat, state, seen, batch):
        (_, sums), gradient = jax.value_and_grad(loss, has_aux=True)(flat, seen, batch)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(flat, updates), state, sums

    def figures(sums):
        return {metric.name: metric.value(jax.tree.map(np.asarray, sums)) for metric in task.metrics}

    state, (seen, labels) = optimiser.init(flat), pairs(99, side)
    untrained = figures(step(flat, state, seen, labels)[2])
    for i in range(steps):
        flat, state, _ = step(flat, state, *batches[i % len(batches)])
    found = figures(step(flat, state, seen, labels)[2])
    for key, share in shares.items():
        assert found[key] < share * untrained[key], key
    assert all(found[key] < 0.7 * error for key, error in still_world(labels).items())
