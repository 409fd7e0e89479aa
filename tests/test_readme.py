"""The code of README.md and docs/, run; and the promises they make about commands and files."""

import ast
import functools
import graphlib
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax.balance.jacobian import Linearized

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def readme():
    """What the names in README.md's code stand for after it has run from top to bottom."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mtl.MultiTask, "init", of_zeros(mtl.MultiTask.init))
        patch.setattr(mtl.MultiTask, "apply", at_once(mtl.MultiTask.apply))
        for name in ("chain", "adam"):
            patch.setattr(optax, name, updating_at_once(getattr(optax, name)))
        patch.setattr(mtl, "upgrad", weighing_at_once(mtl.upgrad))
        gramian = Linearized.gramian
        patch.setattr(Linearized, "gramian", lambda at: jax.jit(lambda: gramian(at))())
        return run_page("README.md")


def of_zeros(init):
    """A module's `init`, traced but not compiled, which takes longest: parameters of 0."""

    def made(module, key, images):
        return jax.tree.map(jnp.zeros_like, jax.eval_shape(lambda: init(module, key, images)))

    return made


def at_once(method):
    """A method of a module as one program, which compiles in less time than one for each of its steps."""

    def compiled(module, first, images, **chosen):
        return jax.jit(lambda *given: method(module, *given, **chosen))(first, images)

    return compiled


def updating_at_once(factory):
    """A factory of transformations, whose update is one program."""

    def made(*arguments):
        transform = factory(*arguments)
        return transform._replace(update=jax.jit(transform.update))

    return made


def weighing_at_once(factory):
    """A factory of balancers, whose weights are found by one program."""

    def made(**options):
        balancer = factory(**options)
        balancer.weigh = jax.jit(balancer.weigh)
        return balancer

    return made


def test_the_loop_of_ones_own_learns(readme):
    first = readme["losses_fn"]({**readme["params"], "price": 0 * readme["params"]["price"]}, readme["batch"])
    assert readme["losses"][0] < 0.5 * first[0]
    assert readme["losses"].shape == (2,)


def test_the_partition_is_a_balancer_and_an_optimiser_a_task(readme):
    params, tx = readme["params"], readme["tx"]
    losses, jacobian = readme["mtl"].value_and_jacobian(readme["losses_fn"])(params, readme["batch"])
    updates, _ = tx.update(jacobian, tx.init(params), params, losses=losses)
    assert updates["trunk"].shape == params["trunk"].shape


def test_the_model_predicts_what_the_comment_says(readme):
    shapes = {name: prediction.shape for name, prediction in readme["predictions"].items()}
    assert shapes == {"segment": (2, 64, 96, 13), "depth": (2, 64, 96, 1)}
    assert set(readme["depth_alone"]) == {"depth"}


def run_page(name):
    names = {}
    for code in blocks(ROOT / name, "python"):
        exec(compile(code, name, "exec"), names)
    return names


def test_the_balancers_of_ones_own_work():
    names = run_page("docs/write-a-balancer.md")
    np.testing.assert_allclose(names["state"].weights, np.array([4, 2, 1]) * 3 / 7, rtol=1e-6)
    params, jacobian = names["params"], names["jacobian"]
    averaged, largest = names["averaged"](3), names["largest"](3)
    _, state = averaged.update(jacobian, averaged.init(params), params, losses=np.array([1.0, 11.0, 1.0]))
    np.testing.assert_allclose(state.weights, [1, 0.5, 1], rtol=1e-6)
    direction, _ = largest.update(jacobian, largest.init(params), params)
    np.testing.assert_array_equal(direction, [4, 2])


def test_the_task_of_ones_own_works():
    names = run_page("docs/tasks.md")
    task = names["height"]()
    batch = {"height": np.full((1, 1, 2, 2, 1), 3.0), "height_valid": np.ones((1, 1, 2, 2, 1), bool)}
    total, count = task.loss(np.ones((1, 1, 2, 2, 1)), batch)
    assert (total, count) == (8, 4)
    assert task.primary.value(task.sums(np.ones((1, 1, 2, 2, 1)), batch)) == 2
    assert task.constant(batch) == [3]
    np.testing.assert_allclose(names["drop"], 0, atol=1e-9)


