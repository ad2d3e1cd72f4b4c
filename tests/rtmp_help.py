"""An RTMP server that plays one FLV recording at its own rate to one client (Adobe, RTMP 1.0, sections 5 to 7)."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time

_HANDSHAKE = 1536
_CHUNK = 1 << 20
_COMMAND = re.compile(rb"\x02\x00(?:\x07(?P<connect>connect)|\x0c(?P<create>createStream)|\x04(?P<play>play))\x00", re.DOTALL)


class RtmpServer:
    """Serves the tags of ``flv``; ``close`` ends it."""

    def __init__(self, flv: bytes) -> None:
        self._flv = flv
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._listening.close()
        self._thread.join(10)

    def _serve(self) -> None:
        try:
            client, _ = self._listening.accept()
            with client:
                self._play(client)
        except OSError:  # the client or the test has closed the connection
            pass

    def _play(self, client: socket.socket) -> None:
        client.settimeout(30)
        hello = _receive(client, 1 + _HANDSHAKE)
        client.sendall(hello[:1] + bytes(_HANDSHAKE) + hello[1:])
        _receive(client, _HANDSHAKE)
        client.sendall(_message(2, 1, struct.pack(">I", _CHUNK)))  # set chunk size
        data = b""
        while True:
            data += client.recv(4096) or _gone()
            while (found := _COMMAND.search(data)) is not None and len(data) >= found.end() + 8:
                transaction = data[found.end() : found.end() + 8]
                data = data[found.end() + 8 :]
                if found["play"]:
                    client.sendall(_message(5, 20, _text("onStatus") + b"\0" + bytes(8) + b"\5" + _STARTED, stream=1))
                    self._send_tags(client)
                    return
                answer = b"\0" + struct.pack(">d", 1) if found["create"] else b"\5"
                client.sendall(_message(3, 20, _text("_result") + b"\0" + transaction + b"\5" + answer))

    def _send_tags(self, client: socket.socket) -> None:
        place, started = 13, time.monotonic()
        while place + 11 <= len(self._flv) and not self._closed.is_set():
            kind, size = self._flv[place], int.from_bytes(self._flv[place + 1 : place + 4], "big")
            stamp = int.from_bytes(self._flv[place + 4 : place + 7], "big")
            time.sleep(max(0.0, started + stamp / 1000 - time.monotonic()))
            client.sendall(_message(6, kind, self._flv[place + 11 : place + 11 + size], stamp, stream=1))
            place += 11 + size + 4


def _text(text: str) -> bytes:
    """An AMF0 string."""
    return b"\2" + struct.pack(">H", len(text)) + text.encode()


_STARTED = (
    b"\3"
    + b"".join(
        _text(name)[1:] + _text(value)
        for name, value in (("level", "status"), ("code", "NetStream.Play.Start"), ("description", "started"))
    )
    + b"\0\0\x09"
)


def _message(chunk_stream: int, kind: int, payload: bytes, stamp: int = 0, stream: int = 0) -> bytes:
    header = bytes([chunk_stream]) + stamp.to_bytes(3, "big") + len(payload).to_bytes(3, "big") + bytes([kind])
    return header + struct.pack("<I", stream) + payload


def _receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += client.recv(size - len(data)) or _gone()
    return data


def _gone() -> bytes:
    raise ConnectionError("the client has gone")
