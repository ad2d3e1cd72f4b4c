"""An engine inside another program: in threads, several at once, again and again, and without traces."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Engine, PushSource
from ferengine.errors import MissingDependencyError
from threads_help import CheckedThread

Images = list[NDArray[np.uint8]]
SETTINGS: dict[str, Any] = {"detector": "haar"}


def _children() -> int:
    """Processes that this one has started, zombies included."""
    return sum(len((task / "children").read_text().split()) for task in Path("/proc/self/task").iterdir())


def _belongings() -> dict[str, int]:
    gc.collect()
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "mappings": Path("/proc/self/maps").read_text().count("memfd:ferengine"),
        "threads": threading.active_count(),
        "children": _children(),
    }


def _cycle(number: int) -> None:
    """Start an engine and end it in one of the ways that there are."""
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        results = engine.results(frames=True)
        engine.subscribe(lambda result: None)
        if number % 10 == 0:  # in mid-run, with an image in hand
            assert engine.push("door", np.zeros((64, 64, 3), np.uint8), timeout=60)
            _, image = next(results)
            assert image.shape == (64, 64, 3)
            engine.add_source(PushSource("yard"))
        elif number % 10 == 5:  # just ready
            assert engine.wait_ready(120)
        # otherwise while the workers are still starting
        if number % 2:
            engine.stop(force=True)


def test_cycles_leave_nothing_behind() -> None:
    rings = _belongings()["mappings"]  # of tests before in this process
    _cycle(0)
    before = _belongings()
    for number in range(15):
        _cycle(number)
    assert _belongings() == before
    assert before["children"] == 0
    assert before["mappings"] == rings


def test_engines_that_were_never_started_leave_nothing_behind() -> None:
    Engine(PushSource("door")).close()
    before = _belongings()
    for _ in range(20):
        engine = Engine(PushSource("door"))
        engine.results()
        engine.close()
        engine.close()
    del engine
    assert _belongings() == before


def test_workers_have_not_ended_before_they_begin() -> None:
    engine = Engine("demo:empty", **SETTINGS)
    health = engine.health()
    assert (health.state, health.ok) == ("new", False)
    assert {worker.state for worker in health.workers.values()} == {"starting"}
    engine.close()
    assert {worker.state for worker in engine.health().workers.values()} == {"ended"}


def test_no_signal_handler_is_touched_and_nothing_is_printed(images: Images, capfd: pytest.CaptureFixture[str]) -> None:
    numbers = signal.valid_signals()
    before = {number: signal.getsignal(number) for number in numbers}
    handlers = list(logging.getLogger().handlers)
    with Engine(PushSource("door", wait=True), **SETTINGS) as engine:
        assert engine.push("door", images[0], timeout=60)
        assert next(engine.results()).frame == 0
        assert {number: signal.getsignal(number) for number in numbers} == before
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("ferengine").handlers)


@pytest.mark.parametrize(("package", "source"), [("lap", "demo:empty"), ("av", "talk.mp4")])
def test_a_package_that_workers_lack_is_one_error(
    package: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('no {package}', name={package!r})\n")
    metadata = tmp_path / "ferengine-0.2.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ferengine\nVersion: 0.2.0\nRequires-Dist: {package}>=7\n")
    (tmp_path / "talk.mp4").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with (
        Engine(source, **SETTINGS) as engine,
        pytest.raises(MissingDependencyError, match=f"^the package {package} is not installed: .*install .*{package}>=7"),
    ):
        list(engine.results())
    assert capfd.readouterr() == ("", "")


def test_two_engines_at_once_and_in_threads(images: Images) -> None:
    seen: dict[str, list[int]] = {}

    def run(name: str, count: int) -> None:
        with Engine(PushSource(name, wait=True), **SETTINGS) as engine:
            results = engine.results()
            for number in range(count):
                assert engine.push(name, images[number], number / 30, timeout=60)
            engine.end_source(name)
            seen[name] = [result.frame for result in results if result.camera == name]

    threads = [CheckedThread(partial(run, name, count)) for name, count in (("door", 12), ("yard", 20))]
    for thread in threads:
        thread.join()
    assert seen == {"door": list(range(12)), "yard": list(range(20))}


def test_the_workers_outlive_the_thread_that_started_them(images: Images) -> None:
    engines: list[Engine] = []

    def start() -> None:
        engine = Engine(PushSource("door", wait=True), **SETTINGS)
        engine.wait_ready(120)
        engines.append(engine)

    CheckedThread(start).join()
    [engine] = engines
    with engine:
        assert engine.push("door", images[0], timeout=60)
        assert next(engine.results()).frame == 0
        assert all(worker.restarts == 0 for worker in engine.health().workers.values())


def test_a_program_that_forgets_to_close_still_ends() -> None:
    program = (
        "import numpy as np\n"
        "from ferengine import Engine, PushSource\n"
        "engine = Engine(PushSource('door', wait=True), detector='haar')\n"
        "engine.push('door', np.zeros((64, 64, 3), np.uint8), timeout=60)\n"
        "results = engine.results()\n"
        "engine.subscribe(lambda result: None)\n"  # begins the run: who comes later may miss the one frame
        "print(next(results).frame, *engine.worker_pids().values())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    frame, *pids = done.stdout.split()
    assert (frame, len(pids)) == ("0", 3)
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
