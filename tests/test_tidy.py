"""The rules of the house that a machine can see: each is one function, tried on a bad snippet."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(rule, file) → why it may break the rule. This only shrinks: one that is not needed fails."""

PURE_ROOMS = ("values", "catalogue", "rating", "ledger", "billing", "settlement")
MONEY_ROOMS = ("values/money.py", "rating/", "ledger/", "billing/", "settlement/")
LINES_MAX = 450
FUNCTION_LINES_MAX = 70
ROOM_DOCSTRING_LINES_MAX = 25

WORLD_MODULES = set(
    "asyncio socket ssl select selectors os time random secrets logging subprocess threading "
    "multiprocessing signal tempfile shutil glob io http urllib sqlite3 importlib sys pyqwest "
    "granian duckdb sqlalchemy psycopg click rich".split()
)
"""What only the shell may import: a pure room is given its time, chance, files and sockets."""

WORLD_CALLS = set(
    "open input time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter "
    "time.perf_counter_ns os.getenv os.environ.get os.getcwd os.getpid os.urandom datetime.now "
    "datetime.utcnow datetime.today date.today uuid.uuid1 uuid.uuid4 Path.cwd Path.home".split()
)
WORLD_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "mkdir"}
WORLD_READERS = {"random", "secrets", "subprocess", "socket"}

FLOATS = {"float", "float16", "float32", "float64", "double", "divide", "true_divide"}
EMPTY_NAMES = set("util utils helper helpers common misc base core manager service".split())
MONEY_WORDS = {"price", "prices", "amount", "fee", "cost", "pico", "micro"}
BOUND_WORDS = {"min", "max", "limit"}
MONEY_PARSERS = {"amount", "price_per_unit", "price_per_million"}
MONEY_LITERAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


class Source(NamedTuple):
    """One Python file; ``path`` is from the root, with slashes."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def inner(self) -> str:
        """The path below the package, or an empty text outside it."""
        return self.path.removeprefix("src/steelyard/") if self.in_package else ""

    @property
    def in_package(self) -> bool:
        return self.path.startswith("src/steelyard/")


Finding = tuple[int, str]
Rule = Callable[[Source], Iterator[Finding]]


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of names and attributes; an empty text for anything else."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, attr):
            before = dotted(value)
            return f"{before}.{attr}" if before else ""
        case _:
            return ""


def imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, module, and name of each import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def reads_world(call: ast.Call) -> str:
    """What a call reads of time, chance, environment or files; empty when nothing."""
    name = dotted(call.func)
    last_two = ".".join(name.split(".")[-2:])
    if name in WORLD_CALLS or last_two in WORLD_CALLS or name.split(".")[0] in WORLD_READERS:
        return name
    if isinstance(call.func, ast.Attribute) and call.func.attr in WORLD_METHODS:
        return call.func.attr
    return ""


def pure_rooms_touch_nothing(source: Source) -> Iterator[Finding]:
    """Values, catalogue, rating, ledger, billing and settlement do no I/O and read no clock."""
    if source.inner.split("/")[0] not in PURE_ROOMS:
        return
    tree = source.tree
    for line, module, name in imports(tree):
        if module.split(".")[0] in WORLD_MODULES or (module, name) == ("pathlib", "Path"):
            yield line, f"imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (read := reads_world(node)):
            yield node.lineno, f"calls {read}"


def no_float_near_money(source: Source) -> Iterator[Finding]:
    """A money room has no float, no true division, and no type that would hold one."""
    if not source.inner.startswith(MONEY_ROOMS):
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Constant(value=float() | complex()):
                yield node.lineno, "a float literal"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "a true division; name a rounding"
            case ast.Name(name) | ast.Attribute(attr=name) if name in FLOATS:
                yield node.lineno, f"{name}"
            case _:
                pass


def no_money_constants(source: Source) -> Iterator[Finding]:
    """Prices are dated data, never a constant in code; a bound that they are checked by may be."""
    if not source.in_package:
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Assign(targets=[target], value=ast.Constant(value)):
                name = dotted(target)
            case ast.AnnAssign(target=target, value=ast.Constant(value)):
                name = dotted(target)
            case ast.keyword(arg=str(name), value=ast.Constant(value)):
                pass
            case ast.Call(func=func, args=[ast.Constant(str(value)), *_]):
                name = "amount" if dotted(func).split(".")[-1] in MONEY_PARSERS else ""
            case _:
                continue
        words = set(name.lower().replace(".", "_").split("_"))
        if MONEY_WORDS & words and not BOUND_WORDS & words and is_money(value):
            yield node.lineno, f"{name} is {value!r}"


def is_money(value: object) -> bool:
    """Whether a literal could be an amount: a number that is neither 0 nor 1, or written so."""
    if isinstance(value, str):
        return bool(MONEY_LITERAL.fullmatch(value)) and value not in {"0", "1"}
    return type(value) in {int, float} and value not in {0, 1}


def names_say_something(source: Source) -> Iterator[Finding]:
    """A module is named for its noun or verb, never for being useful."""
    for part in Path(source.path).with_suffix("").parts:
        if EMPTY_NAMES & set(part.lower().split("_")):
            yield 1, f"{part!r} says nothing"


def functions_fit_a_page(source: Source) -> Iterator[Finding]:
    """A function is at most about 70 lines, a file about 400: at most 450."""
    lines = source.text.count("\n")
    if lines > LINES_MAX:
        yield LINES_MAX, f"{lines} lines in the file"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {length} lines"


def no_silent_broad_except(source: Source) -> Iterator[Finding]:
    """Whoever catches everything says why in a comment, and raises again."""
    lines = source.text.splitlines()
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = {"Exception", "BaseException"}
        if not any(one is None or dotted(one) in broad for one in caught):
            continue
        if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            yield node.lineno, "a broad except that does not raise again"
        if not any("#" in line for line in lines[node.lineno - 1 : node.body[0].lineno]):
            yield node.lineno, "a broad except without its reason"


def rooms_open_with_what_they_own(source: Source) -> Iterator[Finding]:
    """A room's ``__init__`` says what it owns within 25 lines, and re-exports nothing."""
    if not (source.inner.endswith("/__init__.py") and source.inner.count("/") == 1):
        return
    tree = source.tree
    if not ast.get_docstring(tree):
        yield 1, "no docstring"
    elif (tree.body[0].end_lineno or 0) > ROOM_DOCSTRING_LINES_MAX:
        yield 1, f"the docstring ends after line {ROOM_DOCSTRING_LINES_MAX}"
    for line, module, _ in imports(tree):
        if module.split(".")[0] == "steelyard":
            yield line, f"re-exports from {module}"


