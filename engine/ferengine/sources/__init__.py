"""Where frames come from: cameras, streams, video files, images and the demo, behind one interface (``base.Source``).

The description of a source is imported on first use: ``url`` hides credentials before anything slow is loaded, pydantic
included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ferengine.errors import UsageError

if TYPE_CHECKING:
    from ferengine.sources.base import Source
    from ferengine.sources.spec import SourceSpec as SourceSpec
    from ferengine.sources.spec import parse_source as parse_source
    from ferengine.sources.spec import unique_names as unique_names

__all__ = ["SourceSpec", "open_source", "parse_source", "unique_names"]

_DEMO_FRAMES = 600


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ferengine.sources import spec

    return getattr(spec, name)


def open_source(
    spec: SourceSpec, sleep: Callable[[float], None] = time.sleep, stopped: Callable[[], bool] = lambda: False
) -> Source:
    """Make the source that a spec describes, with its pace, size, rate and rotation.

    Its decoder is imported only now. The source is not opened yet: call its ``open``.

    Args:
        spec: The source.
        sleep: Waits for some seconds, for the frame that is due next of a paced source, or of a camera that gives snapshots.
        stopped: Asked while such a camera waits, and a pipe for data; true ends it.

    Raises:
        UsageError: For a pushed source, which the program feeds.
        MissingDependencyError: If a library that it needs is not installed.
    """
    source = _plain_source(spec, sleep, stopped)
    paced = spec.pace == "native" and spec.kind != "camera"
    size = None if spec.kind == "camera" else spec.size
    fps = None if spec.kind in ("camera", "images") else spec.fps
    if not (paced or size or fps or spec.rotate):
        return source
    from ferengine.sources.wrappers import PAUSE_TOLERANCE, AdjustedSource, PacedSource, ThinnedSource

    if fps:
        source = ThinnedSource(source, fps)
    if paced:
        tolerance = max(PAUSE_TOLERANCE, 1 / fps) if fps else PAUSE_TOLERANCE  # thinned frames may lie two periods apart
        source = PacedSource(source, drops=spec.drops(live=True), tolerance=tolerance, sleep=sleep)
    return AdjustedSource(source, size=size, rotate=spec.rotate) if size or spec.rotate else source


def _plain_source(spec: SourceSpec, sleep: Callable[[float], None], stopped: Callable[[], bool]) -> Source:
    match spec.kind:
        case "camera":
            from ferengine.sources.camera import CameraSource

            device = int(spec.value) if spec.value.isdigit() else spec.value
            width, height = spec.size or (None, None)
            return CameraSource(device, width, height, spec.fps, spec.pixel_format, timeout=spec.timeout)
        case "stream":
            from ferengine.sources.stream import StreamSource

            stream = StreamSource(spec.value, timeout=spec.timeout, transport=spec.transport, decoder=spec.decoder)
            if not spec.value.lower().startswith(("http:", "https:")):
                return stream
            from ferengine.sources.snapshots import SNAPSHOT_RATE, HttpSource, SnapshotSource

            fps = spec.fps or SNAPSHOT_RATE
            return HttpSource(stream, SnapshotSource(spec.value, fps=fps, timeout=spec.timeout, sleep=sleep, stopped=stopped))
        case "images":
            from ferengine.sources.images import ImagesSource

            return ImagesSource(spec.value, spec.loop, **({"fps": spec.fps} if spec.fps else {}))
        case "pipe":
            from ferengine.sources.pipe import PipeSource

            return PipeSource(spec.value, spec.decoder, stopped)
        case "demo":
            from ferengine.sources.demo import DemoSource

            return DemoSource(frames=_DEMO_FRAMES * spec.loop or None, scenario=spec.value)
        case "push":
            raise UsageError(f"{spec.name}: a pushed source is fed by the program, not opened")
        case "file":
            from ferengine.sources.video import VideoFileSource

            return VideoFileSource(spec.value, spec.loop, decoder=spec.decoder)
