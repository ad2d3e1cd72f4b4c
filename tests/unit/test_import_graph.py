"""Who imports whom: read from the syntax trees, imports for type checking and inside functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import ferengine
import ferengine_tools

PACKAGES = [Path(each).parent for each in (ferengine.__file__, ferengine_tools.__file__) if each is not None]
MAY_IMPORT_RUNTIME = ("ferengine", "ferengine.service", "ferengine.fleet", "ferengine.cli")


@cache
def graph() -> dict[str, frozenset[str]]:
    """The modules of ``ferengine`` and ``ferengine_tools`` that each of their modules names in an import."""
    modules = {name_of(path): path for package in PACKAGES for path in package.rglob("*.py")}
    return {name: frozenset(imports(name, path, modules)) - {name} for name, path in modules.items()}


def name_of(path: Path) -> str:
    [package] = [each for each in PACKAGES if each in path.parents]
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(name: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(filter(None, [above, node.module]))
            for alias in node.names:
                if f"{source}.{alias.name}" in modules:
                    yield f"{source}.{alias.name}"
                elif source in modules:
                    yield source


def cycles(edges: dict[str, frozenset[str]]) -> list[list[str]]:
    """Groups of modules that reach one another: strongly connected components (Tarjan, "Depth-First Search and Linear Graph
    Algorithms", 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def test_cycles_are_found() -> None:
    edges = {"a": frozenset("b"), "b": frozenset("ce"), "c": frozenset("a"), "d": frozenset("a"), "e": frozenset()}
    assert cycles(edges) == [["a", "b", "c"]]


def test_the_graph_is_read() -> None:
    assert {"ferengine.runtime.supervisor", "ferengine.errors"} <= graph()["ferengine.engine.engine"] | graph()[
        "ferengine.errors"
    ] | {"ferengine.errors"}
    assert "ferengine.sources.demo" in graph()["ferengine.sources"]  # inside a function
    assert "ferengine.engine" in graph()["ferengine"]  # for type checking
    assert "ferengine_tools.evaluation.checkpoint" in graph()["ferengine_tools.evaluation.ensemble"]  # inside a function
    assert "ferengine_tools.evaluation.ensemble" in graph()["ferengine_tools.evaluate"]  # for type checking


def test_no_module_imports_itself_by_a_detour() -> None:
    lazily_exporting = {name: edges for name, edges in graph().items() if name != "ferengine"}
    assert cycles(lazily_exporting) == []


def test_the_transport_imports_only_errors_and_the_native_module() -> None:
    transport = {name: edges for name, edges in graph().items() if name.startswith("ferengine.ipc")}
    assert {"ferengine.ipc.channel", "ferengine.ipc.rings"} <= transport.keys()
    for name, edges in transport.items():
        outside = {edge for edge in edges if not edge.startswith("ferengine.ipc")}
        assert outside <= {"ferengine.errors"}, name


def test_only_the_outermost_layers_import_the_runtime() -> None:
    allowed = ("ferengine.runtime", "ferengine.engine.", "ferengine.cli.", "ferengine.service.", "ferengine.fleet.")
    importing = {name for name, edges in graph().items() if any(edge.startswith("ferengine.runtime") for edge in edges)}
    assert {"ferengine.engine.engine", "ferengine.runtime.supervisor"} <= importing
    assert {name for name in importing if not name.startswith(allowed)} <= set(MAY_IMPORT_RUNTIME)


def test_nothing_is_handed_the_supervisor() -> None:
    users = {name for name, edges in graph().items() if "ferengine.runtime.supervisor" in edges}
    assert users == {"ferengine.engine.engine", "ferengine.engine.running", "ferengine.engine.sources"}
