"""Requests that are refused before their bodies were read: the client sees the answer, not a reset of the connection."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from ferengine import Engine
from service_help import Running, serving

bodies = pytest.importorskip("ferengine.service.bodies", reason="the extra `serve` is not installed")

TOKEN = "a token of some length"
REFUSED = {
    ("POST", "/api/cameras", ""): 401,
    ("POST", "/nothing", TOKEN): 404,
    ("PUT", "/api/health", TOKEN): 405,
    ("GET", "/api/analyze", TOKEN): 405,
    ("POST", "/api/analyze", TOKEN): 404,  # it was not asked for
}
"""Status of the answer by method, path and token."""


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    engine = Engine(keep_open=True)
    with serving(engine, token=TOKEN) as made:
        yield made
    engine.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give clients on a busy machine the time that they need."""
    for name in ("_SMALL_SECONDS", "_DISCARD_SECONDS", "_IDLE_SECONDS"):
        monkeypatch.setattr(bodies, name, 60.0)


class Client:
    """One connection that writes what it is told to, and reads no answer before it is asked to."""

    def __init__(self, running: Running) -> None:
        host, port = running.url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), 30)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def begin(self, method: str, path: str, token: str, *headers: str) -> None:
        shown = [f"Authorization: Bearer {token}"] if token else []
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *shown, *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def answer(self) -> http.client.HTTPResponse:
        made = http.client.HTTPResponse(self.socket)
        made.begin()
        made.read()
        return made


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("method", "path", "token"), REFUSED)
@pytest.mark.parametrize("size", [1, 100_000, bodies.SMALL_BODY])
def test_a_small_body_is_taken_and_the_connection_kept(service: Running, method: str, path: str, token: str, size: int) -> None:
    with Client(service) as client:
        for _ in range(2):
            client.begin(method, path, token, f"Content-Length: {size}")
            time.sleep(0.05)  # long enough to be refused before the body comes
            client.socket.sendall(bytes(size // 2))
            time.sleep(0.05)
            client.socket.sendall(bytes(size - size // 2))
            answer = client.answer()
            assert (answer.status, answer.getheader("Connection")) == (REFUSED[method, path, token], None)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("size", [bodies.SMALL_BODY + 1, 24 << 20])
@pytest.mark.parametrize("announced", [True, False])
def test_a_client_that_writes_a_large_body_first_sees_the_answer(service: Running, size: int, announced: bool) -> None:
    with Client(service) as client:
        client.begin("POST", "/api/cameras", "", f"Content-Length: {size}" if announced else "Transfer-Encoding: chunked")
        left = size
        while left:
            part = min(left, 1 << 20)
            client.socket.sendall(bytes(part) if announced else b"%x\r\n%b\r\n" % (part, bytes(part)))
            time.sleep(0.01)
            left -= part
        if not announced:
            client.socket.sendall(b"0\r\n\r\n")
        time.sleep(0.2)
        answer = client.answer()
        assert (answer.status, answer.getheader("Connection")) == (401, "close")
        assert client.socket.recv(1) == b""


def test_a_body_that_does_not_come_delays_the_answer_by_a_second_at_most(service: Running) -> None:
    with Client(service) as client:
        begun = time.monotonic()
        client.begin("POST", "/nothing", TOKEN, "Content-Length: 10")
        answer = client.answer()
        assert (answer.status, answer.getheader("Connection")) == (404, "close")
        assert 0.9 < time.monotonic() - begun < 25
        assert client.socket.recv(1) == b""  # not kept for ever


def test_what_is_refused_is_not_asked_for(service: Running) -> None:
    with Client(service) as client:
        client.begin("POST", "/nothing", TOKEN, "Content-Length: 10", "Expect: 100-continue")
        assert client.socket.recv(13, socket.MSG_PEEK) == b"HTTP/1.1 404 "  # and not 100
        assert client.answer().getheader("Connection") == "close"


@pytest.mark.usefixtures("patient")
def test_a_body_that_goes_on_and_on_is_given_up(service: Running) -> None:
    sent = 0
    with Client(service) as client:
        client.begin("POST", "/nothing", TOKEN, f"Content-Length: {10 << 30}")
        assert client.answer().status == 404
        with contextlib.suppress(ConnectionError):
            while sent < 1 << 30:
                sent += client.socket.send(bytes(1 << 20))
    assert bodies.MAX_DISCARDED < sent < bodies.MAX_DISCARDED + (64 << 20)


def test_a_stream_takes_no_harm_of_a_body(service: Running) -> None:
    with Client(service) as client:
        client.begin("GET", "/api/results", TOKEN, "Content-Length: 4")
        time.sleep(0.05)
        client.socket.sendall(b"body")
        answer = http.client.HTTPResponse(client.socket)
        answer.begin()
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "text/event-stream; charset=utf-8"
        answer.close()
    deadline = time.monotonic() + 30
    while service.context.hub.listeners:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_upload_ends_with_the_service(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(keep_open=True)
    with contextlib.ExitStack() as clients:
        with serving(engine, analysis={}) as running:
            reading, refused, streaming = (clients.enter_context(Client(running)) for _ in range(3))
            reading.begin("POST", "/api/analyze", "", "Content-Length: 5000000")
            refused.begin("POST", "/nothing", "", "Content-Length: 5000000")
            streaming.begin("GET", "/api/results", "", "Content-Length: 5000000")
            for client in (reading, refused, streaming):
                client.socket.sendall(bytes(1000))
            deadline = time.monotonic() + 30
            while len(running.context.bodies._limits) < 3:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            begun = time.monotonic()
        assert time.monotonic() - begun < 20
        assert [client.answer().status for client in (reading, refused, streaming)] == [503, 404, 200]
    engine.close()
    assert not caplog.records
