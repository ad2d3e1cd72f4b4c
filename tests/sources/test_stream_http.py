"""Streams and files over HTTP, against a server of the test's own."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources import stream
from ferengine.sources.base import CapturedFrame
from ferengine.sources.reconnect import Backoff, Disconnected, ReconnectingSource
from ferengine.sources.stream import StreamSource
from ferengine.sources.video import VideoFileSource


def read_all(source: StreamSource | VideoFileSource) -> list[CapturedFrame]:
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    return frames


def test_mjpeg_is_live_and_ends_with_its_server(http: Any, capfd: pytest.CaptureFixture[str]) -> None:
    http.images = [np.full((48, 64, 3), 10 * i, np.uint8) for i in range(20)]
    source = StreamSource(http.url("/mjpeg?user=admin&password=hunter2", "me:secret@"))
    info = source.open()
    assert (info.width, info.height, info.live, info.ends) == (64, 48, True, False)
    frames = read_all(source)
    assert [float(frame.image.mean()) for frame in frames] == pytest.approx([10 * i for i in range(20)], abs=3)
    assert all(before.timestamp < after.timestamp for before, after in pairwise(frames))
    assert source.broken_frames == 0
    source.close()
    source.close()
    assert capfd.readouterr().err == ""


def test_images_of_changing_size_come_as_they_are(http: Any) -> None:
    http.images = [np.zeros((48 + 16 * (i % 3), 64, 3), np.uint8) for i in range(9)]
    source = StreamSource(http.url("/mjpeg"))
    source.open()
    assert [frame.image.shape[0] for frame in read_all(source)] == [48 + 16 * (i % 3) for i in range(9)]


def test_a_file_over_http_equals_the_file(http: Any, make_clip: Callable[..., Path]) -> None:
    path = make_clip()
    http.files["/clip.mp4"] = path.read_bytes()
    source, reference = StreamSource(http.url("/clip.mp4")), VideoFileSource(path)
    info = source.open()
    reference.open()
    assert (info.width, info.height, info.live, info.ends, info.frames) == (160, 120, False, True, 40)
    assert info.fps == pytest.approx(20)
    source.skip(7)
    reference.skip(7)
    mine, its = read_all(source), read_all(reference)
    assert [frame.timestamp for frame in mine] == pytest.approx([frame.timestamp for frame in its], abs=2e-3)
    difference = [np.abs(a.image.astype(int) - b.image).mean() for a, b in zip(mine, its, strict=True)]
    assert max(difference) < 2


def test_a_files_own_rotation(http: Any, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    data = bytearray(make_clip().read_bytes())
    matrix = data.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2
    struct.pack_into(">9i", data, matrix, 0, 1 << 16, 0, -1 << 16, 0, 0, 120 << 16, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    http.files["/clip.mp4"] = bytes(data)
    source, reference = StreamSource(http.url("/clip.mp4")), VideoFileSource(turned)
    for opened in (source.open(), reference.open()):
        assert (opened.width, opened.height) == (120, 160)
    mine, its = source.read(), reference.read()
    assert mine is not None
    assert its is not None
    assert np.abs(mine.image.astype(int) - its.image).mean() < 2


def test_a_file_that_breaks_off_goes_on_where_it_was(http: Any, make_clip: Callable[..., Path]) -> None:
    http.files["/clip.mp4"] = make_clip(frames=200).read_bytes()
    http.cut = 1
    backoff = Backoff(draw=lambda low, high: 0.0)
    source = ReconnectingSource(lambda: StreamSource(http.url("/clip.mp4")), "disconnected", threading.Event(), backoff=backoff)
    items = list(source)
    stamps = [item.timestamp for item in items if isinstance(item, CapturedFrame)]
    assert stamps == pytest.approx([i / 20 for i in range(200)], abs=2e-3)
    assert sum(isinstance(item, Disconnected) for item in items) == 1


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("credentials", ["", "admin:hunter2@", "admin:p%40ss@"])
def test_refused_credentials(http: Any, code: int, credentials: str, capfd: pytest.CaptureFixture[str]) -> None:
    http.credentials, http.code = "admin:right", code
    with pytest.raises(CredentialsError, match=rf"refuses the user name and password \({code}\)") as caught:
        StreamSource(http.url("/mjpeg", credentials)).open()
    shown = f"{caught.value!r} {caught.value.__cause__} {capfd.readouterr()}"
    assert not any(secret in shown for secret in ("admin", "hunter2", "p%40ss", "p@ss"))
    assert caught.value.__suppress_context__


def test_percent_encoded_credentials_are_decoded(http: Any) -> None:
    http.credentials = "me:p@ss/w"
    http.images = [np.zeros((48, 64, 3), np.uint8)] * 5
    source = StreamSource(http.url("/mjpeg", "me:p%40ss%2Fw@"))
    assert source.open().live
    source.close()


def test_url_that_is_no_stream_is_refused_with_the_reason(
    http: Any, make_clip: Callable[..., Path], silent_port: int, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_OPEN_TIMEOUT", 0.6)
    http.files["/text.mp4"] = b"This is no video at all.\n" * 100
    http.files["/unknown.mp4"] = make_clip().read_bytes().replace(b"avc1", b"zzzz")
    secret = "admin:hunter2@"
    for url, reason in (
        (http.url("/absent", secret), r"no such stream \(404\)"),
        (http.url("/text.mp4", secret), "not with a readable video"),
        (http.url("/unknown.mp4", secret), "codec that FFmpeg cannot decode"),
        (f"http://{secret}127.0.0.1:{unused_port}/", "nothing answers"),
        (f"http://{secret}127.0.0.1:{silent_port}/", "does not answer"),
        (f"rtsp://{secret}127.0.0.1:{silent_port}/", "does not answer"),
        (f"rtsp://{secret}127.0.0.1:{unused_port}/", "nothing answers"),
        (f"http://{secret}no-such-host.invalid/", "there is no host no-such-host.invalid"),
    ):
        with pytest.raises(SourceError, match=reason) as caught:
            StreamSource(url).open()
        assert not isinstance(caught.value, CredentialsError)
        assert not any(word in str(caught.value) for word in ("admin", "hunter2"))


def unfinished_recording(path: Path, original: Path) -> bytes:
    """The file as a recorder writes it that cannot go back: Matroska without a duration."""
    with av.open(str(original)) as container, av.open(str(path), "w", format="matroska", options={"live": "1"}) as recorder:
        stream = recorder.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                recorder.mux(packet)
    return path.read_bytes()


def test_a_recording_without_a_duration_ends(http: Any, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    for frames in (40, 400):
        http.files["/clip.mkv"] = unfinished_recording(tmp_path / "clip.mkv", make_clip(frames=frames))
        source = StreamSource(http.url("/clip.mkv"))
        info = source.open()
        assert (info.live, info.ends) == (False, True)
        stamps = [frame.timestamp for frame in read_all(source)]
        assert stamps == pytest.approx([i / 20 for i in range(frames)], abs=2e-3)


class WithoutLength(BaseHTTPRequestHandler):
    """Answers as HTTP 1.0 may: no length, and the end is that the connection is closed."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


