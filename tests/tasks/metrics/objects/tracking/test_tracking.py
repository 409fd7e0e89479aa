"""Tracks: golden figures, real ones with published results, laws, faults."""

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.tasks.metrics.objects.tracking.figures import COUNTS, tracking_figures
from mtljax.tasks.metrics.objects.tracking.sequence import Tracks
from tests.tasks import golden
from tests.tasks.metrics.objects import made


def named(expected):
    return {name.removeprefix("CLR_"): value for name, value in expected.items()}


def tracks(rows, width, ignored=None):
    rows = np.array(rows, float).reshape(-1, width)
    frame, name = rows[:, :2].astype(int).T
    return Tracks(frame, name, rows[:, 2:6], None if ignored is None else ignored(rows))


@pytest.fixture(scope="module")
def sequences(shared):
    return {
        one["name"]: (tracks(one["truth"], 7, lambda rows: rows[:, 6] > 0), tracks(one["found"], 6))
        for one in golden.read(shared, "tracking.json")["sequences"]
    }


def test_golden_figures(shared, sequences):
    expected = golden.read(shared, "tracking.json")["expected"]
    assert len(sequences) == 9
    for name, pair in sequences.items():
        wanted = named(expected[name])
        if name == "no_objects":
            wanted = {one: value if one in COUNTS else None for one, value in wanted.items()}
        golden.equal(tracking_figures([pair]), wanted)
    golden.equal(tracking_figures(sequences.values()), named(expected["COMBINED_SEQ"]))


def test_golden_figures_of_real_tracks(shared):
    expected, root = (
        golden.read(shared, "tracking_mot15.json")["expected"],
        shared / "golden" / "objects" / "mot15" / "train",
    )
    pairs = {}
    for name in ("TUD-Campus", "TUD-Stadtmitte"):
        truth, found = (np.loadtxt(root / file, delimiter=",") for file in (f"{name}/gt/gt.txt", f"results/{name}.txt"))
        pairs[name] = tracks(truth, 10, lambda rows: rows[:, 6] == 0), tracks(found, 10)
        golden.equal(tracking_figures([pairs[name]]), named(expected[name]))
    together = tracking_figures(pairs.values())
    golden.equal(together, named(expected["COMBINED_SEQ"]))
    published = {"MOTA": 0.555, "IDF1": 0.624, "HOTA": 0.400, "IDP": 0.799}
    golden.equal(together, published, atol=6e-4)
    assert together["IDSW"] == 14


def renamed(rng, one):
    """The same tracks under other ids, in another order."""
    order, names = rng.permutation(len(one.id)), rng.permutation(10_000)
    return Tracks(*(x if x is None else x[order] for x in one._replace(id=names[one.id])))


def test_laws():
    rng = np.random.default_rng(0)
    pairs = [made.tracks(rng) for _ in range(6)]
    figures = tracking_figures(pairs)
    assert 0 < figures["MOTA"] < figures["IDF1"] < 1
    assert figures["IDSW"] > 0
    golden.equal(tracking_figures([[renamed(rng, one) for one in pair] for pair in reversed(pairs)]), figures)
    wanted = [made.tracks(rng, ignored=0)[0] for _ in range(4)]
    perfect = tracking_figures([(one, renamed(rng, one)) for one in wanted])
    assert [perfect[name] for name in ("MOTA", "IDF1", "HOTA", "DetA", "AssA", "LocA")] == pytest.approx([1] * 6)
    assert perfect["IDSW"] == perfect["Frag"] == perfect["ML"] == 0


def test_nothing_and_what_is_no_number_have_no_figures():
    truth, found = made.tracks(np.random.default_rng(1))
    none = Tracks(*(x[:0] for x in truth))
    assert {name for name, value in tracking_figures([(none, found)]).items() if value == value} == COUNTS
    for pairs in ([], [(none, Tracks(*(x[:0] for x in found[:3])))]):
        figures = tracking_figures(pairs)
        assert np.isnan(figures["HOTA"])
        assert figures["FP"] == 0
    found.box[3, 2] = np.nan
    assert np.isnan([*tracking_figures([(truth, found)]).values()]).all()


def test_an_id_that_is_twice_in_a_frame_is_refused():
    truth, found = made.tracks(np.random.default_rng(2))
    twice = Tracks(*(np.concatenate([x, x[2:3]]) for x in found[:3]))
    with pytest.raises(UserError, match=rf"^tracks: id {found.id[2]} is twice in frame {found.frame[2]};"):
        tracking_figures([(truth, twice)])
