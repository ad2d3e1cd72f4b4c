"""``save`` as a folder: sources that come and go get a video each."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import Engine, PushSource, SourceSpec
from ferengine.errors import UsageError

Images = list[NDArray[np.uint8]]
SETTINGS: dict[str, Any] = {"detector": "haar"}


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_each_source_that_joins_gets_a_video_in_the_folder(images: Images, tmp_path: Path) -> None:
    with Engine(keep_open=True, save=tmp_path, **SETTINGS) as engine:
        results = engine.results()
        assert engine.wait_ready(120)
        for name, count in (("door", 5), ("yard", 8)):
            assert engine.add_source(PushSource(name, wait=True)) == name
            for number in range(count):
                assert engine.push(name, images[number], number / 30, timeout=60)
                assert next(results).frame == number
            engine.end_source(name)
        engine.remove_source("door")
        assert engine.add_source(SourceSpec("demo", "stroll", "demo")) == "demo"
        for number in range(20):
            result = next(results)
            assert (result.camera, result.frame) == ("demo", number)
        engine.stop()
        last = 19 + sum(1 for _ in results)
        assert engine.failures == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.mp4", "door.mp4", "yard.mp4"]
    assert frames_of(tmp_path / "door.mp4") == 5
    assert frames_of(tmp_path / "yard.mp4") == 8
    assert frames_of(tmp_path / "demo.mp4") == last + 1


def test_a_video_that_exists_is_kept_and_the_source_not_added(images: Images, tmp_path: Path) -> None:
    with Engine(PushSource("door", wait=True), save=tmp_path, **SETTINGS) as engine:
        results = engine.results()
        assert engine.push("door", images[0], timeout=60)
        assert next(results).camera == "door"
        (tmp_path / "yard.mp4").write_text("mine")
        with pytest.raises(UsageError, match=r"yard\.mp4 exists already"):
            engine.add_source(PushSource("yard"))
        assert engine.cameras == ("door",)
        assert engine.add_source(PushSource("door", wait=True)) == "door-2"
        assert engine.push("door-2", images[0], timeout=60)
        assert next(results).camera == "door-2"
    assert (tmp_path / "yard.mp4").read_text() == "mine"
    assert frames_of(tmp_path / "door.mp4") == frames_of(tmp_path / "door-2.mp4") == 1


def test_one_video_file_is_for_one_source(tmp_path: Path) -> None:
    with (
        Engine(PushSource("door"), save=tmp_path / "out.mp4", **SETTINGS) as engine,
        pytest.raises(UsageError, match=r"out\.mp4 is not a folder"),
    ):
        engine.add_source(PushSource("yard"))
    assert engine.cameras == ("door",)


def test_save_after_replaced_video_worker_keeps_the_file_name(images: Images, tmp_path: Path) -> None:
    with Engine(PushSource("door", wait=True), save=tmp_path, **SETTINGS) as engine:
        results = engine.results()
        assert engine.push("door", images[0], timeout=60)
        assert next(results).camera == "door"
        os.kill(engine.worker_pids()["video"], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while (video := engine.health().workers["video"]).restarts == 0 or video.state != "running":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert engine.add_source(PushSource("yard", wait=True)) == "yard"
        for name in ("yard", "door"):
            assert engine.push(name, images[1], timeout=60)
            assert next(results).camera == name
    assert frames_of(tmp_path / "yard.mp4") == 1
    assert frames_of(tmp_path / "door.mp4") >= 1  # of both parts: what the first had not written when it was killed is lost
    assert sorted(path.name for path in tmp_path.iterdir()) == ["door.mp4", "yard.mp4"]


def test_a_source_that_joins_is_not_overwritten_by_its_own_video(tmp_path: Path) -> None:
    clip = tmp_path / "talk.mp4"
    clip.write_bytes(b"precious")
    with (
        Engine(PushSource("door"), save=tmp_path, overwrite=True, **SETTINGS) as engine,
        pytest.raises(UsageError, match=r"talk\.mp4 is the source talk: choose another name"),
    ):
        engine.add_source(clip)
    assert engine.cameras == ("door",)
    assert clip.read_bytes() == b"precious"
