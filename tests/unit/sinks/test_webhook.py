"""Events reach a server that fails, in order and at least once; what it refuses is counted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ferengine.errors import UsageError
from ferengine.results import CameraEvent
from ferengine.sinks import outbox
from ferengine.sinks.outbox import Outbox
from ferengine.sinks.webhook import WebhookSink, signature
from results_help import face, result


class Receiver:
    """A server that answers with the status codes it is given, and then with 204."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.seen: list[tuple[int, dict[str, str], Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = receiver.codes.pop(0) if receiver.codes else 204
                receiver.seen.append((code, dict(self.headers), body))
                self.send_response(code)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, messages: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.seen) < messages:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(outbox, "_FIRST_PAUSE", 0.01)
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def feed(sink: WebhookSink) -> None:
    for number in range(10):
        sink.write(result(number, face(1, "happy")))
    sink.write_camera_event(CameraEvent("door", "ended", 5.0))


def test_events_are_posted_signed_and_in_order(receiver: Receiver) -> None:
    sink = WebhookSink(receiver.url.replace("//", "//me:p%40ss@"), b"key")
    feed(sink)
    sink.close()
    assert [json.loads(body)["event"] for _, _, body in receiver.seen] == ["appeared", "left", "ended"]
    for _, headers, body in receiver.seen:
        assert headers["X-Ferengine-Signature"] == f"sha256={signature(b'key', headers['X-Ferengine-Timestamp'], body)}"
        assert headers["Authorization"] == "Basic bWU6cEBzcw=="
        assert abs(int(headers["X-Ferengine-Timestamp"]) - time.time()) < 120
    assert sink.dropped == 0


def test_a_server_that_fails_gets_it_again(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.codes = [500, 429, 503]
    sink = WebhookSink(receiver.url)
    feed(sink)
    receiver.wait(6)
    sink.close()
    sent = [(json.loads(body)["event"], headers["X-Ferengine-Id"]) for _, headers, body in receiver.seen]
    assert [event for event, _ in sent] == 4 * ["appeared"] + ["left", "ended"]
    assert len({id_ for _, id_ in sent}) == 3  # the same one each time
    assert sink.dropped == 0
    assert "it answered 500" in caplog.text
    assert "takes messages again" in caplog.text


def test_what_is_refused_is_counted(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.codes = [400, 302]
    sink = WebhookSink(receiver.url)
    feed(sink)
    sink.close()
    assert len(receiver.seen) == 3
    assert sink.dropped == 2
    assert caplog.text.count("refuses a message (it answered 400)") == 1
    assert "1 messages were sent, and 2 were not" in caplog.text


@pytest.mark.parametrize("drips", [False, True])
def test_a_server_that_hangs_gets_it_again(
    drips: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that answers nothing, or for ever another byte."""
    monkeypatch.setattr(outbox, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr("ferengine.sinks.webhook._SECONDS", 1.0)
    over, ids = threading.Event(), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            ids.append(self.headers["X-Ferengine-Id"])
            if len(ids) > 1:
                self.send_response(204)
                self.end_headers()
                return
            if drips:
                self.wfile.write(b"HTTP/1.1 204 ")
            while not over.wait(0.05):
                if drips:
                    try:
                        self.wfile.write(b"a")
                    except OSError:
                        return

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sink = WebhookSink(f"http://127.0.0.1:{server.server_address[1]}")
        sink.write_camera_event(CameraEvent("door", "ended", 5.0))
        deadline = time.monotonic() + 60
        while len(ids) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        over.set()
        sink.close()
        server.shutdown()
    assert len(set(ids)) == 1
    assert sink.dropped == 0
    assert "takes no messages" in caplog.text


def test_without_a_server_the_end_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.sinks.webhook._PATIENCE", 0.1)
    sink = WebhookSink("http://127.0.0.1:9/hook?key=secret")
    feed(sink)
    sink.close()
    assert sink.dropped == 3


def test_a_full_outbox_drops_the_oldest() -> None:
    gate, got = threading.Event(), []

    def deliver(message: str) -> None:
        gate.wait(30)
        got.append(message)

    box = Outbox("test", deliver, capacity=3)
    for number in range(10):
        box.put(str(number))
    gate.set()
    box.close(30)
    assert got[-3:] == ["7", "8", "9"]
    assert box.sent + box.dropped == 10
    assert box.sent == len(got)


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com", "file:///etc/passwd", "http://"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--webhook"):
        WebhookSink(url)
