"""Unix sockets between processes: JSON control messages with descriptors, and binary data messages.

Sequenced packets keep message borders and are delivered whole or not at all, also when a process dies in mid-send.
The engine keeps both ends of every data socket, so what a dead worker had not yet read waits for its successor.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

_BUFFER_BYTES = 1 << 20
_MESSAGE_BYTES = 1 << 18
_MAX_DESCRIPTORS = 64


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
        return end.recv(_MESSAGE_BYTES) or None
    except BlockingIOError:
        return None


class ControlChannel:
    """One end of a worker's control socket: JSON objects, each with descriptors by name."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)

    @staticmethod
    def pair() -> tuple[ControlChannel, socket.socket]:
        """The engine's end, and the socket that the worker inherits."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return ControlChannel(here), there

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: Mapping[str, Any], descriptors: Mapping[str, int] | None = None) -> bool:
        """Send ``message``; the receiver gets its own duplicates of ``descriptors``. False when the peer is gone."""
        names = list(descriptors or {})
        data = json.dumps({**message, "descriptors": names}).encode()
        ancillary = []
        if descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", list(descriptors.values())))]
        try:
            self._end.sendmsg([data], ancillary)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError, OSError):
            return False
        return True

    def receive(self) -> list[tuple[dict[str, Any], dict[str, int]]]:
        """All waiting messages with the descriptors that came along. Raises EOFError when the peer is gone."""
        messages: list[tuple[dict[str, Any], dict[str, int]]] = []
        while True:
            try:
                data, ancillary, _, _ = self._end.recvmsg(
                    _MESSAGE_BYTES, socket.CMSG_LEN(_MAX_DESCRIPTORS * array.array("i").itemsize)
                )
            except BlockingIOError:
                return messages
            except ConnectionResetError:
                data, ancillary = b"", []
            if not data:
                if messages:
                    return messages
                raise EOFError("the control socket's peer is gone")
            descriptors = _received_descriptors(ancillary)
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
            message = json.loads(data)
            messages.append((message, dict(zip(message.pop("descriptors"), descriptors, strict=True))))

    def close(self) -> None:
        self._end.close()


def _received_descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return list(descriptors)
