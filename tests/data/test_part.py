"""Parts of a training split: nested, the same everywhere, of different examples."""

import itertools

import numpy as np
import pytest

from mtljax.data.hidden import Hidden
from mtljax.data.part import Part
from mtljax.errors import UserError

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)


class Numbers:
    """Examples that say which they are, with a label."""

    def __init__(self, number):
        self._number = number

    def __len__(self):
        return self._number

    def __getitem__(self, index):
        if not 0 <= int(index) < self._number:
            raise IndexError(index)
        return {"image": np.array(int(index)), "depth": np.ones(2), "depth_valid": np.ones(2, bool)}


class Repeated(Numbers):
    """Each example three times, one after the other, as `mix` repeats."""

    def __getitem__(self, index):
        return super().__getitem__(index) | {"image": np.array(int(index) // 3)}

    def original(self, index):
        return index // 3 * 3


def shown(source):
    return [int(source[i]["image"]) for i in range(len(source))]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_smaller_parts_are_parts_of_larger_ones(seed):
    found = [shown(Part(Numbers(101), share, seed)) for share in SHARES]
    assert [len(part) for part in found] == [6, 11, 26, 51, 76, 101]
    for small, large in itertools.pairwise(found):
        assert set(small) < set(large)
    for part in found:
        assert part == sorted(set(part))


def test_a_seed_gives_one_part_and_another_seed_another():
    parts = [shown(Part(Numbers(100), 0.3, seed)) for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_shares_that_rounding_makes_larger_are_not():
    for percent in range(1, 101):
        assert len(Part(Numbers(100), percent / 100, 0)) == percent


def test_an_example_that_is_shown_thrice_is_in_a_part_thrice_or_not_at_all():
    found = shown(Part(Repeated(60), 0.25, seed=3))
    assert len(found) == 15
    assert all(found.count(number) == 3 for number in found)


@pytest.mark.parametrize("source", [Numbers(120), Repeated(120)])
def test_the_labels_that_are_hidden_do_not_depend_on_the_part(source):
    def labelled(source):
        hidden = Hidden(source, 0.5, seed=0)
        return {int(e["image"]): bool(e["depth_valid"].any()) for e in map(hidden.__getitem__, range(len(hidden)))}

    whole, part = labelled(source), labelled(Part(source, 0.4, seed=0))
    assert 0 < sum(part.values()) < len(part) < len(whole)
    assert part.items() <= whole.items()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(UserError, match="above 0, at most 1"):
        Part(Numbers(10), share, 0)
