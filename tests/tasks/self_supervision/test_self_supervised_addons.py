"""Each add-on of self-supervision, where its effect is known exactly."""

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax.tasks.self_supervision import consensus, smoothness
from mtljax.tasks.self_supervision.movable import Movable
from mtljax.tasks.self_supervision.occlusion import visible
from tests.tasks import still_world as world
from tests.tasks.still_world import figures, measured

TRUTH, BATCH, NOTHING = world.TRUTH, world.BATCH, world.NOTHING
FLOWS, PATCHED, PATCH = world.flows(), world.batch(patch=True), world.in_patch()
OPEN = {"auto_mask": False}
BOTH = {"flow": "flow", "backward_flow": "backward_flow"}
LABEL = {"ego_motion": TRUTH["ego_motion"], "ego_motion_valid": np.ones((world.B, world.S, 1), bool)}
LABEL["ego_motion_valid"][:, -1] = False
LENGTH = world.STEP * world.DEPTH / world.FOCAL


def added(with_term, without):
    """What a term adds to the loss and to the gradients."""
    (loss, gradient), (before, gradient_before) = with_term, without
    return loss - before, jax.tree.map(np.subtract, gradient, gradient_before)


@pytest.fixture(scope="module")
def plain():
    return measured(TRUTH)


def test_velocity_is_the_length_of_motion(plain):
    value, _ = added(measured(TRUTH, BATCH | LABEL, velocity=True), plain)
    assert abs(value) < 1e-6
    for factor in (0.5, 2.0):
        label = LABEL | {"ego_motion": TRUTH["ego_motion"] / factor}
        value, gradient = added(measured(TRUTH, BATCH | label, velocity=True), plain)
        np.testing.assert_allclose(value, 0.1 * LENGTH * abs(1 - 1 / factor), rtol=1e-4)
        assert (np.sign(gradient["ego_motion"][:, :-1, 0]) == np.sign(factor - 1)).all()
        assert not gradient["ego_motion"][:, -1].any()
        assert not gradient["depth"].any()


def test_velocity_wants_only_the_length_and_only_where_it_is_known(plain):
    turned = LABEL | {"ego_motion": TRUTH["ego_motion"][..., [1, 0, 2, 4, 5, 3]]}
    value, _ = added(measured(TRUTH, BATCH | turned, velocity=True), plain)
    assert abs(value) < 1e-6
    spoiled = TRUTH["ego_motion"] * np.float32([3, 1, 1, 1, 1, 1])
    spoiled[:, 1:] = np.nan
    first = LABEL["ego_motion_valid"] & (np.arange(world.S) == 0)[:, None]
    value, _ = added(measured(TRUTH, BATCH | {"ego_motion": spoiled, "ego_motion_valid": first}, velocity=True), plain)
    np.testing.assert_allclose(value, 0.1 * 2 * LENGTH * 2 / 3, rtol=1e-4)  # two of three frames have that motion
    nothing = {"ego_motion": spoiled * np.nan, "ego_motion_valid": first & False}
    value, _ = added(measured(TRUTH, BATCH | nothing, velocity=True), plain)
    assert value == 0
    still = TRUTH | {"ego_motion": 0 * TRUTH["ego_motion"]}
    value, _ = added(measured(still, BATCH | LABEL, velocity=True), measured(still))
    np.testing.assert_allclose(value, 0.1 * LENGTH, rtol=1e-4)
    assert mtl.tasks.self_supervised(velocity=True).optional_labels == ("ego_motion",)
    assert mtl.tasks.self_supervised().optional_labels == ()


def test_flow_is_held_to_the_rigid_flow(plain):
    value, gradient = added(measured(TRUTH, rigid_flow="dfnet", **BOTH), plain)
    assert abs(value) < 1e-5
    for off in (-0.5, 0.5):
        flows = {key: flow + np.float32([off, 2 * off]) for key, flow in FLOWS.items()}
        value, gradient = added(measured(TRUTH | flows, rigid_flow="dfnet", **BOTH), plain)
        np.testing.assert_allclose(value, 0.5 * 1.5, rtol=1e-4)
        for key, unused in (("flow", -1), ("backward_flow", 0)):
            total = gradient[key].sum(axis=(2, 3))
            assert not total[:, unused].any()
            assert (np.sign(np.delete(total, unused, axis=1)) == np.sign(off)).all()
    # Depth too large makes the rigid flow too short.
    far = TRUTH | {"depth": 1.25 * TRUTH["depth"]}
    value, gradient = added(measured(far, rigid_flow="dfnet", **BOTH), measured(far))
    np.testing.assert_allclose(value, 0.5 * world.STEP * 0.2, rtol=1e-3)
    assert (gradient["depth"][..., 0].sum(axis=(0, 2, 3)) > 0).all()
    assert not gradient["depth"][..., 1].any()
    assert (gradient["ego_motion"][:, :-1, 0] < 0).all()
    assert gradient["flow"][..., 0].sum() < 0


