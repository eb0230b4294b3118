"""How large a module, a function and a class may grow before somebody has to say why."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

MODULE_LINES = 600
FUNCTION_LINES = 50  # the docstring is not counted
CLASS_METHODS = 15

# Who may be larger, how large, and why. Keys: "mail/headers.py", "mail/headers.py::Header", "….py::Header.get".
EXCEPTIONS: dict[str, tuple[int, str]] = {
    "serve/resolver.py::Resolver": (17, "six are the questions of the Dns port"),
    "serve/dialogue.py::Dialogue": (22, "asyncio and the listener call seven by name, six are a door's to override"),
    "serve/smtp.py::Session": (16, "six are what a dialogue asks of its door"),
}

SOURCE = Path(__file__).resolve().parents[2] / "src" / "posthouse"


class Measure(NamedTuple):
    name: str
    size: int
    limit: int
    unit: str


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first, *rest = function.body
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and bool(rest)
    hidden = (first.end_lineno or 0) - first.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - hidden


def _is_overload(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in function.decorator_list)


def measures(tree: ast.AST, name: str) -> Iterator[Measure]:
    inside = f"{name}." if "::" in name else f"{name}::"
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Measure(inside + node.name, _lines(node), FUNCTION_LINES, "lines")
            yield from measures(node, inside + node.name)
        elif isinstance(node, ast.ClassDef):
            methods = [
                child
                for child in node.body
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_overload(child)
            ]
            yield Measure(inside + node.name, len(methods), CLASS_METHODS, "methods")
            yield from measures(node, inside + node.name)
        else:
            yield from measures(node, name)


def all_measures() -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        text = path.read_text("utf-8")
        found[name] = Measure(name, len(text.splitlines()), MODULE_LINES, "lines")
        found.update((measure.name, measure) for measure in measures(ast.parse(text), name))
    return found


def test_nothing_is_too_large_without_a_reason() -> None:
    too_large = [
        f"{m.name}: {m.size} {m.unit}, at most {EXCEPTIONS.get(m.name, (m.limit,))[0]}"
        for m in all_measures().values()
        if m.size > EXCEPTIONS.get(m.name, (m.limit,))[0]
    ]
    assert not too_large, "split by noun, or add an exception with its reason:\n" + "\n".join(too_large)


def test_no_exception_outlives_its_need() -> None:
    found = all_measures()
    stale = [name for name in EXCEPTIONS if name not in found or found[name].size <= found[name].limit]
    assert not stale
    assert all(len(reason) > 15 for _, reason in EXCEPTIONS.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n    '''doc\n    more'''\n    return 1\n", {"x.py::f": 2}),
        (
            "class C:\n    def a(self): ...\n    async def b(self): ...\n",
            {"x.py::C": 2, "x.py::C.a": 1, "x.py::C.b": 1},
        ),
        ("if True:\n    def f():\n        pass\n", {"x.py::f": 2}),
    ],
)
def test_the_measure_itself(text: str, expected: dict[str, int]) -> None:
    assert {m.name: m.size for m in measures(ast.parse(text), "x.py")} == expected
