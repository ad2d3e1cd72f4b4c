"""What is written as JSON can be read by anything, whatever numbers there are."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ferengine
import ferengine_tools
from ferengine.json_text import json_text

INTERNAL = {
    "classification/add_model.py", "cli/config_file.py", "fleet/seal.py", "fleet/table_state.py", "report/screenshot.py",
    "runtime/topology.py", "stages/codec.py", "training/checkpoint.py", "training/heads.py",
}  # fmt: skip
"""JSON between two parts of the same program."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


def refuse(name: str) -> None:
    pytest.fail(f"{name} is not JSON")


def replaced(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: replaced(item) for key, item in value.items()}
    return [replaced(item) for item in value] if isinstance(value, list | tuple) else value


@given(VALUES)
def test_numbers_that_are_not_finite_become_null_and_all_else_stays(value: Any) -> None:
    assert json.loads(json_text(value), parse_constant=refuse) == replaced(value)


def test_what_is_replaced_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    assert json_text({"a": [1.0, {"b": math.nan}], "c": -math.inf}) == '{"a": [1.0, {"b": null}], "c": null}'
    assert [record.message for record in caplog.records] == ["2 numbers that are not finite were written as null: a[1].b, c"]


def test_a_value_that_holds_itself_is_an_error() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises((ValueError, RecursionError)):
        json_text(ring)


@pytest.mark.parametrize("package", [ferengine, ferengine_tools], ids=["ferengine", "ferengine_tools"])
def test_every_writer_goes_through_it(package: Any) -> None:
    """Walks all modules: ``json.dumps`` and ``json.dump`` stand where no file and no user sees what they write."""
    home = Path(package.__path__[0])
    others = []
    for path in sorted(home.rglob("*.py")):
        name = path.relative_to(home).as_posix()
        if name in INTERNAL or name == "json_text.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("dump", "dumps") and ast.unparse(node.value) == "json":
                others.append(f"{name}:{node.lineno}")
            if isinstance(node, ast.ImportFrom) and node.module == "json":
                others.append(f"{name}:{node.lineno}")
    assert others == []


@pytest.mark.parametrize("package", [ferengine, ferengine_tools], ids=["ferengine", "ferengine_tools"])
def test_only_one_module_loads_onnx_runtime(package: Any) -> None:
    """The one that switches its telemetry off before. Its quantisation may be imported where that module has been."""
    home = Path(package.__path__[0])
    loading = set()
    for path in home.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == "onnxruntime" for name in names):
                loading.add(path.relative_to(home).as_posix())
    assert loading <= {"inference/onnxruntime.py", "inference/conversion.py"}
