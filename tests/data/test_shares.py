"""Sets that have their share in every batch."""

import dataclasses
import itertools

import numpy as np
import pytest

from mtljax.data import mix, pipeline
from mtljax.data.hidden import Hidden
from mtljax.data.part import Part
from mtljax.data.tolerant import Tolerant
from mtljax.errors import UserError
from tests.data.test_mix import Numbers


@dataclasses.dataclass(frozen=True)
class Images(Numbers):
    """A data set of so many images that are their index all over, beginning at a number."""

    first: int = 0

    def __getitem__(self, index):
        image = np.full((1, 2, 2, 3), int(index) + self.first, np.uint8)
        return {"image": image, "depth": image[..., :1] / 1.0, "depth_valid": image[..., :1] >= 0}


SETS = {"few": Images(7), "many": Images(50, first=100)}


def drawn(source, batches, size=6, **known):
    found = pipeline.train_batches(source, size, seed=3, keep=("depth",), num_threads=0, raw=True, **known)
    return [batch["image"][:, 0, 0, 0, 0] for batch in itertools.islice(found, batches)]


def whole(source):
    return source


@pytest.mark.parametrize(
    "wrapped",
    [
        whole,
        lambda source: Tolerant(Hidden(Part(source, 0.4, seed=1), 0.1, seed=2), 0.1),
        lambda source: Part(Part(source, 0.2, seed=1, rest=True), 0.5, seed=2),
    ],
    ids=["whole", "hidden-part", "part-of-rest"],
)
def test_every_batch_holds_the_shares(wrapped):
    source = wrapped(mix(SETS, ratio={"few": 1, "many": 2}, exact=True).split("train"))
    assert [np.sum(batch < 100) for batch in drawn(source, 12)] == [2] * 12


def test_each_set_is_shown_whole_before_it_comes_again():
    source = mix(SETS, ratio={"few": 1, "many": 1}, exact=True).split("train")
    assert len(source) == 57
    few, many = (np.concatenate(drawn(source, 14, size=8)).reshape(-1) for _ in range(2))
    few, many = few[few < 100], many[many >= 100]
    for number in range(8):
        assert sorted(few[7 * number : 7 * number + 7]) == list(range(7))
    assert sorted(many[:50]) == list(range(100, 150))
    assert list(few[:7]) != list(few[7:14])


def test_hosts_and_resumed_runs_draw_what_one_run_draws():
    source = mix(SETS, temperature=2, exact=True).split("train")
    one = drawn(source, 8)
    assert {int(np.sum(batch < 100)) for batch in one} <= {1, 2}  # 6 sqrt(7) / (sqrt(7) + sqrt(50)) = 1.6
    np.testing.assert_array_equal(drawn(source, 3, start=30), one[5:])
    halves = zip(*(drawn(source, 8, size=3, shard=(host, 2)) for host in range(2)), strict=True)
    for batch, parts in zip(one, halves, strict=True):
        assert sorted(batch) == sorted(np.concatenate(parts))


def test_a_set_of_which_nothing_is_left_is_told():
    source = mix(SETS, exact=True).split("train")
    with pytest.raises(UserError, match="a set of 2 has no example left"):
        drawn(Part(source, 0.01, seed=0), 1, size=1)


def test_validation_has_each_example_once():
    source = mix(SETS, ratio={"few": 1, "many": 1}, exact=True).split("validation")
    assert [int(source[i]["image"].max()) for i in range(len(source))] == [*range(7), *range(100, 150)]
