"""A worker process as the engine sees it."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ferengine.ipc import machine
from ferengine.ipc.process import WorkerProcess, peak_memory_mb, refused

_ECHO = """
import socket, sys
from ferengine.ipc.channel import ControlChannel
import select
descriptor, parent, title = sys.argv[1:]
control = ControlChannel(socket.socket(fileno=int(descriptor)))
select.select([control], [], [])
for data, descriptors in control.receive():
    control.send(data + title.encode(), descriptors)
"""


def encode(message: str) -> tuple[bytes, Sequence[int]]:
    return message.encode(), []


def test_a_module_is_run_and_gets_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "echo_worker.py").write_text(_ECHO)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    worker = WorkerProcess("echo", "echo_worker", encode, "an echo")
    worker.send("before the start")
    worker.spawn()
    assert worker.alive
    assert worker.pid is not None
    worker.send("hello, ")
    code = worker.reap()
    assert code == 0
    assert worker.control is not None
    assert worker.control.receive() == [(b"hello, an echo", [])]
    worker.send("it is gone")  # no error: its successor gets every message
    assert worker.flush()
    assert (worker.alive, worker.lives, worker.restarts) == (False, 1, 0)
    assert worker.cpu_s > 0
    worker.close()


def test_a_process_that_ended_before_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of a run on a busy machine: its exit status and its CPU time are kept."""
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    worker = WorkerProcess("ends", "ends", encode)
    worker.spawn()
    assert select.select([worker.pidfd], [], [], 60)[0]
    worker.kill()
    assert worker.reap() == 3
    assert worker.cpu_s > 0
    worker.close()


@pytest.mark.parametrize(
    ("reason", "kills", "said"),
    [
        ("it was stuck for 6 s and killed", [3, 4], "it was stuck for 6 s and killed"),
        (None, [3, 3], "not for lack of memory"),
        (None, [3, 4], "for lack of memory meanwhile"),
        (None, [None, None], "which also ends a process when"),
    ],
)
def test_cause_of_a_kill_is_the_true_one(
    reason: str | None, kills: list[int | None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the engine itself, by the kernel for lack of memory, or by another program."""
    (tmp_path / "echo_worker.py").write_text(_ECHO)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    folder = tmp_path / "proc"
    folder.mkdir()
    monkeypatch.setattr(machine, "_PROC", folder)

    def note(number: int | None) -> None:
        if number is not None:
            (folder / "vmstat").write_text(f"nr_free_pages 1234\noom_kill {number}\n")

    worker = WorkerProcess("echo", "echo_worker", encode)
    note(kills[0])
    worker.spawn()
    note(kills[1])
    worker.kill(reason)
    code = worker.reap()
    assert (code, said in worker.cause(code)) == (-signal.SIGKILL, True)
    assert "stuck" not in worker.cause(1)  # it ended by itself, just before
    worker.close()


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.EAGAIN, "busy"), "ulimit -u"),
        (MemoryError("full"), "free memory"),
    ],
)
def test_what_the_system_refuses_has_a_hint(error: OSError | MemoryError, hint: str) -> None:
    assert hint in str(refused(error))


def test_another_error_is_not_the_systems() -> None:
    assert refused(OSError(errno.ENOENT, "no such file")) is None


def test_memory_of_a_process() -> None:
    assert peak_memory_mb(os.getpid()) > 1
    assert peak_memory_mb(2**22 + 1) == 0
