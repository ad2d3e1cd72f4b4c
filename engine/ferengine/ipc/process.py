"""One worker process: started, watched, reaped, with what it cost."""

from __future__ import annotations

import contextlib
import os
import signal
import site
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from ferengine._native import WorkerPage
from ferengine.errors import WorkerError
from ferengine.ipc.channel import ControlChannel
from ferengine.ipc.interpreter import worker_path, worker_python
from ferengine.ipc.machine import killed_by, oom_kills, refusal

_MINUTE = 60.0

MessageT = TypeVar("MessageT")
Encoder = Callable[[MessageT], tuple[bytes, Sequence[int]]]
"""From a message to its bytes, and to the descriptors that go with it."""


def refused(error: BaseException) -> WorkerError | None:
    """What to raise when the system refuses the memory, descriptors, threads or processes of the workers; ``None`` for an
    error of another kind."""
    said = refusal(error)
    return None if said is None else WorkerError(f"the workers cannot be set up ({said})")


def peak_memory_mb(pid: int) -> float:
    """Peak resident memory of process ``pid``, shared pages included, in MiB; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 - hot in the supervisor
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def worker_environment(*, foreign: bool) -> dict[str, str]:
    """The environment of a worker: the caller's, with one thread for the BLAS inside NumPy's and OpenCV's wheels, and this
    package importable."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    home = str(Path(__file__).resolve().parents[2])
    added = worker_path(home, {*site.getsitepackages(), site.getusersitepackages()}, foreign=foreign)
    if added:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), *added]))
    return environment


def cpu_seconds(pid: int | None) -> float:
    """Of a living process, in user and system mode; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class WorkerProcess(Generic[MessageT]):
    """A worker and its successors: the event page stays, process and control socket are new with each life.

    Args:
        name: What the worker is called in logs and summaries.
        module: What is run: ``python -m MODULE CONTROL_DESCRIPTOR PARENT_PID TITLE``.
        encode: Makes bytes and descriptors of a message.
        title: What process lists show after ``ferengine:`` (default: the name).

    Attributes:
        finishing: It has been asked to end once it has done what waits for it; one that dies before is replaced.
        finished: It is not needed any more.
        kills_before: How many processes the kernel had ended for lack of memory when it was started, None where unknown.
        killed_for: Why the present process was killed from here, None if it was not.
        gpu_losses: How many of its processes have ended because CUDA did not work in them any more.
    """

    def __init__(self, name: str, module: str, encode: Encoder[MessageT], title: str | None = None) -> None:
        self.name = name
        self.page = WorkerPage.create()
        self.lives = 0
        self.ready = False
        self.finished = False
        self.finishing = False
        self.failed = False
        self.was_ready = False
        self.peak_mb = 0.0
        self._module = module
        self._encode = encode
        self._title = title or name
        self._cpu_s = 0.0
        self._deaths: deque[float] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self.gpu_losses = 0
        self.kills_before: int | None = None
        self.killed_for: str | None = None
        self.control: ControlChannel | None = None
        self.pidfd = -1

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None

    def spawn(self) -> None:
        """Start a process; call from a long-lived thread (the kernel ties the child's life to it).

        Raises:
            WorkerError: There is no Python to run it with.
            MemoryError: The system refuses what it needs.
            OSError: Likewise.
        """
        python, foreign = worker_python()
        self.kills_before = oom_kills()
        self.control, theirs = ControlChannel.pair()
        environment = worker_environment(foreign=foreign)
        command = [python, "-P", "-m", self._module, str(theirs.fileno()), str(os.getpid()), self._title]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
                process_group=0,
            )
            try:
                self.pidfd = os.pidfd_open(process.pid)
            except OSError:
                process.kill()
                process.wait()
                raise
        except (MemoryError, OSError):
            self.close()
            raise
        finally:
            theirs.close()
        self._process = process
        self.killed_for = None
        self.ready = False
        self.lives += 1
        self._started = time.monotonic()

    def send(self, message: MessageT) -> None:
        """A control message, if the worker lives, and a notification.

        One that finds the worker's queue full is sent later. One for a worker that has just died is dropped: its
        successor gets everything at its start.
        """
        if self.control is not None:
            with contextlib.suppress(ConnectionError):
                self.control.send(*self._encode(message))
            self.page.notify()

    def flush(self) -> bool:
        """Send what had to wait; whether nothing is left."""
        if self.control is None or not self.control.unsent:
            return True
        try:
            return self.control.flush()
        except ConnectionError:
            return True
        finally:
            self.page.notify()

    @property
    def restarts(self) -> int:
        return max(0, self.lives - 1)

    def silent_for(self, now: float) -> float:
        """Seconds since the last sign of life."""
        return now - max(self._started, self.page.heartbeat)

    def stuck(self, now: float, after: float) -> bool:
        """Whether it has been silent for longer than ``after`` seconds; one that is still starting gets a minute."""
        return self.alive and self.silent_for(now) > (after if self.ready else max(after, _MINUTE))

    def sample_memory(self) -> None:
        if self._process is not None:
            self.peak_mb = max(self.peak_mb, peak_memory_mb(self._process.pid))

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all its lives, the present one included."""
        return self._cpu_s + cpu_seconds(self.pid)

    def kill(self, reason: str | None = None) -> None:
        """Kill the process; ``reason`` is what ``cause`` then says."""
        if self._process is not None:
            self.killed_for = self.killed_for or reason
            # Popen.kill would collect a process that has ended, and reap() find neither its exit status nor its CPU time
            with contextlib.suppress(ProcessLookupError):  # the embedding program reaps all children itself
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def cause(self, code: int) -> str:
        """How the process that was reaped with ``code`` ended, for a message."""
        return self.killed_for if self.killed_for and code == -signal.SIGKILL else killed_by(code, self.kills_before)

    def reap(self) -> int:
        """Collect a process that has ended: its exit status, negative for a signal."""
        assert self._process is not None
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            self._cpu_s += usage.ru_utime + usage.ru_stime
        except ChildProcessError:  # the embedding program reaps all children itself
            code = 0
        self._process.returncode = code
        self._process = None
        os.close(self.pidfd)
        self.pidfd = -1
        return code

    def close(self) -> None:
        if self.control is not None:
            self.control.close()
            self.control = None

    def deaths_in_a_minute(self) -> int:
        """Count a death now; how many there were in the last minute."""
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > _MINUTE:
            self._deaths.popleft()
        return len(self._deaths)