class Paused(WithoutLength):
    """Answers in so many pieces, with a pause of so many seconds before each but the first."""

    pieces, pause = 1, 0.0

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        step = -(-len(self.content) // self.pieces)
        for start in range(0, len(self.content), step):
            time.sleep(self.pause if start else 0)
            self.wfile.write(self.content[start : start + step])


@pytest.mark.parametrize(
    ("frames", "pieces", "pause"),
    [(100, 2, 1.2), (100, 3, 1.2), (240, 4, 1.2), pytest.param(200, 60, 0.05, id="a slow reader")],
)
def test_a_recording_whose_server_hesitates_is_no_camera(
    frames: int, pieces: int, pause: float, make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Paused, "pieces", pieces)
    monkeypatch.setattr(Paused, "pause", pause)
    with serving(Paused, unfinished_recording(tmp_path / "clip.mkv", make_clip(320, 240, frames=frames))) as url:
        source = StreamSource(f"{url}/clip.mkv")
        assert not source.open().live
        assert len(read_all(source)) == frames


def test_a_camera_is_live_whose_first_seconds_come_at_once(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """It sends two seconds at once, those since its last key frame, and from then on as fast as it films."""
    frames, rate, ahead = 200, 20, 40
    content = unfinished_recording(tmp_path / "clip.mkv", make_clip(320, 240, frames=frames))

    class Camera(WithoutLength):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            each = len(content) // frames
            self.wfile.write(content[: ahead * each])
            with contextlib.suppress(ConnectionError):
                for start in range(ahead * each, len(content), each):
                    time.sleep(1 / rate)
                    self.wfile.write(content[start : start + each])

    with serving(Camera, b"") as url:
        source = StreamSource(f"{url}/clip.mkv")
        assert source.open().live
        source.close()


class InChunks(WithoutLength):
    """Breaks off in the middle of a chunk."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s" % (2 * len(self.content), self.content))
        self.close_connection = True


class WithLength(WithoutLength):
    """Says how much it sends, and sends it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)


@pytest.mark.parametrize("name", ["clip.ts", "clip.flv", "clip.mkv"])
@pytest.mark.parametrize("answer", [WithLength, WithoutLength])
def test_a_file_that_is_cut_off_says_so(
    name: str, answer: type[WithoutLength], make_clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    content = make_clip(frames=80, name=name).read_bytes()
    with av.open(io.BytesIO(content)) as container:
        last = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe and packet.pos is not None][-1]
    ends = len(content) // 2 if name == "clip.mkv" else last + 5 * 188
    with serving(answer, content[:ends]) as url:
        source = StreamSource(f"{url}/{name}")
        source.open()
        assert 0 < len(read_all(source)) < 80
    assert source.truncated
    found = r"it declares 4.0 s and ends at [12]\.\d s" if name == "clip.mkv" else "it ends in the middle of a frame"
    assert re.search(f"is cut off: {found}", caplog.text)


@contextlib.contextmanager
def serving(answer: type[WithoutLength], content: bytes) -> Iterator[str]:
    """Answers every request with ``content``; gives the URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (answer,), {"content": content})) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("answer", [InChunks, WithoutLength])
def test_an_end_that_was_not_announced_is_said(
    answer: type[WithoutLength], make_clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    content = make_clip(320, 240, 200, name="clip.ts").read_bytes()
    with av.open(io.BytesIO(content)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe and packet.pos is not None]
    with serving(answer, content[: places[len(places) // 2]]) as url:  # whole frames
        source = StreamSource(f"{url}/clip.ts")
        source.open()
        assert 0 < len(read_all(source)) < 200
    assert not source.truncated
    assert "ended without having said how much it sends: what came may not be all" in caplog.text


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.flv", "a.avi"])
def test_a_file_that_ends_with_its_connection_is_complete(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FFmpeg calls that an error; the frames that its decoder holds back for their order come all the same."""
    with av.open(str(tmp_path / name), "w") as container:
        recorded = container.add_stream("libx264", rate=25)
        recorded.width, recorded.height, recorded.pix_fmt = 96, 64, "yuv420p"
        recorded.codec_context.max_b_frames = 2
        for index in range(60):
            image = np.full((64, 96, 3), 4 * index, np.uint8)
            container.mux(recorded.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(recorded.encode(None))
    with serving(WithoutLength, (tmp_path / name).read_bytes()) as url:
        source = StreamSource(f"{url}/{name}")
        assert not source.open().live
        frames = read_all(source)
    assert np.diff([frame.timestamp for frame in frames]) == pytest.approx(np.full(59, 0.04), abs=2e-3)
    assert [float(frame.image.mean()) for frame in frames] == pytest.approx([4 * index for index in range(60)], abs=4)
    assert source.broken_frames == 0
    assert not source.truncated
    assert ("what came may not be all" in caplog.text) == (name == "a.ts")  # the others declare how long they are


def test_redirects_stay_on_their_host(http: Any, make_clip: Callable[..., Path]) -> None:
    http.files["/clip.mp4"] = make_clip().read_bytes()
    http.redirects = {"/here": "/clip.mp4", "/away": f"http://localhost:{http.server_port}/clip.mp4", "/circle": "/circle"}
    source = StreamSource(http.url("/here", "me:hunter2@"))
    assert source.open().frames == 40
    source.close()
    for path, reason in (("/away", "redirects to http://localhost:.* is not followed"), ("/circle", "in a circle")):
        with pytest.raises(SourceError, match=reason) as caught:
            StreamSource(http.url(path, "me:hunter2@")).open()
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("path", ["/live", "/live.m3u8"])
def test_a_playlist_opens_no_local_file(path: str, http: Any, make_clip: Callable[..., Path]) -> None:
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2,\nfile://{make_clip()}\n#EXT-X-ENDLIST\n"
    http.files[path] = playlist.encode()
    with pytest.raises(SourceError):
        StreamSource(http.url(path)).open()
