"""Where frames come from: cameras, streams, video files, images and the demo, behind one interface
(``sources.base.Source``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ferengine.errors import UsageError
from ferengine.sources.parse import parse_source
from ferengine.sources.spec import SourceSpec, unique_names

if TYPE_CHECKING:
    from ferengine.sources.base import Source

__all__ = ["SourceSpec", "open_source", "parse_source", "unique_names"]

_DEMO_FRAMES = 600


def open_source(spec: SourceSpec) -> Source:
    """The source of ``spec`` with its size, rate and rotation, not yet opened (``open`` does that); only now is its
    decoder imported."""
    source = _plain_source(spec)
    if spec.pace == "native" and spec.kind != "camera":
        from ferengine.sources.paced import PacedSource

        source = PacedSource(source)
    size = None if spec.kind == "camera" else spec.pixels
    fps = None if spec.kind in ("camera", "images") else spec.fps
    if size or fps or spec.rotate:
        from ferengine.sources.adjusted import AdjustedSource

        source = AdjustedSource(source, size=size, fps=fps, rotate=spec.rotate)
    return source


def _plain_source(spec: SourceSpec) -> Source:
    match spec.kind:
        case "camera":
            from ferengine.sources.camera import CameraSource

            device = int(spec.value) if spec.value.isdigit() else spec.value
            width, height = spec.pixels or (None, None)
            return CameraSource(device, width, height, spec.fps, spec.pixel_format, timeout=spec.timeout)
        case "stream":
            from ferengine.sources.stream import StreamSource

            return StreamSource(spec.value, timeout=spec.timeout, transport=spec.transport)
        case "images":
            from ferengine.sources.images import ImagesSource

            return ImagesSource(spec.value, spec.loop, **({"fps": spec.fps} if spec.fps else {}))
        case "demo":
            from ferengine.sources.demo import DemoSource

            return DemoSource(frames=_DEMO_FRAMES * spec.loop or None, scenario=spec.value)
        case "push":
            raise UsageError(f"{spec.name}: a pushed source is fed by the program, not opened")
        case "file":
            from ferengine.sources.video import VideoFileSource

            return VideoFileSource(spec.value, spec.loop)
