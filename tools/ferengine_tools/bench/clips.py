"""The videos that the whole engine is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ferengine.sinks.video import VideoWriter
from ferengine.sources import SourceSpec, open_source, parse_source
from ferengine.sources.base import Source
from ferengine.sources.demo.portraits import require_portraits
from ferengine.vision import cv2

DEMO_FRAMES = 300
LIVE_SIZE = (640, 480)
LIVE_FPS = 30.0


def render_demo(path: Path) -> SourceSpec:
    """Write the demo as a video file of ``DEMO_FRAMES`` frames.

    Raises:
        MissingDependencyError: Its portraits are missing.
    """
    require_portraits()
    return _record(open_source(parse_source("demo:stroll")), path, DEMO_FRAMES, None)


def live_clip(spec: SourceSpec, path: Path, seconds: float) -> SourceSpec:
    """Write what a camera would show: a file that is played at its own pace.

    Args:
        spec: Where the frames come from; it starts again where they do not suffice.
        path: The file, of ``LIVE_SIZE`` and ``LIVE_FPS``.
        seconds: How long it plays.
    """
    looped = parse_source(Path(spec.value), loop=0)
    return _record(open_source(looped), path, round(seconds * LIVE_FPS), LIVE_SIZE, pace="native")


def _record(source: Source, path: Path, frames: int, size: tuple[int, int] | None, pace: str = "fast") -> SourceSpec:
    info = source.open()
    width, height = size or (info.width, info.height)
    writer = VideoWriter(path, width, height, LIVE_FPS, overwrite=True)
    for number in range(frames):
        captured = source.read()
        if captured is None:
            break
        image = captured.image if size is None else cv2.resize(captured.image, size, interpolation=cv2.INTER_AREA)
        writer.write(np.asarray(image, np.uint8), number / LIVE_FPS)
    writer.close()
    source.close()
    return parse_source(path, pace=pace)
