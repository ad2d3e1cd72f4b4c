"""Which Python runs the workers, in programs that are not Python themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferengine import Engine
from ferengine.errors import WorkerError
from ferengine.ipc import interpreter
from ferengine.ipc.interpreter import worker_path, worker_python


@pytest.fixture(autouse=True)
def _nothing_found_before() -> Iterator[None]:
    interpreter._find.cache_clear()
    yield
    interpreter._find.cache_clear()


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A program that must not be started: it leaves a file."""
    path = tmp_path / "uwsgi"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    path.chmod(0o755)
    return path


def test_python_runs_its_own_workers() -> None:
    assert worker_python() == (sys.executable, False)


@pytest.mark.parametrize("name", ["python", "python3", "python3.11", "python3.13t", "python3.12-dbg", "pypy3"])
def test_names_of_python(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("")
    assert not interpreter._is_python(str(path))  # may not be run
    path.chmod(0o755)
    assert interpreter._is_python(str(path))


def test_a_link_to_python_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "py").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "py"))
    assert worker_python() == (str(tmp_path / "py"), False)


def test_a_host_is_never_started(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(host))
    monkeypatch.setattr(sys, "_base_executable", str(host), raising=False)
    python, foreign = worker_python()
    assert foreign
    assert subprocess.check_output([python, "-c", "import sys; print(sys.version)"], text=True).strip() == sys.version
    with Engine("demo", max_frames=3) as engine:
        assert sum(1 for _ in engine.results()) == 3
    assert not (host.parent / "started").exists()


def test_a_host_without_any_python(host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("executable", "_base_executable"):
        monkeypatch.setattr(sys, name, str(host), raising=False)
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, str(tmp_path))
    monkeypatch.setattr(interpreter.sysconfig, "get_config_var", lambda name: None)
    (tmp_path / "bin").mkdir()
    other = tmp_path / "bin" / "python3"  # of another version
    other.write_text("#!/bin/sh\necho cpython-27\n")
    other.chmod(0o755)
    with pytest.raises(WorkerError, match="uwsgi is not Python, and there is none of the version"):
        Engine("demo")
    assert not (tmp_path / "started").exists()


def test_a_frozen_program_is_refused(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(host))
    with pytest.raises(WorkerError, match=r"this program is frozen .* installed Python"):
        Engine("demo")
    assert not (host.parent / "started").exists()


def test_found_interpreter_imports_from_the_paths_of_this_process() -> None:
    assert worker_path("/home", {"/home"}, foreign=False) == []
    assert worker_path("/home", {"/usr"}, foreign=False) == ["/home"]
    found = worker_path("/home", {"/home"}, foreign=True)
    assert found[0] == "/home"
    assert set(found[1:]) == {place for place in sys.path if place and os.path.exists(place)}  # noqa: PTH110
