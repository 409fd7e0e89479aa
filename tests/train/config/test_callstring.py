"""Call-strings: what they may say, what they may not, and what is said of mistakes."""

import random
from collections.abc import Callable

import optax
import pytest

from mtljax.errors import UserError
from mtljax.train.config.callstring import resolve


def scaled(x, factor=2.0, *, offset=0):
    return x * factor + offset


def collected(**kwargs):
    return kwargs


def needs_tasks(num_tasks, alpha=1.5, seed=None):
    return num_tasks, alpha, seed


def fails():
    raise ValueError("alpha must be positive")


def stopped(x):
    raise StopIteration(x)


NAMES = {"scaled": scaled, "collected": collected, "needs_tasks": needs_tasks, "fails": fails, "stopped": stopped}
NAMES["unlike_a_function"] = Callable[[int], int]  # has no signature that can be read, as some of what optax exports


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
        ("collected(labels={'age': float, 'kind': str})", {"labels": {"age": float, "kind": str}}),
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
        "scaled(2.0 * 1" + "0" * 400 + ")",
        "scaled(1" + "0" * 400 + " / 3)",
        "scaled(1e308 // 0.1 // 0.0)",
        "scaled(0x" + "f" * 5000 + " @ 1)",
        "scaled(1" + "0" * 5000 + ")",
        "scaled(" + "1 + " * 600 + "1)",
        "scaled(" + "1 + " * 20000 + "1)",
        "scaled(" + "-" * 5000 + "1)",
        "scaled(" + "not " * 600 + "1)",
        "[" * 90 + "]" * 90,
        "collected(d={[1]: 2})",
        "collected(d={(1, [2]): 3})",
        "collected(d={{}: 1})",
        "collected(d={'a': 1, 'a': 2})",
        "scaled('\ud800' * 2)",
        "scaled(1 is 1)",
        "unlike_a_function(1)",
        "stopped(1)",
    ],
)
def test_anything_else_is_refused_and_never_run(text):
    with pytest.raises(UserError, match=r"thing|__import__|__builtins__") as told:
        found(text)
    assert len(str(told.value)) < 2500  # characters, however long the text


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


def test_no_text_raises_anything_but_a_user_error():
    rng = random.Random(0)
    pieces = [
        *"()[]{}:,.=+-*/%@'\"\\#;\n \0", "//", "**", "lambda", "if", "else", "for", "in", "not", "is", "None", "True",
        "scaled", "collected", "stopped", "fails", "x", "factor", "1", "0", "1e999", "1e308", "2.0", "9" * 400, "1j",
        "'a'", "b'b'", "f'{1}'", "...", "\ud800", "é", "_", "*a", "**a", "a.b", "(1, [2])", "{[1]: 2}", "scaled(", "=1",
    ]  # fmt: skip
    passed = 0
    for _ in range(4000):
        text = "".join(rng.choice(pieces) for _ in range(rng.randint(1, 9)))
        for form in (text, f"scaled({text})", f"collected(a={{{text}: 1}})", f"collected(a=[{text}])"):
            try:
                found(form)
                passed += 1
            except UserError:
                pass
    assert passed > 100


def test_paths_in_messages_are_as_they_were_given():
    with pytest.raises(UserError, match=r"scaled\('\.\./shared/x', 1, 2, 3\)"):
        found("scaled('../shared/x', 1, 2, 3)")


def test_every_call_is_shown_before_it_is_made():
    shown = []
    found("scaled(scaled(1), offset=2)", check=lambda name, given: shown.append((name, dict(given))))
    assert shown == [("scaled", {"x": 1}), ("scaled", {"x": 2.0, "offset": 2})]

    def check(name, given):
        raise ValueError(f"{name} is not wanted")

    with pytest.raises(UserError, match=r"thing 'stopped\(1\)': stopped is not wanted \(\S+, line \d+, in check\)\."):
        found("stopped(1)", check=check)


def test_a_factory_that_never_ends_is_not_what_arithmetic_allows():
    with pytest.raises(UserError, match="nothing else"):
        found("scaled(10 ** 10 ** 10)")
