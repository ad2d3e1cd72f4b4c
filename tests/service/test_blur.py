"""With blur, no image that leaves the service shows a face, also none that is ignored."""

from __future__ import annotations

import io
import struct
from typing import Any

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Engine, Zone
from ferengine.detection.mtcnn import MtcnnDetector
from ferengine.vision import cv2
from service_help import demo, serving, snapshot_of, until

connect = pytest.importorskip("websockets.sync.client", reason="the extra `serve` is not installed").connect


def fragment_of(message: Any) -> bytes:
    """The bytes of the video in a message of the live video."""
    [size] = struct.unpack_from(">I", message)
    return bytes(message[4 + size :])


def shows_a_face(detector: MtcnnDetector, image: NDArray[np.uint8]) -> bool:
    """Those of the demo have 0.99 and more; a collar below a blurred face may have 0.8."""
    return bool((detector.detect(image).scores > 0.9).any())


def test_an_image_that_is_analysed_does_not_come_back() -> None:
    from ferengine.sources.demo.portraits import ASTRONAUT

    ok, jpeg = cv2.imencode(".jpg", ASTRONAUT.load())
    assert ok
    with Engine(keep_open=True, blur=True) as engine, serving(engine, analysis={}) as running:
        answer = httpx.post(f"{running.url}/api/analyze", content=jpeg.tobytes(), timeout=120)
    record = answer.json()
    assert len(record["faces"]) == 1
    assert set(record) <= {"width", "height", "faces", "prior"}
    assert len(answer.content) < 2000  # numbers and labels: no room for an image


def test_snapshots_and_video_show_no_face() -> None:
    left = Zone(name="left", kind="ignore", points=[(0, 0), (0.5, 0), (0.5, 1), (0, 1)])
    detector, faces = MtcnnDetector(), []
    with Engine([demo("door", size="640x480", zones=[left])], keep_open=True, blur=True) as engine, serving(engine) as running:
        engine.subscribe(lambda result: faces.append((len(result.faces), len(result.ignored))))
        until(lambda: sum(seen for seen, _ in faces) > 10 and sum(ignored for _, ignored in faces) > 10)
        with httpx.Client(base_url=running.url, timeout=60) as web:
            snapshot = snapshot_of(web, "door").content
            data = b""
            with web.stream("GET", "/api/cameras/door/video.mjpeg") as stream:
                for part in stream.iter_bytes():
                    data += part
                    if data.count(b"--ferengine\r\n") > 4:
                        break
        with connect(f"{running.url.replace('http', 'ws')}/api/cameras/door/video", max_size=None) as socket:
            video = b"".join(fragment_of(socket.recv(60)) for _ in range(6))
    with av.open(io.BytesIO(video)) as file:
        frames = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
    assert len(frames) == 5
    assert not any(shows_a_face(detector, image) for image in frames)
    assert min(image.std() for image in frames) > 10
    images = [snapshot, *(b"\xff\xd8\xff" + part for part in data.split(b"\xff\xd8\xff")[1:4])]
    for jpeg in images:
        with av.open(io.BytesIO(jpeg), format="mjpeg") as file:
            image = next(file.decode(video=0)).to_ndarray(format="bgr24")
        assert image.std() > 10
        assert not shows_a_face(detector, image)
