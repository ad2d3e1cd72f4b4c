"""With blur, no image that leaves the service shows a face."""

from __future__ import annotations

import io

import av
import httpx
import pytest

from ferengine import Engine
from ferengine.detection.mtcnn import MtcnnDetector
from service_help import demo, serving, until

websockets = pytest.importorskip("websockets", reason="the extra `serve` is not installed")


def test_snapshots_and_video_show_no_face() -> None:
    detector, faces = MtcnnDetector(), []
    with Engine([demo("door", size="640x480")], keep_open=True, blur=True) as engine, serving(engine) as running:
        engine.subscribe(lambda result: faces.append(len(result.faces)))
        until(lambda: sum(faces) > 10)
        with httpx.Client(base_url=running.url, timeout=60) as web:
            snapshot = web.get("/api/cameras/door/snapshot.jpg").content
            data = b""
            with web.stream("GET", "/api/cameras/door/video.mjpeg") as stream:
                for part in stream.iter_bytes():
                    data += part
                    if data.count(b"--ferengine\r\n") > 4:
                        break
    images = [snapshot, *(b"\xff\xd8\xff" + part for part in data.split(b"\xff\xd8\xff")[1:4])]
    for jpeg in images:
        with av.open(io.BytesIO(jpeg), format="mjpeg") as file:
            image = next(file.decode(video=0)).to_ndarray(format="bgr24")
        assert image.std() > 10
        assert len(detector.detect(image).boxes) == 0
