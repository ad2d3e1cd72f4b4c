"""RTSP servers that lead elsewhere."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ferengine.errors import SourceError
from ferengine.sources.redirects import redirect_target
from ferengine.sources.stream import StreamSource


class _Redirecting(socketserver.ThreadingTCPServer):
    """Answers each request with ``answer``."""

    allow_reuse_address = True
    daemon_threads = True
    answer = b""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(socketserver.BaseRequestHandler):
    server: _Redirecting

    def handle(self) -> None:
        self.server.requests.append(self.request.recv(4096))
        self.request.sendall(self.server.answer)


@pytest.fixture
def server() -> Iterator[_Redirecting]:
    with _Redirecting() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer(location: str, status: str = "302 Moved") -> bytes:
    return f"RTSP/1.0 {status}\r\nCSeq: 1\r\nLocation: {location}\r\n\r\n".encode()


@pytest.mark.parametrize("location", ["rtsp://10.9.8.7/live?key=hunter2", "http://127.0.0.1/live", "file:///etc/passwd"])
def test_redirects_to_elsewhere_are_refused(location: str, server: Any) -> None:
    server.answer = answer(location)
    with pytest.raises(SourceError, match=r"redirects to .* is not followed") as caught:
        StreamSource(f"rtsp://me:hunter2@127.0.0.1:{server.port}/live", timeout=30).open()
    assert "hunter2" not in str(caught.value)
    assert len(server.requests) == 1
    assert b"hunter2" not in server.requests[0]


def test_redirects_on_the_same_host_are_followed(server: Any) -> None:
    server.answer = answer(f"rtsp://127.0.0.1:{server.port}/other")
    url = f"rtsp://me:hunter2@127.0.0.1:{server.port}/live"
    assert redirect_target(url, 30) == f"rtsp://me:hunter2@127.0.0.1:{server.port}/other"
    with pytest.raises(SourceError, match="in a circle"):
        StreamSource(url, timeout=30).open()


@pytest.mark.parametrize(
    "reply", [b"", b"\xff" * 100, b"RTSP/1.0 200 OK\r\n\r\n", answer("rtsp://10.9.8.7/", "401 Unauthorized")]
)
def test_other_answers_are_left_to_ffmpeg(reply: bytes, server: Any) -> None:
    server.answer = reply
    assert redirect_target(f"rtsp://127.0.0.1:{server.port}/live", 30) is None
