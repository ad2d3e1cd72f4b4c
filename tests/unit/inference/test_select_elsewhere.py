"""What the parent learns about the backend, and what it does where the driver misbehaves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferengine.errors import DeviceError, ModelError
from ferengine.inference import select_elsewhere
from ferengine.inference.select_elsewhere import choose_backend_elsewhere
from ferengine.inference.tensorrt.environment import driver_in_sight


@pytest.fixture(autouse=True)
def in_sight(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(select_elsewhere, "driver_in_sight", lambda: True)
    select_elsewhere._ask.cache_clear()
    yield
    select_elsewhere._ask.cache_clear()


def child_runs(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_elsewhere, "_CODE", code)


def test_the_answer_is_the_childs_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    child_runs("import sys; print('a library says {this}'); print('{\"name\": \"' + sys.argv[1] + '-x\"}')", monkeypatch)
    assert choose_backend_elsewhere("auto") == "auto-x"


def test_a_refusal_is_the_parents_error(monkeypatch: pytest.MonkeyPatch) -> None:
    child_runs('print(\'{"refused": "no such wheel"}\')', monkeypatch)
    with pytest.raises(ModelError, match="no such wheel"):
        choose_backend_elsewhere("ort-cuda")


@pytest.mark.parametrize(
    ("code", "said"), [("import os; os.abort()", "exit code -6"), ("raise OSError('broken library')", "broken library")]
)
def test_a_driver_that_brings_the_child_down_is_named(code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    child_runs(code, monkeypatch)
    with pytest.raises(DeviceError, match=f"{said}.*--backend ort"):
        choose_backend_elsewhere("auto")


def test_a_driver_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    child_runs("import time; time.sleep(60)", monkeypatch)
    monkeypatch.setattr(select_elsewhere, "_SECONDS", 0.5)
    with pytest.raises(DeviceError, match="does not answer"):
        choose_backend_elsewhere("auto")


def test_the_cpu_needs_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    child_runs("raise SystemExit(3)", monkeypatch)
    assert choose_backend_elsewhere("ort") == "ort"
    monkeypatch.setattr(select_elsewhere, "driver_in_sight", lambda: False)
    if "linux" in sys.platform and not driver_in_sight():
        assert choose_backend_elsewhere("auto") == "ort"


def test_the_drivers_library_is_seen_where_the_loader_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libcuda.so.1").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    assert driver_in_sight()
