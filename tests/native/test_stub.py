"""`help()` says what the stub says; that their names agree is checked by stubtest, in `make lint`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferengine import _native

STUB = Path(_native.__file__).with_name("_native.pyi")


def documented(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The dotted name and the summary line of each class and function."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in node.decorator_list):
                continue
            docstring = ast.get_docstring(node)
            assert docstring, f"{prefix}{node.name} has no docstring"
            yield prefix + node.name, docstring.splitlines()[0]
            if isinstance(node, ast.ClassDef):
                yield from documented(node.body, f"{node.name}.")


@pytest.mark.parametrize(("name", "summary"), list(documented(ast.parse(STUB.read_text()).body)))
def test_docstrings_begin_as_in_the_stub(name: str, summary: str) -> None:
    found: object = _native
    for part in name.split("."):
        found = getattr(found, part)
    lines = (found.__doc__ or "").splitlines()
    assert summary in lines
    assert not any("arg0" in line for line in lines)  # every argument has a name
