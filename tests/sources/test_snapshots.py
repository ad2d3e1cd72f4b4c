"""Still images over HTTP, asked for again and again, from a server of the test's own."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import numpy as np
import pytest

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources import open_source, parse_source
from ferengine.sources.base import Source
from ferengine.vision import cv2


class Camera(ThreadingHTTPServer):
    """Gives at any path an image whose intensity is ten times the number of those before.

    ``broken``: the numbers of images that are no images. ``cut``: those of which half is sent. ``keeps``: whether connections
    are kept. ``digest``: whether user and password are asked for, me:secret. ``redirects``: where paths lead.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.suffix = ".jpg"
        self.kind = "image/jpeg"
        self.count = 0
        self.broken: set[int] = set()
        self.cut: set[int] = set()
        self.keeps = True
        self.digest = False
        self.redirects: dict[str, str] = {}
        self.connections: set[tuple[str, int]] = set()

    def open(self, path: str = "/snap.jpg", *, user: str = "", fps: float = 1000) -> Source:
        return open_source(parse_source(f"http://{user}127.0.0.1:{self.server_port}{path}", fps=fps))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Camera

    def do_GET(self) -> None:
        camera = self.server
        probing = "Lavf" in self.headers.get("User-Agent", "")  # FFmpeg, which finds out what it is
        if not probing:
            camera.connections.add(self.client_address)
        if self.path in camera.redirects:
            self.reply(b"", code=302, Location=camera.redirects[self.path])
        elif camera.digest and not self.is_allowed():
            challenge = 'Digest realm="a", nonce="b", qop="auth"'
            self.reply(b"who?", code=401, **{"WWW-Authenticate": challenge})
        elif probing:
            self.reply(self.image(0))
        else:
            number, camera.count = camera.count, camera.count + 1
            data = b"torn" if number in camera.broken else self.image(number)
            self.reply(data, cut=number in camera.cut)

    def image(self, number: int) -> bytes:
        return bytes(cv2.imencode(self.server.suffix, np.full((48, 64, 3), 10 * number, np.uint8))[1])

    def is_allowed(self) -> bool:
        given = dict(re.findall(r'(\w+)="?([^",]*)', self.headers.get("Authorization", "")))
        secret, asked = (hashlib.md5(text.encode()).hexdigest() for text in ("me:a:secret", f"GET:{self.path}"))
        proof = f"{secret}:b:00000001:{given.get('cnonce')}:auth:{asked}"
        return given.get("response") == hashlib.md5(proof.encode()).hexdigest()

    def reply(self, data: bytes, code: int = 200, *, cut: bool = False, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": self.server.kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut or not self.server.keeps

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def camera() -> Iterator[Camera]:
    server = Camera()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def take(source: Source, count: int) -> list[float]:
    """The intensity of the next frames, whose time stamps increase."""
    frames = []
    for _ in range(count):
        frame = source.read()
        assert frame is not None
        frames.append((frame.timestamp, float(frame.image.mean())))
    assert all(before[0] < after[0] for before, after in pairwise(frames))
    return [intensity for _, intensity in frames]


@pytest.mark.parametrize(("path", "suffix", "keeps"), [
    ("/snap.jpg", ".jpg", True), ("/snapshot", ".jpg", False), ("/cgi?name=a.jpg", ".jpg", False), ("/picture", ".png", True),
    ("/picture", ".webp", True),
])  # fmt: skip
def test_still_images_are_a_live_camera(camera: Camera, path: str, suffix: str, keeps: bool) -> None:
    camera.suffix, camera.kind, camera.keeps = suffix, f"image/{suffix[1:]}", keeps
    source = camera.open(path)
    info = source.open()
    assert (info.width, info.height, info.fps, info.live, info.ends) == (64, 48, 1000, True, False)
    assert take(source, 5) == pytest.approx([0, 10, 20, 30, 40], abs=2)
    assert source.broken_frames == 0
    assert len(camera.connections) == (1 if keeps else 5)
    source.close()
    source.close()


def test_images_are_asked_for_at_the_rate(camera: Camera) -> None:
    waited = []
    spec = parse_source(f"http://127.0.0.1:{camera.server_port}/snap.jpg", fps=0.5)
    source = open_source(spec, sleep=waited.append, stopped=lambda: len(waited) == 7)
    assert source.open().fps == 0.5
    assert source.read() is not None
    assert source.read() is None  # stopped while it waits
    assert waited == [pytest.approx(0.1)] * 7
    assert camera.count == 1


def test_without_a_rate_there_are_two_a_second(camera: Camera) -> None:
    source = open_source(parse_source(f"http://127.0.0.1:{camera.server_port}/snap.jpg"))
    assert source.open().fps == 2


def test_images_that_cannot_be_decoded_are_counted(camera: Camera) -> None:
    camera.broken = {2, 3}
    source = camera.open()
    source.open()
    assert take(source, 4) == pytest.approx([0, 10, 40, 50], abs=2)
    assert source.broken_frames == 2
    camera.broken = set(range(100))
    with pytest.raises(SourceError, match="no longer with images that can be decoded"):
        source.read()
    assert source.broken_frames == 7


def test_an_image_that_breaks_off_disconnects(camera: Camera) -> None:
    camera.cut = {1, 2}  # also over the new connection
    source = camera.open()
    source.open()
    take(source, 1)
    with pytest.raises(SourceError, match="broke off: its image is cut off"):
        source.read()


def test_password_of_a_snapshot_is_digested_and_not_shown(camera: Camera) -> None:
    camera.digest = True
    source = camera.open("/snap.jpg?channel=1", user="me:secret@")
    source.open()
    assert take(source, 3) == pytest.approx([0, 10, 20], abs=2)
    for user in ("", "me:hunter2@"):
        with pytest.raises(CredentialsError, match=r"refuses the user name and password \(401\)") as caught:
            camera.open("/snap.jpg", user=user).open()
        assert "hunter2" not in str(caught.value)


def test_redirects_of_a_snapshot_stay_on_their_host(camera: Camera) -> None:
    camera.redirects = {"/a.jpg": "/b.jpg", "/c.jpg": "http://localhost:1/b.jpg", "/d.jpg": "/d.jpg"}
    source = camera.open("/a.jpg")
    source.open()
    assert take(source, 2) == pytest.approx([0, 10], abs=2)
    for path, reason in (("/c.jpg", "redirects to http://localhost:1/... is not followed|which is not followed"),
                         ("/d.jpg", "in a circle")):  # fmt: skip
        with pytest.raises(SourceError, match=reason):
            camera.open(path).open()


def test_what_is_no_image_keeps_the_first_reason(camera: Camera) -> None:
    camera.suffix, camera.kind = ".png", "text/html"
    with pytest.raises(SourceError, match="a playlist or another format that is not read from this URL"):
        camera.open("/page.png").open()
    camera.kind, camera.broken = "image/png", {camera.count}
    with pytest.raises(SourceError, match="a playlist or another format that is not read from this URL"):
        camera.open("/page.png").open()


def test_an_image_too_large_is_refused_before_it_is_decoded(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = b"P6\n100000 100000\n255\n" + bytes(100)
    monkeypatch.setattr(Handler, "image", lambda self, number: bomb)
    camera.suffix = ".ppm"
    with pytest.raises(SourceError, match="100000x100000 pixels"):
        camera.open("/snap.ppm").open()
