"""RTSP servers that lead elsewhere."""

from __future__ import annotations

import hashlib
import re
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.credentials import answer_challenge
from ferengine.sources.redirects import redirect_target
from ferengine.sources.stream import StreamSource


class _Redirecting(socketserver.ThreadingTCPServer):
    """Answers each request with ``answer``."""

    allow_reuse_address = True
    daemon_threads = True
    answer = b""
    later: bytes | None = None
    """The answer to the second and further requests of a connection, which is closed after the first where it is None."""

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
        while self.server.later is not None and (request := self.request.recv(4096)):
            self.server.requests.append(request)
            self.request.sendall(self.server.later)


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


BASIC = b'RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm="cam"\r\n\r\n'
DIGEST = b'RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm="cam", nonce="a1b2"\r\n\r\n'


@pytest.mark.parametrize("challenge", [BASIC, DIGEST])
def test_redirect_that_comes_once_the_credentials_are_given_is_refused(challenge: bytes, server: Any) -> None:
    server.answer, server.later = challenge, answer("rtsp://10.9.8.7/live")
    with pytest.raises(SourceError, match=r"redirects to .* is not followed"):
        StreamSource(f"rtsp://me:hunter2@127.0.0.1:{server.port}/live", timeout=30).open()
    assert [b"Authorization" in request for request in server.requests] == [False, True]


def test_refused_credentials_are_sent_once(server: Any) -> None:
    """Some cameras lock the account after a few wrong ones."""
    server.answer = server.later = DIGEST
    with pytest.raises(CredentialsError, match="refuses the user name and password"):
        StreamSource(f"rtsp://me:hunter2@127.0.0.1:{server.port}/live", timeout=30).open()
    assert sum(b"Authorization" in request for request in server.requests) == 1


def test_digest_is_that_of_the_standard() -> None:
    """The response of RFC 2617, section 3.5, for the method DESCRIBE, with and without a quality of protection."""
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"'
    given = answer_challenge([challenge], "Mufasa", "Circle Of Life", "DESCRIBE", "rtsp://host/dir")
    secret = hashlib.md5(b"Mufasa:testrealm@host.com:Circle Of Life").hexdigest()
    asked = hashlib.md5(b"DESCRIBE:rtsp://host/dir").hexdigest()
    assert secret == "939e7578ed9e3c518a452acee763bce9"  # the standard's own
    proof = hashlib.md5(f"{secret}:dcd98b7102dd2f0e8b11d0f600bfb0c093:{asked}".encode()).hexdigest()
    assert given is not None
    assert f'response="{proof}"' in given
    assert 'opaque="5ccc"' in given
    longer = answer_challenge([challenge + ', qop="auth,auth-int"'], "Mufasa", "Circle Of Life", "DESCRIBE", "rtsp://host/dir")
    assert longer is not None
    found = re.search(r'nc=00000001, cnonce="(\w+)", response="(\w+)"', longer)
    assert found is not None
    whole = f"{secret}:dcd98b7102dd2f0e8b11d0f600bfb0c093:00000001:{found[1]}:auth:{asked}"
    assert found[2] == hashlib.md5(whole.encode()).hexdigest()
    assert answer_challenge(['Digest nonce="a", algorithm=SHA-256', "Negotiate"], "a", "b", "DESCRIBE", "rtsp://host/") is None
