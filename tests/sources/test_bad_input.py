"""Unusual and broken images and files, through the whole engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from ferengine import Engine
from ferengine.errors import SourceError
from ferengine.sources import parse_source
from ferengine.sources.demo import DemoSource
from ferengine.sources.video import VideoFileSource
from ferengine.vision import cv2


@pytest.fixture(scope="module")
def oddities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demo images with a face in many sizes, grey and in colour, and files that only end like images."""
    folder = tmp_path_factory.mktemp("oddities")
    source = DemoSource()
    source.open()
    source.skip(30)
    frame = source.read()
    assert frame is not None
    sizes = [(640, 480), (16, 16), (320, 240), (3840, 2160), (17, 33), (400, 16), (640, 480), (160, 120)]
    for index, size in enumerate(sizes):
        image = cv2.resize(frame.image, size)
        cv2.imwrite(str(folder / f"{index}.jpg"), cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if index % 2 else image)
    (folder / "3b.jpg").write_text("This is no image.")
    (folder / "9.png").touch()
    return folder


@pytest.mark.timeout(60)
def test_sizes_that_change_from_16_pixels_to_4k(oddities: Path) -> None:
    events = []
    with Engine(oddities, on_event=events.append) as engine:
        results = list(engine.results())
        summary = engine.summary()
    assert [result.frame for result in results] == list(range(8))
    assert [result.timestamp for result in results] == pytest.approx([i / 25 for i in range(8)])
    assert results[0].faces
    assert results[6].faces
    assert not any(results[index].faces for index in (1, 4, 5))
    assert summary["dropped"]["capture"]["broken"] == 2
    assert [(event.kind, event.reason) for event in events] == [("started", None), ("ended", None)]
    assert not engine.failures


def test_no_face_anywhere_live_and_not(make_clip: Callable[..., Path]) -> None:
    clip = str(make_clip(frames=30))
    with Engine([parse_source(f"file={clip}"), parse_source(f"live={clip}", pace="native")]) as engine:
        results = list(engine.results())
        summary = engine.summary()
    assert [result.frame for result in results if result.camera == "file"] == list(range(30))
    live = [result.frame for result in results if result.camera == "live"]
    dropped = summary["dropped"]
    late = dropped["capture"]["ring_full"] + dropped["capture"]["late"] + dropped["track"]["skipped"]
    assert len(live) + late == 30
    assert not any(result.faces for result in results)


def test_files_in_which_there_is_no_video(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    unknown, sound = tmp_path / "unknown.mp4", tmp_path / "sound.mp4"
    unknown.write_bytes(make_clip().read_bytes().replace(b"avc1", b"zzzz"))
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 44100
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    for path, reason in ((unknown, "codec that cannot be decoded"), (sound, "it holds audio only")):
        with pytest.raises(SourceError, match=reason) as caught:
            VideoFileSource(path).open()
        assert str(path) in str(caught.value)


def test_images_for_which_there_is_no_memory_fail_one_source_alone(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ferengine.runtime import rings

    class NoMemory:
        @staticmethod
        def create(slots: int, slot_bytes: int) -> object:
            if slot_bytes > 200 * 160 * 3:
                raise MemoryError("no memory")
            return ring.create(slots, slot_bytes)

    ring = rings.FrameRing
    monkeypatch.setattr(rings, "FrameRing", NoMemory)
    with Engine([make_clip(320, 240), make_clip()], max_frames=5) as engine:
        frames = [result.frame for result in engine.results()]
    assert frames == list(range(5))
    [failure] = engine.failures
    assert "do not fit into memory" in failure