def nothing_happens_at_import(source: Source) -> Iterator[Finding]:
    """Importing a module reads no clock, environment, chance or file, and opens nothing."""
    if not source.in_package:
        return
    for node in at_import(source.tree):
        if isinstance(node, ast.Call) and (read := reads_world(node)):
            yield node.lineno, f"calls {read} at import"
        elif isinstance(node, ast.Attribute) and dotted(node) == "os.environ":
            yield node.lineno, "reads os.environ at import"


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Whatever runs when a module is imported: all but bodies of functions and of ``__main__``."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            children: list[ast.AST] = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            children += getattr(node, "decorator_list", [])
        case ast.If(test=ast.Compare(left=ast.Name("__name__"))):
            children = list(node.orelse)
        case _:
            children = list(ast.iter_child_nodes(node))
    yield node
    for child in children:
        yield from at_import(child)


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        pure_rooms_touch_nothing,
        no_float_near_money,
        no_money_constants,
        names_say_something,
        functions_fit_a_page,
        no_silent_broad_except,
        rooms_open_with_what_they_own,
        nothing_happens_at_import,
    )
}

BROKEN = [
    # rule, file, what breaks it
    ("pure_rooms_touch_nothing", "rating/a.py", "import os"),
    ("pure_rooms_touch_nothing", "values/a.py", "from asyncio import Queue"),
    ("pure_rooms_touch_nothing", "catalogue/a.py", "from pathlib import Path"),
    ("pure_rooms_touch_nothing", "ledger/a.py", "def f(p):\n    return p.read_text()"),
    ("pure_rooms_touch_nothing", "billing/a.py", "def f():\n    return datetime.now(UTC)"),
    ("no_float_near_money", "rating/a.py", "x = 0.5"),
    ("no_float_near_money", "ledger/a.py", "def f(a, b):\n    return a / b"),
    ("no_float_near_money", "values/money.py", "def f(a):\n    a /= 2"),
    ("no_float_near_money", "billing/a.py", "def f(a):\n    return float(a)"),
    ("no_float_near_money", "settlement/a.py", "def f(np, a):\n    return a.astype(np.float64)"),
    ("no_money_constants", "edge/a.py", "PRICE_PICO = 250"),
    ("no_money_constants", "cli/a.py", 'f(monthly_fee="199.00")'),
    ("no_money_constants", "rating/a.py", 'x = money.price_per_million("2.5")'),
    ("names_say_something", "edge/utils.py", ""),
    ("names_say_something", "edge/http_helpers.py", ""),
    ("names_say_something", "core/calls.py", ""),
    ("functions_fit_a_page", "edge/a.py", "x = 1\n" * 451),
    ("functions_fit_a_page", "edge/a.py", "def f():\n" + "    x = 1\n" * 70),
    ("no_silent_broad_except", "edge/a.py", "try:\n    f()\nexcept Exception:\n    # why\n    g()"),
    ("no_silent_broad_except", "edge/a.py", "try:\n    f()\nexcept:\n    raise"),
    (
        "no_silent_broad_except",
        "edge/a.py",
        "try:\n    f()\nexcept (OSError, BaseException):\n    raise",
    ),
    ("rooms_open_with_what_they_own", "edge/__init__.py", ""),
    ("rooms_open_with_what_they_own", "edge/__init__.py", '"""A\n' + "\n" * 30 + '"""'),
    ("rooms_open_with_what_they_own", "edge/__init__.py", '"""A."""\nfrom steelyard.edge import a'),
    ("nothing_happens_at_import", "edge/a.py", "import time\nSTART = time.monotonic()"),
    ("nothing_happens_at_import", "edge/a.py", "class A:\n    home = os.environ['HOME']"),
    ("nothing_happens_at_import", "edge/a.py", "def f(at=datetime.now(UTC)):\n    pass"),
    ("nothing_happens_at_import", "edge/a.py", "DATA = (Path(__file__).parent / 'a').read_text()"),
]

