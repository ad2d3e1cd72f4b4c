"""Unix sockets between processes: control messages with descriptors, and data messages.

Sequenced packets keep message borders and are delivered whole or not at all, also when a process dies in mid-send.
The engine keeps both ends of every data socket, so what a dead worker had not yet read waits for its successor.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

_BUFFER_BYTES = 1 << 20
MAX_MESSAGE_BYTES = 1 << 18
"""Of a data message: what is longer would be cut off."""

MAX_DESCRIPTORS = 253
"""Descriptors that the kernel lets one message carry (SCM_MAX_FD)."""

_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN})


def data_pair() -> tuple[socket.socket, socket.socket]:
    """A pair (write end, read end) of non-blocking data sockets; either may be shared by several processes."""
    writer, reader = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (writer, reader):
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    return writer, reader


def send_data(end: socket.socket, message: bytes) -> bool:
    """Send one message; False when the receiver's queue is full (try again later)."""
    try:
        end.send(message)
    except BlockingIOError:
        return False
    return True


def receive_data(end: socket.socket) -> bytes | None:
    """The next message, or ``None`` when there is none."""
    try:
        return end.recv(MAX_MESSAGE_BYTES) or None
    except BlockingIOError:
        return None


class ControlChannel:
    """One end of a worker's control socket: messages of bytes, each with descriptors.

    A message that finds the peer's queue full is kept, with duplicates of its descriptors, and sent by ``flush``
    before any later one: the order stays. A peer that is gone is another matter, and raises.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self.on_blocked: Callable[[], None] | None = None
        """Called when the first message has to wait: watch the socket until it is writable, and call ``flush``."""

    @staticmethod
    def pair() -> tuple[ControlChannel, socket.socket]:
        """The engine's end, and the socket that the worker inherits."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return ControlChannel(here), there

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def unsent(self) -> int:
        """Messages that wait for room in the peer's queue."""
        return len(self._unsent)

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send ``message``, or keep it until there is room.

        Args:
            message: The bytes of one message, at most 256 KiB.
            descriptors: The receiver gets its own duplicates of these; they may be closed after the call.

        Raises:
            ConnectionError: The peer is gone.
            ValueError: The message or its descriptors are more than a socket carries.
        """
        if len(message) > MAX_MESSAGE_BYTES or len(descriptors) > MAX_DESCRIPTORS:
            raise ValueError(f"a control message of {len(message)} bytes and {len(descriptors)} descriptors is too large")
        if self._unsent or not self._try_send(message, descriptors):
            self._unsent.append((message, [os.dup(descriptor) for descriptor in descriptors]))
            if len(self._unsent) == 1 and self.on_blocked is not None:
                self.on_blocked()

    def flush(self) -> bool:
        """Send what had to wait, in order; whether nothing is left. Raises ConnectionError when the peer is gone."""
        while self._unsent:
            message, descriptors = self._unsent[0]
            if not self._try_send(message, descriptors):
                return False
            self._unsent.popleft()
            _close_all(descriptors)
        return True

    def drain(self, timeout: float) -> bool:
        """``flush``, waiting at most ``timeout`` seconds for room."""
        deadline = time.monotonic() + timeout
        while not self.flush():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            writable = select.poll()  # select takes no descriptor above 1023
            writable.register(self._end, select.POLLOUT)
            writable.poll(1e3 * left)
        return True

    def wait(self) -> None:
        """Sleep until a message waits or the peer is gone."""
        readable = select.poll()
        readable.register(self._end, select.POLLIN)
        readable.poll()

    def receive(self) -> list[tuple[bytes, list[int]]]:
        """All waiting messages with the descriptors that came along, which are the caller's to close.

        Raises:
            EOFError: The peer is gone, and everything that it had sent was received.
            OSError: Part of a message was cut off, as when this process may open no more files.
        """
        messages: list[tuple[bytes, list[int]]] = []
        while True:
            try:
                data, ancillary, flags, _ = self._end.recvmsg(
                    MAX_MESSAGE_BYTES, socket.CMSG_LEN(MAX_DESCRIPTORS * array.array("i").itemsize)
                )
            except BlockingIOError:
                return messages
            except ConnectionResetError:
                continue  # the peer left messages unread; the error comes before those that it had sent, and only once
            descriptors = _received_descriptors(ancillary)
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                _close_all([*descriptors, *(each for _, others in messages for each in others)])
                raise OSError(errno.EMFILE, "a control message was cut off")
            if not data:
                if messages:
                    return messages
                raise EOFError("the control socket's peer is gone")
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
            messages.append((data, descriptors))

    def close(self) -> None:
        """Close the socket, and drop what had to wait."""
        for _, descriptors in self._unsent:
            _close_all(descriptors)
        self._unsent.clear()
        self._end.close()

    def _try_send(self, message: bytes, descriptors: Sequence[int]) -> bool:
        """Whether there was room. Raises ConnectionError when the peer is gone."""
        ancillary = []
        if descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self._end.sendmsg([message], ancillary)
        except OSError as error:
            if error.errno in _FULL:
                return False
            if error.errno in _GONE:
                raise ConnectionError(error.errno, "the control socket's peer is gone") from None
            raise
        return True


def _received_descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return list(descriptors)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
