"""Where frames come from: cameras, video files and the demo, behind one interface
(``sources.base.Source``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ferengine.errors import UsageError

if TYPE_CHECKING:
    from ferengine.sources.base import Source

__all__ = ["SourceSpec", "open_source", "parse_source", "unique_names"]

_DEMO_FRAMES = 600


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What to open, in a form that travels to other processes.

    ``value``: the camera's index, the file's path or the demo's scenario; ``name``: what results call the
    camera. ``loop``: how often a file or the demo is played (0: for ever). ``pace``: "fast" (as fast as it
    can be processed) or "native" (at its own rate, like a camera). Both mean nothing to a camera.
    """

    kind: Literal["camera", "file", "demo", "push"]
    value: str
    name: str
    loop: int = 1
    pace: Literal["fast", "native"] = "fast"

    def __post_init__(self) -> None:
        if self.loop < 0:
            raise UsageError(f"a source is played 0 (for ever) or more times, not {self.loop}")
        if self.pace not in ("fast", "native"):
            raise UsageError(f"there is no pace {self.pace!r}: choose fast or native")

    @property
    def live(self) -> bool:
        """Whether it cannot wait: frames that nobody takes are lost."""
        return self.kind == "camera" or self.pace == "native"

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SourceSpec:
        """The inverse of ``to_dict``."""
        return cls(**fields)


def parse_source(text: str, *, loop: int = 1, pace: Literal["fast", "native"] = "fast") -> SourceSpec:
    """The source that ``text`` names: ``demo``, ``demo:crossing``, a camera's number or a file's path.

    Raises UsageError for an empty text, an unknown scenario and URLs, which are not supported.
    """
    kind, _, scenario = text.partition(":")
    if kind == "demo":
        from ferengine.sources.demo_paths import Scenario

        if scenario and scenario not in list(Scenario):
            raise UsageError(f"the demo has no scenario {scenario!r}: choose one of {', '.join(Scenario)}")
        return SourceSpec("demo", scenario or Scenario.STROLL.value, "demo", loop, pace)
    if "://" in text:
        # The rest of the URL may hold a password.
        raise UsageError(f"streams ({kind}://...) are not supported yet: name a camera's number or a file")
    if text.isascii() and text.isdigit():
        return SourceSpec("camera", str(int(text)), f"camera{int(text)}", loop, pace)
    if not text:
        raise UsageError("the source has no name: give a camera's number, a file or demo")
    return SourceSpec("file", text, Path(text).stem or text, loop, pace)


def open_source(spec: SourceSpec) -> Source:
    """The source of ``spec``, not yet opened (``open`` does that); only now is its decoder imported."""
    if spec.kind == "camera":
        from ferengine.sources.camera import CameraSource

        return CameraSource(int(spec.value))
    source: Source
    if spec.kind == "demo":
        from ferengine.sources.demo import DemoSource

        source = DemoSource(frames=_DEMO_FRAMES * spec.loop or None, scenario=spec.value)
    else:
        from ferengine.sources.video import VideoFileSource

        source = VideoFileSource(spec.value, spec.loop)
    if spec.pace == "native":
        from ferengine.sources.paced import PacedSource

        return PacedSource(source)
    return source


def unique_names(specs: Iterable[SourceSpec]) -> list[SourceSpec]:
    """The same sources with distinct names: the second ``woman2`` becomes ``woman2-2``."""
    specs = list(specs)
    wanted = {spec.name for spec in specs}
    taken: set[str] = set()
    renamed = []
    for spec in specs:
        name, number = spec.name, 1
        while name in taken or (number > 1 and name in wanted):
            number += 1
            name = f"{spec.name}-{number}"
        taken.add(name)
        renamed.append(replace(spec, name=name))
    return renamed
