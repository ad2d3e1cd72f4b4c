"""Servers that the tests of the sources start: RTSP, HTTP, and one that says nothing."""

from __future__ import annotations

import base64
import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine.vision import cv2

_SYSTEM_PYTHON = "/usr/bin/python3"  # the one that sees Debian's python3-gi
_RTSP_PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"

MakeClip = Callable[..., Path]


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """Writes an H.264 file of ``frames`` images of moving patches without faces, ``width`` x ``height`` at ``fps``."""
    folder = tmp_path_factory.mktemp("clips")

    def make(width: int = 160, height: int = 120, frames: int = 40, fps: int = 20, name: str = "") -> Path:
        kind = f"{width}x{height}-{frames}-{fps}"
        path = folder / kind / (name or f"{kind}.mp4")  # one name may be wanted of several kinds
        if path.exists():
            return path
        path.parent.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        patches = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.gop_size = 5
            # One slice an image: the RTSP server sends each slice as an image of its own.
            stream.codec_context.options = {"preset": "ultrafast", "x264-params": "slices=1:sliced-threads=0:bframes=0"}
            for index in range(frames):
                image = np.roll(patches, 4 * index, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            container.mux(stream.encode(None))
        return path

    return make


class RtspServer:
    """GStreamer's RTSP server on a port that stays the same over its lives."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    def url(self, credentials: str = "") -> str:
        return f"rtsp://{credentials}127.0.0.1:{self.port}/live"

    def start(self, clip: Path, *credentials: str) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        command = [_SYSTEM_PYTHON, str(script), str(clip), str(self.port), *credentials]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            pytest.fail(f"the RTSP server does not start: {self._process.communicate()[1]}")

    def pause(self) -> None:
        """Says nothing more, but keeps its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    """A real RTSP server, not yet started; the test is skipped, by name, where Debian's packages are missing."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    try:
        found = subprocess.run([_SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0
    except OSError:
        found = False
    if not found:
        pytest.skip(f"no RTSP server to test against: apt-get install {_RTSP_PACKAGES}")
    server = RtspServer()
    yield server
    server.stop()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class HttpServer(ThreadingHTTPServer):
    """Serves the bytes in ``files``, and at /mjpeg ``images`` as a stream; asks for ``credentials`` where set.

    ``cut``: the first so many answers with a file break off after half of it.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.images: list[np.ndarray] = []
        self.credentials = ""
        self.code = 401
        self.cut = 0
        self.redirects: dict[str, str] = {}
        self.requests: list[str] = []

    def url(self, path: str, credentials: str = "") -> str:
        return f"http://{credentials}127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpServer

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(self.path)
        wanted = base64.b64encode(server.credentials.encode()).decode()
        if server.credentials and self.headers["Authorization"] != f"Basic {wanted}":
            self.send_response(server.code)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.partition("?")[0] == "/mjpeg":
            with contextlib.suppress(OSError):
                self._send_images()
        elif self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path in server.files:
            with contextlib.suppress(OSError):
                self._send_file(server.files[self.path])
        else:
            self.send_error(404)

    def _send_images(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for image in self.server.images:
            data = cv2.imencode(".jpg", image)[1].tobytes()
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n")
            time.sleep(0.02)

    def _send_file(self, data: bytes) -> None:
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.server.cut > 0:
            self.server.cut -= 1
            self.wfile.write(data[start : start + (len(data) - start) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data[start:])


@pytest.fixture
def http() -> Iterator[HttpServer]:
    server = HttpServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def unused_port() -> int:
    return free_port()