@pytest.mark.slow
def test_the_residual_makes_the_rigid_flow_whole(plain):
    """A wrong rigid flow is made good by its residual, which learns; depth and motion do not learn from that."""
    off = np.float32([1, 0])
    wrong = TRUTH | {"ego_motion": TRUTH["ego_motion"] * 0.5}  # rigid flow of -1 and 1 pixel
    residual = {"flow": 0 * FLOWS["flow"] - off, "backward_flow": 0 * FLOWS["flow"] + off}
    before = measured(wrong | residual)
    value, gradient = added(measured(wrong | residual, rigid_flow="geonet", **BOTH), before)
    assert abs(value) < NOTHING
    assert not gradient["depth"].any()
    assert not gradient["ego_motion"].any()
    for error in (-0.5, 0.5):
        flows = {key: flow + np.float32([error, 0]) for key, flow in residual.items()}
        value, gradient = added(measured(wrong | flows, rigid_flow="geonet", **BOTH), before)
        assert value > world.WRONG
        for key in residual:
            assert np.sign(gradient[key][..., 0].sum()) == np.sign(error)
        assert not gradient["depth"].any()
        assert not gradient["ego_motion"].any()


@pytest.mark.parametrize("rule", ["dfnet", "geonet"])
def test_visible_pixels_are_those_whose_flows_cancel(rule):
    rng = np.random.default_rng(0)
    forth = rng.integers(-3, 4, (2, 6, 8, 2)).astype(np.float32)
    back = rng.integers(-3, 4, (2, 6, 8, 2)).astype(np.float32)
    wanted = np.zeros((2, 6, 8, 1), bool)
    for i, y, x in np.ndindex(2, 6, 8):
        f = forth[i, y, x]
        b = back[i, np.clip(y + int(f[1]), 0, 5), np.clip(x + int(f[0]), 0, 7)]
        off = np.sum((f + b) ** 2)
        limits = {"dfnet": off <= 0.01 * (f @ f + b @ b) + 0.5, "geonet": off**0.5 < max(3, 0.05 * (f @ f) ** 0.5)}
        wanted[i, y, x] = limits[rule]
    assert 0.02 < wanted.mean() < 0.98
    np.testing.assert_array_equal(jax.jit(visible, static_argnums=2)(forth, back, rule), wanted)


@pytest.mark.parametrize("rule", ["dfnet", pytest.param("geonet", marks=pytest.mark.slow)])
def test_what_a_neighbour_does_not_show_is_left_out(rule):
    """Something covers a part of the frames but the first: flows tell, and the error there does not count."""
    hidden = np.zeros((world.S, world.H, world.W), bool)
    hidden[1:, 5:14, 9:20] = True
    image, flows = BATCH["image"].copy(), world.flows()
    image[:, hidden] = np.random.default_rng(0).random((2, hidden.sum(), 3)).astype(np.float32)
    for flow in flows.values():
        flow[:, hidden] = 5.0  # of what covers it
    prediction, batch = TRUTH | flows, BATCH | {"image": image}
    _, without = measured(prediction, batch, **OPEN)
    _, gradient = measured(prediction, batch, occlusion=rule, **OPEN, **BOTH)
    covered = np.s_[:, 0, 7:12, 13:18]  # of the first frame, where it is covered in the second
    assert np.abs(without["depth"][covered]).max() > 1e-5
    assert not gradient["depth"][covered].any()
    loss, _ = measured(TRUTH, occlusion=rule, **OPEN, **BOTH)
    assert abs(loss) < NOTHING


@pytest.mark.slow
def test_without_flows_both_ways_rigid_ones_tell():
    depth = TRUTH["depth"].copy()
    depth[:, 1:, 5:14, 9:20] = 0.5  # near, in all frames but the first, so that it covers the wall of the first
    near = TRUTH | {"depth": depth}
    _, gradient = measured(near, occlusion="dfnet", **OPEN)
    _, everywhere = measured(near, **OPEN)
    covered = np.s_[:, 0, 6:13, 12:19]
    assert not gradient["depth"][covered].any()
    assert everywhere["depth"][covered].any()


