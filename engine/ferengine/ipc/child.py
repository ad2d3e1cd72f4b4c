"""Child processes that answer requests: one after the other (``Child``), or a single one (``ask_once``)."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from setproctitle import setproctitle

from ferengine.errors import MissingDependencyError, ServiceError
from ferengine.ipc.interpreter import worker_python
from ferengine.ipc.process import worker_environment

_LENGTH = struct.Struct("<I")
_LAST_WORDS = 1 << 31
"""Bit of the length of a message that says which package its sender lacks."""
_END_SECONDS = 2.0
"""Seconds that a child gets to end before it is killed."""


def ask_once(arguments: Sequence[str], seconds: float, request: str = "") -> dict[str, Any]:
    """Run Python as workers are run, and return what it answers.

    Args:
        arguments: Of Python.
        seconds: How long it may take.
        request: What it reads from its standard input. Arguments are seen by every user of the machine; this is not.

    Returns:
        The JSON object in the last line that it prints: libraries may print before it.

    Raises:
        TimeoutError: It took longer.
        ChildProcessError: It failed, or the system refuses to start it. The text is the last line of its standard error, its
            exit code, or what the system says.
        WorkerError: There is no Python to run.
    """
    python, foreign = worker_python()
    try:
        done = subprocess.run(
            [python, "-P", *arguments], input=request, env=worker_environment(foreign=foreign), capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    except OSError as error:
        raise ChildProcessError(f"it cannot be started: {error.strerror}") from None
    if done.returncode:
        raise ChildProcessError(done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return answer


class Child:
    """One child process; not for use by several threads at once.

    Args:
        command: What is run: ``python -m COMMAND... SOCKET TITLE [DESCRIPTOR...]``.
        title: What process lists show after ``ferengine:``.
        descriptors: Further open files that it gets.

    Raises:
        ServiceError: The system refuses what it needs.
    """

    def __init__(self, command: Sequence[str], title: str, descriptors: Sequence[int] = ()) -> None:
        python, foreign = worker_python()
        self.title = title
        try:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [python, "-P", "-m", *command, str(theirs.fileno()), title, *map(str, descriptors)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), *descriptors],
                    env=worker_environment(foreign=foreign),
                    process_group=0,
                )
        except OSError as error:
            raise ServiceError(f"{title} cannot be started: {error.strerror}") from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: bytes, timeout: float) -> bytes:
        """Send a request and wait for the answer.

        Raises:
            TimeoutError: It took longer than ``timeout`` seconds. Only ``close`` may follow.
            ServiceError: The child has died. Only ``close`` may follow.
            MissingDependencyError: The child lacks a package, as any other will. Only ``close`` may follow.
        """
        self._socket.settimeout(timeout)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its last words may be there
                send(self._socket, request)
            answer = receive(self._socket)
        except TimeoutError:
            raise
        except OSError:
            answer = None
        if answer is None:
            raise ServiceError(f"the process {self.title!r} has died: try again")
        return answer

    def kill(self) -> None:
        """Have ``ask``, in another thread, fail at once. Only ``close`` may follow."""
        self._process.kill()

    def close(self) -> None:
        """End it; may be called twice."""
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def send(connection: socket.socket, data: bytes) -> None:
    """Send a message with its length."""
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive(connection: socket.socket) -> bytes | None:
    """The next message; ``None`` after the last one. Raises MissingDependencyError where that was what ``say_missing`` sent."""
    head = _exactly(connection, _LENGTH.size)
    if head is None:
        return None
    [length] = _LENGTH.unpack(head)
    message = _exactly(connection, length & ~_LAST_WORDS)
    if message is not None and length & _LAST_WORDS:
        raise MissingDependencyError(message.decode())
    return message


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)


def serve_parent(descriptor: str, title: str, answer: Callable[[bytes], bytes], nice: int = 5) -> None:
    """In the child: answer requests until the parent closes its end, or dies.

    Args:
        descriptor: Of the socket.
        title: As ``Child`` takes it.
        answer: Makes the answer to a request.
        nice: How far it gives way to the pipeline, up to 19.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends this process
    setproctitle(f"ferengine: {title.encode(errors='backslashreplace').decode()}")
    os.nice(nice)
    with socket.socket(fileno=int(descriptor)) as connection:
        try:
            while (request := receive(connection)) is not None:
                send(connection, answer(request))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the parent is gone
    gc.freeze()  # nothing that is left has to be found: it ends sooner


def say_missing(connection: socket.socket, said: str) -> None:
    """In the child: have ``Child.ask`` raise MissingDependencyError with a text, as the last message."""
    text = said.encode()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the parent is gone
        connection.sendall(_LENGTH.pack(len(text) | _LAST_WORDS) + text)
