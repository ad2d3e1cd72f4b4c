"""Streams from a real RTSP server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.stream import StreamSource


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_images_until_the_server_stops(rtsp: Any, make_clip: Callable[..., Path], transport: str) -> None:
    rtsp.start(make_clip(frames=400))
    source = StreamSource(rtsp.url(), timeout=0.5, transport=transport)
    info = source.open()
    assert (info.width, info.height, info.live, info.ends) == (160, 120, True, False)
    assert info.fps == pytest.approx(20)
    frames = [source.read() for _ in range(8)]
    stamps = [frame.timestamp for frame in frames if frame is not None]
    assert len(stamps) == 8
    assert all(before < after for before, after in pairwise(stamps))
    assert abs(time.time() - stamps[-1]) < 5
    assert source.broken_frames == 0
    rtsp.stop()
    with contextlib.suppress(SourceError):  # or the connection is reset
        _read_on(source)
    source.close()


def _read_on(source: StreamSource) -> None:
    """Read to the end."""
    while source.read() is not None:
        pass


def test_a_stall_is_a_loss(rtsp: Any, make_clip: Callable[..., Path]) -> None:
    rtsp.start(make_clip(frames=400), "me", "p@ss")
    source = StreamSource(rtsp.url("me:p%40ss@"), timeout=0.4)
    source.open()
    rtsp.pause()
    with pytest.raises(SourceError, match="stopped sending frames") as caught:
        _read_on(source)
    assert not any(secret in str(caught.value) for secret in ("p@ss", "p%40ss"))


@pytest.mark.parametrize("credentials", ["", "me:wrong@", "me:wrong%40@"])
def test_refused_credentials(rtsp: Any, make_clip: Callable[..., Path], credentials: str) -> None:
    rtsp.start(make_clip(frames=400), "me", "right")
    with pytest.raises(CredentialsError, match="401") as caught:
        StreamSource(rtsp.url(credentials)).open()
    assert "wrong" not in f"{caught.value}{caught.value.__cause__}"


def test_no_such_stream(rtsp: Any, make_clip: Callable[..., Path]) -> None:
    rtsp.start(make_clip(frames=400))
    with pytest.raises(SourceError, match="404"):
        StreamSource(rtsp.url() + "/other").open()
