"""Everything that the service says of a face names the class prior that it was read under."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import httpx
import numpy as np
import pytest

from ferengine import Engine
from ferengine.errors import UsageError
from ferengine.results import CameraEvent
from ferengine.vision import cv2
from service_help import demo, serving, until

connect = pytest.importorskip("websockets.sync.client", reason="the extra `serve` is not installed").connect


def test_results_video_events_and_images_name_the_prior() -> None:
    """``adapt`` is of cameras: an image is read under what every camera starts from."""
    from ferengine.sources.demo.portraits import ASTRONAUT

    ok, jpeg = cv2.imencode(".jpg", ASTRONAUT.load())
    assert ok
    with (
        Engine([demo("door")], keep_open=True, prior="adapt") as engine,
        serving(engine, analysis={"prior": "adapt"}) as running,
    ):
        address = f"{running.url.replace('http', 'ws')}/api"
        with connect(f"{address}/events") as events, connect(f"{address}/results") as results:
            until(lambda: running.context.hub.listeners == 2)
            running.context.hub.note_camera_event(CameraEvent("hall", "started", 1.0))
            assert json.loads(results.recv(60))["prior"] == "adapt"
            while (event := json.loads(events.recv(60)))["event"] != "started":
                assert "prior" not in event
            assert (event["camera"], event["prior"]) == ("hall", "adapt")
        with connect(f"{address}/cameras/door/video") as video:
            video.recv(60)  # how it is encoded
            message = video.recv(60)
            assert isinstance(message, bytes)
            [size] = struct.unpack_from(">I", message)
            assert json.loads(message[4 : 4 + size])["result"]["prior"] == "adapt"
        answer = httpx.post(f"{running.url}/api/analyze", content=jpeg.tobytes(), timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.json()["prior"] == "everyday"
    assert len(answer.json()["faces"]) == 1


def test_images_are_not_read_under_a_prior_whose_file_was_changed(tmp_path: Path) -> None:
    """The cameras are under what it held when the service began, and both would have its name."""
    labels = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    prior = tmp_path / "mine.json"
    ok, jpeg = cv2.imencode(".png", np.zeros((60, 60, 3), np.uint8))
    assert ok
    engine = Engine(keep_open=True)
    for changed in (False, True):
        prior.write_text(json.dumps(dict.fromkeys(labels[:-1], 0.1) | {"neutral": 0.4}))
        with serving(engine, analysis={"prior": str(prior)}) as running:
            if changed:
                prior.write_text(json.dumps(dict.fromkeys(labels[:-1], 0.05) | {"neutral": 0.7}))
            answer = httpx.post(f"{running.url}/api/analyze", content=jpeg.tobytes(), timeout=120)
        said = f"the prior {prior} was changed since the service began: start that again"
        expected = (503, {"error": said}) if changed else (200, {"width": 60, "height": 60, "faces": [], "prior": str(prior)})
        assert (answer.status_code, answer.json()) == expected
    prior.write_text("{}")
    with pytest.raises(UsageError, match=r"mine\.json"), serving(engine, analysis={"prior": str(prior)}):
        pass
    engine.close()
