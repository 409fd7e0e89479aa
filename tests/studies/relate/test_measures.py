"""What a command says of a study of relations: measures, budgets, importance."""

import pytest

from mtljax.errors import UserError
from mtljax.studies.relate.measures import Networks, Transfer, as_texts, budgets_of, importance_of, measures_of


def test_measures_have_arguments_and_one_order():
    found = measures_of("networks(sets='pairs', early=1/4) ; transfer(order=2, readout={'steps': 9}, share=1/8)")
    assert list(found) == ["transfer", "networks"]
    assert found["networks"] == Networks("pairs", 0.25)
    assert found["transfer"] == Transfer(2, {"steps": 9}, 0.125)


def test_texts_of_measures_are_read_again():
    found = measures_of(
        "transfer(order=2, readout={'steps': 9});networks();lookahead(every=3);surrogate();covariance()"
    )
    assert measures_of(";".join(as_texts(found))) == found


BAD = [
    ("", "--relations is empty"),
    ("network()", "did you mean 'networks'"),
    ("networks();networks(sets='pairs')", "names 'networks' twice"),
    ("networks(sets='some')", "unknown sets of networks"),
    ("networks(early=0)", "expected a share, above 0"),
    ("transfer(order=0)", "expected a whole number, 1 or more"),
    ("transfer(order=True)", "expected a whole number"),
    ("transfer(share=1.5)", "expected a share"),
    ("transfer(readout='big')", "expected keys of the config"),
    ("lookahead(every=0)", "expected a whole number, 1 or more"),
    ("surrogate(sets=-1)", "expected a whole number, 1 or more"),
    ("covariance(1)", "too many positional arguments"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_mistake_in_a_measure_is_told(text, message):
    with pytest.raises(UserError, match=message):
        measures_of(text)


@pytest.mark.parametrize("text", ["1;none", "0", "-1", "inf", "nan"])
def test_a_budget_is_a_number_above_0(text):
    with pytest.raises(UserError, match=r"--budgets.*expected a number above 0"):
        budgets_of(text)


def test_budgets_ascend():
    assert budgets_of("3;1; 1.5;1") == [1.0, 1.5, 3.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dept=2", "did you mean 'depth'"),
        ("depth=-1", "number of 0 or more"),
        ("depth=nan", "number of 0 or more"),
        ("depth", "task=number"),
        ("depth=0;edges=0", "expected one above 0"),
    ],
)
def test_an_importance_is_of_a_task_and_not_negative(text, message):
    with pytest.raises(UserError, match=message):
        importance_of(text, {"depth": "", "edges": ""})


def test_who_is_not_named_has_importance_1():
    assert importance_of("edges = 0.5", {"depth": "", "edges": ""}) == {"depth": 1.0, "edges": 0.5}