def test_errors_are_mixed_by_the_mask():
    logits = np.float32([0.0, 2.0, -2.0, 9.0, -9.0, 0.0])
    rigid, free = np.float32([1, 1, 1, 3, np.inf, np.inf]), np.float32([2, 2, 2, np.inf, 4, np.inf])
    m = 1 / (1 + np.exp(-logits))
    wanted = np.where(np.arange(6) < 3, m * 1 + (1 - m) * 2, [0, 0, 0, 3, 4, np.inf])
    mix = jax.jit(jax.value_and_grad(lambda *x: consensus.mixed(*x)[:5].sum(), (0, 1, 2)))
    np.testing.assert_allclose(consensus.mixed(logits, rigid, free), wanted, rtol=1e-5)
    _, gradients = mix(logits, rigid, free)
    assert not gradients[0].any()
    np.testing.assert_allclose(gradients[1], [*m[:3], 1, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(gradients[2], [*(1 - m[:3]), 0, 1, 0], rtol=1e-5)


@pytest.mark.slow
def test_a_mask_learns_what_moves():
    truth = TRUTH | world.flows(patch=True)
    learning = {"motion_mask": True, **OPEN, **BOTH}
    inside, outside = (np.zeros_like(PATCH) for _ in range(2))
    for t in range(world.S):  # away from the patch's border, and from what is seen in one frame alone
        left = world.PATCH[1].start + world.PATCH_STEP * t
        inside[t, 8:13, left + 2 : left + 7] = True
        outside[t, :4, 4:-4] = True
    unsure, gradient = measured(truth | {"static": 0 * TRUTH["static"]}, PATCHED, **learning)
    assert (gradient["static"][:, inside] > 0).all()
    assert (gradient["static"][:, outside] < 0).all()
    right = np.broadcast_to(np.where(PATCH, np.float32(-8), np.float32(8)), TRUTH["static"].shape)
    losses = [measured(truth | {"static": sign * right}, PATCHED, **learning)[0] for sign in (1, -1)]
    assert losses[0] < 0.3 * unsure < 0.1 * losses[1]
    assert abs(measured(TRUTH, **learning)[0]) < NOTHING
    # Where the mask says that all is static, flow is free; and the other way round.
    off = truth | {key: flow + np.float32([0.5, 0]) for key, flow in world.flows(patch=True).items()}
    for key, moves in (("flow", inside), ("depth", outside)):
        _, gradient = measured(off | {"static": 4 * right}, PATCHED, **learning)
        assert np.abs(gradient[key][:, 0][:, moves[0, ..., 0]]).max() > 1e-5 or key == "depth"
        elsewhere = (outside if key == "flow" else inside)[0, ..., 0]
        assert np.abs(gradient[key][:, 0][:, elsewhere]).max() < 1e-9


@pytest.mark.slow
def test_where_flows_agree_the_mask_is_static_whatever_the_errors():
    """Both motions are equally wrong: 1[E_R <= E_F] is noise's to say, |flow_rigid - flow| < 0.01 is not."""
    wrong = TRUTH | {"ego_motion": 0.6 * TRUTH["ego_motion"]}
    for off, agreed in ((0.0, True), (0.2, False)):
        flows = {key: 0.6 * flow + off * np.sign(flow) for key, flow in FLOWS.items()}
        prediction = wrong | flows | {"static": 0 * TRUTH["static"]}
        _, gradient = measured(prediction, motion_mask=True, **OPEN, **BOTH)
        inner = gradient["static"][:, :, :, 4:-4]
        assert (inner < 0).all() == agreed
        assert (inner > 0).mean() > 0.5 or agreed


def classes(shift=0):
    """Logits that say 1 on the patch and 0 elsewhere; the patch moves by itself, or stands still on the wall."""
    logits = np.zeros((world.B, world.S, world.H, world.W, 2), np.float32)
    for t in range(world.S):
        columns = slice(world.PATCH[1].start + shift * t, world.PATCH[1].stop + shift * t)
        logits[:, t, world.PATCH[0], columns, 1] = 1.0
    logits[..., 0] = 0.5
    return {"segment": logits}


SEMANTIC = {"segment": "segment", "semantic_mask": (1,), "semantic_steps": 100, **OPEN}


def at_step(batch, number):
    return batch | {"step": np.full(world.B, number, np.int32)}


def test_what_moves_by_itself_is_left_out_at_first():
    moving = TRUTH | classes(world.PATCH_STEP)
    plain_loss = measured(moving, PATCHED, **OPEN)[0]
    losses, gradients = zip(*(measured(moving, at_step(PATCHED, n), **SEMANTIC) for n in (0, 40, 60, 100)), strict=True)
    assert losses[0] == losses[1] < 0.5 * plain_loss
    np.testing.assert_allclose(losses[2:], plain_loss, rtol=1e-5)
    inner = np.s_[:, 0, 8:13, 12:17]
    assert [gradient["depth"][inner].any() for gradient in gradients] == [False, False, True, True]
    assert not any(gradient["segment"].any() for gradient in gradients)
    # Of the patch's 9 columns, 6 are where they would be if it stood still.
    found = figures(moving, at_step(PATCHED, 0), **SEMANTIC)
    np.testing.assert_allclose([found[f"iou_{share}"] for share in (25, 50, 75)], 6 / 12, atol=0.02)


def test_what_stands_still_is_kept_sooner_than_what_moves():
    still = world.moved([0.05, 0, 0, 0, 0, 0]) | classes(-world.STEP)
    for number, kept in ((0, False), (40, True)):
        _, gradient = measured(still, at_step(BATCH, number), **SEMANTIC)
        assert gradient["depth"][:, 0, 8:13, 12:17].any() == kept
    assert figures(TRUTH | classes(-world.STEP), at_step(BATCH, 0), **SEMANTIC)["iou_25"] > 0.98
    assert np.isnan(figures(TRUTH, at_step(BATCH, 0), **SEMANTIC)["iou_50"])  # nothing may move


def test_a_share_has_the_threshold_of_its_quantile():
    movable = Movable((1,), 100, (0.2, 0.6, 0.7))
    np.testing.assert_allclose(
        movable.threshold(np.array([0, 50, 75, 100, 150]), 5)[:, 0], [2, 0.6, 0.4, 0, 0], rtol=1e-5
    )
    assert not movable.threshold(None, 3).any()  # in evaluation
    assert (Movable((1,), None, (0.0, 1.0)).threshold(None, 3) > 1).all()


def slanted():
    """A plane, its normals and the edges there are none of: (3, H, W, C) each."""
    x, y = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 10))
    depth = 1 / (0.5 + 0.1 * x - 0.2 * y)
    shape = (*depth.shape, 1)
    normals = np.broadcast_to(np.float32([0.1, -0.2, -0.97]), (*depth.shape, 3))
    return depth.reshape(shape).astype(np.float32), normals, np.zeros(shape, np.float32)


