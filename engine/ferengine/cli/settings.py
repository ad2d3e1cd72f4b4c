"""What ``ferengine run`` can be told, on the command line or in a file: one model for both."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from ferengine.config import EngineConfig
from ferengine.errors import UsageError
from ferengine.sources import SourceSpec, parse_source
from ferengine.sources.url import hide_credentials

_PLACES = ("url", "camera", "file", "images", "demo")
_CONFIG = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, alias_generator=lambda name: name.replace("_", "-"))


_EXAMPLES = {"size": "1280x720", "fps": 15.0, "pixel_format": "MJPG", "drop": "newest"}
"""Of fields whose default is "not said"."""


def _about(name: str) -> str:
    """What SourceSpec's docstring says of its field ``name``."""
    text = " ".join((SourceSpec.__doc__ or "").split())
    found = re.search(rf"``{name}``: (.+?)(?=[.;] ``|[.;] [A-Z]|\.?$)", text)
    assert found, f"SourceSpec's docstring does not say what {name} is"
    return found.group(1)


def _per_source_fields() -> dict[str, Any]:
    hints = get_type_hints(SourceSpec)
    names = [field.name for field in fields(SourceSpec) if field.name not in ("kind", "value", "name")]
    defaults = {field.name: field.default for field in fields(SourceSpec)}
    made = {}
    for name in names:
        kind = hints[name]
        if any(get_origin(part) is tuple for part in (kind, *get_args(kind))):
            kind = str | kind  # also a text that SourceSpec takes apart: 1280x720
        example = _EXAMPLES.get(name, defaults[name])
        made[name] = (kind | None, Field(None, description=_about(name), examples=[example]))
    return made


PER_SOURCE: tuple[str, ...] = tuple(_per_source_fields())
"""Fields of SourceSpec that say how a source is read: options of ``ferengine run`` for all its sources, and keys of a
``[[source]]`` table for one."""


def _checked_by_the_source(value: Any, about: ValidationInfo) -> Any:
    if value is not None:
        SourceSpec("camera", "0", "camera0", **{str(about.field_name): value})  # raises UsageError, a ValueError
    return value


if TYPE_CHECKING:
    _PerSource = BaseModel
else:
    _PerSource = create_model(
        "_PerSource",
        __validators__={"check": field_validator(*PER_SOURCE, mode="after")(_checked_by_the_source)},
        **_per_source_fields(),
    )


def _camera(value: str | int) -> str | int:
    spec = parse_source(str(value)) if str(value) else None
    if spec is None or spec.kind != "camera":
        shown = hide_credentials(repr(value))
        raise ValueError(f"a camera is a number or a device (/dev/video2, /dev/v4l/by-id/...), not {shown}")
    return int(spec.value) if spec.value.isdigit() else spec.value


def _address(value: str | None) -> str | None:
    if value is not None and "://" not in value:
        raise ValueError("an address begins with rtsp://, rtsps://, http:// or https://")  # it may hold a password
    return value


_Camera = Annotated[str | int, AfterValidator(_camera)]


class SourceTable(_PerSource):
    """One source: exactly one of url, camera, file, images and demo, and how it is read."""

    model_config = _CONFIG

    name: str | None = Field(None, min_length=1, description="what results call this source", examples=["door"])
    url: Annotated[str | None, AfterValidator(_address)] = Field(
        None, min_length=1, description="the address of a stream", examples=["rtsp://camera.local/stream"]
    )
    camera: _Camera | None = Field(None, description="a camera's number or device", examples=[0])
    file: str | None = Field(None, min_length=1, description="a video file", examples=["talk.mp4"])
    images: str | None = Field(None, min_length=1, description="a folder or a pattern of images", examples=["shots/*.jpg"])
    demo: str | None = Field(None, min_length=1, description="a scenario of the built-in demo", examples=["stroll"])

    @model_validator(mode="after")
    def _one_place(self) -> SourceTable:
        if sum(getattr(self, name) is not None for name in _PLACES) != 1:
            raise ValueError(f"a source needs exactly one of {', '.join(_PLACES)}")
        return self

    @property
    def text(self) -> str:
        """What ``--source`` would be given."""
        if self.demo is not None:
            return f"demo:{self.demo}"
        path = self.file if self.images is None else self.images
        if path is not None:
            return path if path.startswith("/") else f"./{path}"  # never a camera's number, a demo or NAME=SOURCE
        return str(self.url if self.camera is None else self.camera)


def _kind(value: Any) -> str:
    return "table" if isinstance(value, dict | SourceTable) else "text"


_Source = Annotated[Annotated[str, Tag("text")] | Annotated[SourceTable, Tag("table")], Discriminator(_kind)]


class RunSettings(EngineConfig, _PerSource):
    """All settings of a run: sources, outputs and those of the engine. Lengths in pixels, times in seconds."""

    model_config = _CONFIG

    camera: tuple[_Camera, ...] = Field(
        (), description="camera number (/dev/videoN) or /dev/v4l/by-id/...; several for more", examples=[[0]]
    )
    source: tuple[_Source, ...] = Field(
        (),
        description="video file, rtsp:// or http:// address, folder or glob of images, or 'demo' ('demo:crossing', ...); "
        "NAME=SOURCE gives it a name; several for more",
        examples=[["talk.mp4", "demo:crossing"]],
    )
    events: str | None = Field(
        None,
        description="write one JSON object a frame to this file; '-' for standard output",
        examples=["faces.jsonl"],
    )
    csv: Path | None = Field(None, description="write one row a face to this CSV file", examples=["faces.csv"])
    save: Path | None = Field(
        None,
        description="write an H.264 video with everything drawn (a folder with several sources)",
        examples=["faces.mp4"],
    )
    display: bool | None = Field(None, description="show a window, q ends; if not said, where a screen is", examples=[False])
    table: bool | None = Field(
        None,
        description="show a live table of the cameras; if not said, on a terminal where no window is shown",
        examples=[False],
    )
    summary: Path | None = Field(None, description="write the figures of the run to this JSON file", examples=["run.json"])
    overwrite: bool = Field(False, description="replace output files that exist")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged to standard error")

    def engine_values(self) -> dict[str, Any]:
        """The fields of EngineConfig."""
        return {name: getattr(self, name) for name in EngineConfig.model_fields}

    def specs(self, pace: Literal["fast", "native"]) -> list[SourceSpec]:
        """The sources in the order given, cameras first; ``pace`` where none was chosen.

        Raises UsageError for a source that cannot be.
        """
        common = {"pace": pace, **self._reading(self)}
        pixel_format = common.pop("pixel_format", None)
        given: list[tuple[str, dict[str, Any]]] = [(str(camera), {}) for camera in self.camera]
        for item in self.source:
            if isinstance(item, str):
                given.append((item, {}))
            else:
                given.append((item.text, {**self._reading(item), **({"name": item.name} if item.name else {})}))
        specs = [parse_source(text, **{**common, **own}) for text, own in given]
        if pixel_format is None:
            return specs
        if all(spec.kind != "camera" for spec in specs):
            raise UsageError("--pixel-format: only cameras have one, and no source is a camera")
        return [
            replace(spec, pixel_format=pixel_format) if spec.kind == "camera" and not spec.pixel_format else spec
            for spec in specs
        ]

    @staticmethod
    def _reading(given: BaseModel) -> dict[str, Any]:
        return {name: value for name in PER_SOURCE if (value := getattr(given, name)) is not None}
