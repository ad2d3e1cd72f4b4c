"""Streams by RTMP and UDP, from a sender of the test's own, and SRT, which PyAV's FFmpeg lacks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from io import BytesIO

import av
import numpy as np
import pytest

from ferengine.errors import SourceError
from ferengine.sources import parse_source
from ferengine.sources.stream import StreamSource
from rtmp_help import RtmpServer

FRAMES = 60


def encode(container_format: str) -> bytes:
    """A video of 64x48 at 20 frames/s whose frame i is grey of brightness about 4 i."""
    data = BytesIO()
    with av.open(data, "w", format=container_format) as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 5
        stream.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for index in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * index, np.uint8), format="bgr24")))
        container.mux(stream.encode(None))
    return data.getvalue()


def read_greys(source: StreamSource, frames: int) -> list[float]:
    greys: list[float] = []
    while len(greys) < frames and (frame := source.read()) is not None:
        greys.append(float(frame.image.mean()))
    return greys


@pytest.fixture
def udp_port() -> Iterator[int]:
    """A port to which an endless MPEG-TS is sent, seven packets a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    data, closed = encode("mpegts"), threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not closed.is_set():
                for start in range(0, len(data), 1316):
                    sender.sendto(data[start : start + 1316], ("127.0.0.1", port))
                    time.sleep(0.02)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    yield port
    closed.set()
    thread.join(10)


def test_mpeg_ts_over_udp(udp_port: int) -> None:
    source = StreamSource(f"udp://127.0.0.1:{udp_port}", timeout=30)
    info = source.open()
    assert (info.width, info.height, info.live, info.ends) == (64, 48, True, False)
    greys = read_greys(source, 20)
    assert len(greys) == 20
    assert all(-4 < grey - 4 * round(grey / 4) < 4 and 0 <= grey < 4 * FRAMES for grey in greys)
    source.close()


def test_a_silent_udp_port_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.sources.stream._OPEN_TIMEOUT", 1.0)
    with pytest.raises(SourceError, match=r"udp://127\.0\.0\.1:9/\.\.\. does not answer \(waited \d+ s\)"):
        StreamSource("udp://127.0.0.1:9").open()


def test_rtmp() -> None:
    server = RtmpServer(encode("flv"))
    source = StreamSource(f"rtmp://127.0.0.1:{server.port}/live/secret-key", timeout=30)
    info = source.open()
    assert (info.width, info.height, info.live, info.ends) == (64, 48, True, False)
    assert read_greys(source, 30) == pytest.approx([4 * index for index in range(30)], abs=4)
    source.close()
    server.close()
    with pytest.raises(
        SourceError, match=rf"nothing answers at rtmp://127\.0\.0\.1:{server.port}/\.\.\. \(connection refused\)"
    ):
        StreamSource(f"rtmp://127.0.0.1:{server.port}/live/secret-key").open()


def test_srt_is_refused_with_a_way_out() -> None:
    with pytest.raises(SourceError, match=r"has no SRT: let MediaMTX or go2rtc make RTSP of it, or pipe it \(ffmpeg -i URL"):
        StreamSource("srt://127.0.0.1:9000?passphrase=secret").open()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234/..."),
        ("rtmp://me:secret@host/live/key", "rtmp://host/..."),
        ("srt://host:9000?passphrase=secret", "srt://host:9000/..."),
    ],
)
def test_urls_show_no_keys(url: str, where: str) -> None:
    spec = parse_source(url)
    assert (spec.kind, spec.where, spec.live) == ("stream", where, True)


def test_other_protocols_are_refused() -> None:
    for url in ("ftp://host/a.mp4", "rtp://host:5004", "gopher://host/", "file:///etc/passwd", "concat://a"):
        with pytest.raises(Exception, match=r"streams come from rtsp://, .*udp://, not"):
            parse_source(url)