def test_the_odometry_page_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("docs/odometry.md")
    assert names["estimate"].shape == (201, 4, 4)
    assert 0 < names["metres"] < 4
    np.testing.assert_allclose(names["r_rel"], 0.02 * np.degrees(1), rtol=0.02)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_method_task_and_source_is_in_the_tables():
    from mtljax import balance, data, tasks

    readme, page = ((ROOT / name).read_text() for name in ("README.md", "docs/balancers.md"))
    for name in (*tasks.FACTORIES, *data.SOURCES):
        assert re.search(rf"^\| `{name}\W", readme, re.MULTILINE), name
    made = {name: getattr(getattr(balance, name), "__annotations__", {}).get("return") for name in balance.__all__}
    methods = {name for name in made if made[name] is balance.Balancer} - {"from_rule", "from_jacobian_rule"}
    assert len(methods) > 30
    for name in methods:
        assert re.search(rf"^\| .*`{name}`", readme, re.MULTILINE), name
        assert re.search(rf"^\| .*`{name}\(", page, re.MULTILINE), name


def test_importing_the_library_is_light():
    heavy = "{'tensorflow', 'tensorflow_datasets', 'grain', 'matplotlib', 'orbax', 'scipy.optimize'}"
    code = (
        f"import jax, flax, sys; before = set(sys.modules); import mtljax; print(({heavy} & set(sys.modules)) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_rooms_import_downwards_only():
    allowed = {
        "balance": {"balance", "errors"},
        "geometry": {"geometry"},
        "objects": {"geometry", "objects", "errors"},
        "models": {"geometry", "objects", "models", "errors"},
        "tasks": {"geometry", "objects", "tasks", "models", "delta", "errors"},
        "data": {"geometry", "data", "errors"},
        "train": {"balance", "models", "tasks", "data", "train", "defaults", "errors"},
        "report": {"report", "defaults", "delta", "errors"},
        "relations": {"relations", "errors"},
        "command": {"balance", "models", "tasks", "data", "train", "command", "defaults", "errors"},
        "serving": {"models", "tasks", "data", "train", "serving", "errors"},
        "studies": {"balance", "tasks", "data", "train", "report", "relations", "studies", "errors"},
    }
    rooms = {file.parent.name for file in (ROOT / "mtljax").glob("*/__init__.py")}
    assert set(allowed) == rooms
    for room, floors in allowed.items():
        for file in (ROOT / "mtljax" / room).rglob("*.py"):
            named = {name.split(".")[1] for name in imported(file) if name.startswith("mtljax.")}
            assert named <= floors, f"{file} imports {named - floors}"


@functools.cache
def statements(file):
    """All statements of a module, nested ones too; expressions, which are most of its tree, hold none."""
    return list(within(ast.parse(file.read_text())))


def within(node):
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, field, ()):
            yield inner
            yield from within(inner)


@functools.cache
def imported(file):
    """The names that a module's import statements may bring in, those within its functions too."""
    names = []
    for node in statements(file):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def test_no_modules_import_each_other_in_a_circle():
    """Packages are left out: they only export."""
    files = [file for file in (ROOT / "mtljax").rglob("*.py") if file.name != "__init__.py"]
    modules = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    graphlib.TopologicalSorter({name: modules.keys() & set(imported(file)) for name, file in modules.items()}).prepare()


CLEARER_WHOLE = frozenset()  # functions, as "folder/file.py name", that have a formula of more than 50 lines


def lines_of(function):
    """How many lines a function has, without its docstring."""
    whole = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return whole
    return whole - (function.body[0].end_lineno - function.body[0].lineno + 1)


@pytest.mark.parametrize("part", ["mtljax", "tests"])
def test_files_and_functions_are_short(part):
    long = []
    for file in sorted((ROOT / part).rglob("*.py")):
        place = file.relative_to(ROOT).as_posix()
        if file.read_bytes().count(b"\n") > 300:
            long.append(place)
        functions = [node for node in statements(file) if isinstance(node, ast.FunctionDef)]
        long += [f"{place} {function.name}" for function in functions if lines_of(function) > 50]
    assert not set(long) - CLEARER_WHOLE
