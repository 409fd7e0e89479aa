"""Call-strings: what they may say, what they may not, and what is said of mistakes."""

import optax
import pytest

from mtljax.errors import UserError
from mtljax.train.callstring import resolve


def scaled(x, factor=2.0, *, offset=0):
    return x * factor + offset


def collected(**kwargs):
    return kwargs


def needs_tasks(num_tasks, alpha=1.5, seed=None):
    return num_tasks, alpha, seed


def fails():
    raise ValueError("alpha must be positive")


NAMES = {"scaled": scaled, "collected": collected, "needs_tasks": needs_tasks, "fails": fails}


def found(text, **kwargs):
    return resolve(text, NAMES, kind="thing", **kwargs)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("scaled(3)", 6.0),
        ("scaled(3, factor=-1.5, offset=1)", -3.5),
        ("scaled(scaled(1), 3)", 6.0),
        (" scaled( 1e-3 * 2 + 10 // 4 ) ", 4.004),
        ("collected", {}),
        (
            "collected(a='x', b=[1, 2], c=(None, True), d={'k': -1})",
            {"a": "x", "b": [1, 2], "c": (None, True), "d": {"k": -1}},
        ),
    ],
)
def test_calls(text, value):
    assert found(text) == value


def test_injected_arguments_fill_what_the_text_leaves_out():
    assert found("needs_tasks()", inject={"num_tasks": 3, "seed": 7, "other": 1}) == (3, 1.5, 7)
    assert found("needs_tasks(2.0)", inject={"num_tasks": 3, "seed": 7}) == (3, 2.0, 7)
    assert found("needs_tasks(seed=1)", inject={"num_tasks": 3, "seed": 7}) == (3, 1.5, 1)


def test_names_stand_for_values_inside_only():
    assert found("scaled(steps)", nested={"steps": 5}) == 10
    with pytest.raises(UserError, match="unknown thing 'steps'"):
        found("steps", nested={"steps": 5})


def test_optax_schedules_and_transformations():
    tx = resolve("chain(clip(1.0), adamw(cosine_decay_schedule(1e-3, steps)))", vars(optax), kind="optimiser",
                 nested={"steps": 10})  # fmt: skip
    assert hasattr(tx, "update")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "__import__('os')",
        "scaled(__import__('os'))",
        "scaled(x=__builtins__)",
        "scaled.__globals__",
        "scaled(1).real",
        "(lambda: 1)()",
        "[scaled(1)]",
        "scaled(*[1])",
        "collected(**{'a': 1})",
        "collected(d={**scaled(1)})",
        "scaled(1 if 1 else 2)",
        "scaled([x for x in (1,)])",
        "scaled(f'{1}')",
        "scaled(b'x')",
        "scaled(9 ** 9)",
        "scaled('a' * 9)",
        "scaled(1 / 0)",
        "scaled(1",
        "scaled 1",
        "",
        "1",
        "scaled(1); scaled(2)",
        "scaled(" * 500 + "1" + ")" * 500,
        "collected(a=1, a=2)",
        "\0",
    ],
)
def test_anything_else_is_refused_and_never_run(text):
    with pytest.raises(UserError, match=r"thing|__import__|__builtins__"):
        found(text)


def test_import_is_refused_by_name():
    with pytest.raises(UserError, match=r"may hold calls of known names.*nothing else: .*system"):
        found("scaled(__import__('os').system('true'))")
    with pytest.raises(UserError, match="unknown thing '__import__'"):
        found("__import__('os')")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scald(1)", r"unknown thing 'scald'; did you mean 'scaled'\? Known: collected, fails, needs_tasks, scaled"),
        ("scaled(scald(1))", r"name in thing .*'scald'; did you mean 'scaled'"),
        ("scaled(1, facter=2)", r"argument of scaled\(\) in thing .*'facter'; did you mean 'factor'"),
        ("scaled(1, 2, 3)", r"scaled\(\): too many positional arguments; its arguments are x, factor, offset"),
        ("scaled()", r"missing a required argument: 'x'"),
        ("fails()", r"thing 'fails\(\)': alpha must be positive"),
        ("needs_tasks(1, 2, alpha=3)", r"given|multiple"),
        (5, r"thing 5: expected a call-string"),
    ],
)
def test_mistakes_are_named_with_the_nearest_valid_thing(text, message):
    with pytest.raises(UserError, match=message):
        found(text, inject={"num_tasks": 1} if "tasks" in str(text) else None)


def test_a_factory_that_never_ends_is_not_what_arithmetic_allows():
    with pytest.raises(UserError, match="nothing else"):
        found("scaled(10 ** 10 ** 10)")
