"""UCI Adult: numbers and categories of people as features, and lines that are none."""

import numpy as np
import pytest

from mtljax.data import adult
from mtljax.errors import UserError


def person(i, **other):
    known = {"age": 20 + i, "work": "Private", "weight": 1, "school": "Bachelors", "years": 13}
    known |= {"marriage": "Never-married" if i % 2 else "Widowed", "job": "?", "kin": "Wife", "race": "Other"}
    known |= {
        "sex": "Female",
        "gain": 0,
        "loss": 0,
        "hours": 40,
        "land": "Peru",
        "income": ">50K" if i % 3 else "<=50K",
    }
    return ", ".join(map(str, (known | other).values()))


def write(folder, lines):
    (folder / "adult.data").write_text("\n".join(lines) + "\n")
    return adult(str(folder))


def test_people_are_features_and_two_labels(tmp_path):
    data = write(tmp_path, [person(i) for i in range(20)])
    train, held_out = data.split("train"), data.split("validation")
    assert (len(train), len(held_out)) == (16, 4)
    ages = np.arange(20, 36)
    np.testing.assert_allclose([e["image"][0] for e in train], (ages - ages.mean()) / ages.std(), rtol=1e-5)
    assert [(int(e["income"]), int(e["marital"])) for e in held_out] == [(1, 0), (1, 1), (0, 0), (1, 1)]


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-Infinity", "1e999", "1e39", "1_000", "?", "٣", ""])
@pytest.mark.parametrize("column", ["age", "gain", "hours"])
def test_what_is_no_finite_number_is_an_error_with_file_and_line(tmp_path, column, value):
    data = write(tmp_path, [person(i, **({column: value} if i == 5 else {})) for i in range(20)])
    with pytest.raises(UserError, match=r"adult.data', line 6: .* is '.*'; expected a number"):
        data.split("train")