def test_edges_release_smoothness():
    value_and_gradient = jax.jit(jax.value_and_grad(smoothness.edge_released, argnums=(0, 1, 2)))
    depth, normals, edges = slanted()
    assert value_and_gradient(depth, normals, edges)[0] < 1e-5
    bent = {}
    for sign in (-1, 1):  # a ridge and a valley of inverse depth cost the same
        inverse = 0.5 + sign * 0.1 * np.abs(np.arange(12) - 6.0)[None, :, None] * np.ones((10, 1, 1)) - sign * 0.3
        bent[sign] = (1 / inverse * inverse.mean()).astype(np.float32)
        value, (_, _, at_edges) = value_and_gradient(bent[sign], normals, edges)
        np.testing.assert_allclose(value, 2 * 0.2 / inverse.mean() / 10, rtol=1e-3)
        assert (at_edges[:, 6] < 0).all()
        on = edges.copy()
        on[:, 6] = 1.0
        value, (_, _, at_edges) = value_and_gradient(bent[sign], normals, on)
        np.testing.assert_allclose(value, 2 * 0.2 / inverse.mean() / 10 * np.exp(-10) + 0.15 / 12, rtol=1e-3)
        assert (at_edges[:, 6] > 0).all()
    turned = normals.copy()
    turned[:, 6:] = [0.2, -0.2, -0.9]
    step = 0.1 + 0.0 + 0.07  # over the channels
    value, (_, at_normals, at_edges) = value_and_gradient(depth, turned, edges)
    np.testing.assert_allclose(value, 0.01 * 2 * step / 10 / 3, rtol=1e-2)  # two of ten in a row, three channels
    assert (at_normals[1:-1, 6, 0] > 0).all()
    assert (at_edges[:, 5:7] < 0).all()


def test_edges_and_normals_are_taken_from_their_tasks(plain):
    arguments = {"edge_normal": True, "edges": "edges", "normals": "normals"}
    value, _ = added(measured(TRUTH, **arguments), plain)
    assert abs(value) < 1e-5
    value, gradient = added(measured(TRUTH | {"edges": -TRUTH["edges"]}, **arguments), plain)
    np.testing.assert_allclose(value, 0.15, rtol=1e-3)
    value, gradient = added(measured(TRUTH | {"edges": 0 * TRUTH["edges"]}, **arguments), plain)
    assert (gradient["edges"] > 0).all()
    assert mtl.tasks.self_supervised(**arguments).parents == ("depth", "ego_motion", "normals", "edges")