ALLOWED = [
    ("pure_rooms_touch_nothing", "edge/a.py", "import os"),
    ("no_float_near_money", "rating/a.py", "x = 7 // 2\ny = 10**12"),
    ("no_float_near_money", "values/clock.py", "x = 0.5"),
    ("no_money_constants", "rating/a.py", "total_pico = 0\nfeedback = 7\nPICO = 10**12"),
    ("no_money_constants", "catalogue/a.py", "PRICE_MIN_PICO = 100"),
    ("names_say_something", "edge/basement.py", ""),
    (
        "no_silent_broad_except",
        "edge/a.py",
        "try:\n    f()\nexcept BaseException:  # the lease goes back\n    g()\n    raise",
    ),
    ("nothing_happens_at_import", "edge/a.py", "def f():\n    return time.time()"),
    ("nothing_happens_at_import", "a.py", "if __name__ == '__main__':\n    open('x')"),
]


@pytest.mark.parametrize("rule", RULES)
def test_every_file_keeps(rule, tracked):
    found: dict[str, list[str]] = {}
    for path in tracked:
        if path.endswith(".py"):
            source = Source(path, (ROOT / path).read_text("utf-8"))
            found[path] = [f"{path}:{line}: {what}" for line, what in RULES[rule](source)]
    assert found
    excused = {path for name, path in EXCEPTIONS if name == rule}
    broken = [line for path, lines in found.items() if path not in excused for line in lines]
    assert not broken, f"{RULES[rule].__doc__}\n" + "\n".join(broken)
    assert all(found.get(path) for path in excused), "an exception that is not needed any more"


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_a_rule_can_fail(rule, path, text):
    assert list(RULES[rule](Source(f"src/steelyard/{path}", text)))


@pytest.mark.parametrize(("rule", "path", "text"), ALLOWED)
def test_a_rule_lets_pass(rule, path, text):
    assert not list(RULES[rule](Source(f"src/steelyard/{path}", text)))


def test_every_rule_is_tried():
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_asserts_are_on():
    assert sys.flags.optimize == 0
