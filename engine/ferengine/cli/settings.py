"""The settings of ``ferengine run``, on the command line or in a file: one model for both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from ferengine.config import EngineConfig
from ferengine.errors import UsageError
from ferengine.sinks.person_events import EventKind
from ferengine.sources import SourceSpec, parse_source
from ferengine.sources.options import SourceOptions
from ferengine.sources.url import STREAM_SCHEMES, hide_credentials
from ferengine.sources.zone import ZoneOptions

_PLACES = ("url", "camera", "file", "images", "demo")
_CONFIG = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, alias_generator=lambda name: name.replace("_", "-"))

_MEDIA = ("snapshots", "clips")
_OF_USE_WITH: dict[str, tuple[str, ...]] = {
    "webhook_secret": ("webhook",),
    "mqtt_password": ("mqtt",),
    "parquet_rows": ("parquet",),
    "parquet_minutes": ("parquet",),
    "store_days": ("store",),
    "clip_before": ("clips",),
    "clip_after": ("clips",),
    "media_events": _MEDIA,
    "media_draw": _MEDIA,
    "media_days": _MEDIA,
    "media_megabytes": _MEDIA,
    "node_port": ("listen",),
    "token_file": ("listen",),
    "tls_certificate": ("listen",),
    "tls_key": ("listen",),
}
"""Settings of a run or a fleet that say how an output is written or a page served, and those of which one must be given."""

PER_SOURCE: tuple[str, ...] = tuple(SourceOptions.model_fields)
"""How a source is read: options of ``ferengine run`` for all its sources, and keys of a ``[[source]]`` table for one."""


def _camera(value: str | int) -> str | int:
    spec = parse_source(str(value)) if str(value) else None
    if spec is None or spec.kind != "camera":
        shown = hide_credentials(repr(value))
        raise ValueError(f"a camera is a number or a device (/dev/video2, /dev/v4l/by-id/...), not {shown}")
    return int(spec.value) if spec.value.isdigit() else spec.value


def _url(value: str | None) -> str | None:
    if value is not None and "://" not in value:
        raise ValueError(
            f"a URL starts with {', '.join(scheme + '://' for scheme in STREAM_SCHEMES)}"
        )  # not shown: it may hold a password
    return value


_Camera = Annotated[str | int, AfterValidator(_camera)]


class SourceTable(SourceOptions, ZoneOptions):
    """One source: exactly one of url, camera, file, images and demo, how it is read, and its zones."""

    model_config = _CONFIG

    name: str | None = Field(None, min_length=1, description="Name of the source in results.", examples=["door"])
    url: Annotated[str | None, AfterValidator(_url)] = Field(
        None, min_length=1, description="URL of a stream.", examples=["rtsp://camera.local/stream"]
    )
    camera: _Camera | None = Field(None, description="Number or device of a camera.", examples=[0])
    file: str | None = Field(None, min_length=1, description="Path of a video file.", examples=["talk.mp4"])
    images: str | None = Field(None, min_length=1, description="Folder or glob of images.", examples=["shots/*.jpg"])
    demo: str | None = Field(None, min_length=1, description="Scenario of the built-in demo.", examples=["stroll"])

    @model_validator(mode="after")
    def _one_place(self) -> SourceTable:
        if sum(getattr(self, name) is not None for name in _PLACES) != 1:
            raise ValueError(f"a source needs exactly one of {', '.join(_PLACES)}")
        return self

    @property
    def text(self) -> str:
        """The source as ``--source`` takes it."""
        if self.demo is not None:
            return f"demo:{self.demo}"
        path = self.file if self.images is None else self.images
        if path is not None:
            return path if path.startswith("/") else f"./{path}"  # never a camera's number, a demo or NAME=SOURCE
        return str(self.url if self.camera is None else self.camera)


def _kind(value: Any) -> str:
    return "table" if isinstance(value, dict | SourceTable) else "text"


_Source = Annotated[Annotated[str, Tag("text")] | Annotated[SourceTable, Tag("table")], Discriminator(_kind)]


class RunSettings(EngineConfig, SourceOptions):
    """All settings of a run: sources, outputs and those of the engine. Lengths are in pixels, times in seconds."""

    model_config = _CONFIG

    camera: tuple[_Camera, ...] = Field(
        (), description="Read this camera: its number (/dev/videoN) or /dev/v4l/by-id/... Repeat for more.", examples=[[0]]
    )
    source: tuple[_Source, ...] = Field(
        (),
        description="Read this video file, named pipe, '-' (standard input), URL (rtsp, http, rtmp, udp), folder or glob of "
        "images, or 'demo' ('demo:crossing', ...). "
        "NAME=SOURCE names it in results. Repeat for more.",
        examples=[["talk.mp4", "demo:crossing"]],
    )
    events: str | None = Field(
        None,
        description="Write one JSON object per frame to this file; '-' is standard output.",
        examples=["faces.jsonl"],
    )
    csv: Path | None = Field(None, description="Write one row per face to this CSV file.", examples=["faces.csv"])
    parquet: Path | None = Field(
        None,
        description="Write rows of faces as Parquet files to this folder, which is made if it is missing.",
        examples=["faces"],
    )
    parquet_rows: int = Field(100_000, ge=1, le=10_000_000, description="Begin a new Parquet file after this many rows.")
    parquet_minutes: float = Field(
        10.0, gt=0, le=1440, description="Begin a new Parquet file after this many minutes: what a killed run loses at most."
    )
    save: Path | None = Field(
        None,
        description="Write an annotated H.264 video to this file, or one per source to this folder.",
        examples=["faces.mp4"],
    )
    display: bool | None = Field(
        None,
        description="Show a window, which changes nothing else; q closes it and ends the run. If not given, only where there "
        "is a screen.",
        examples=[False],
    )
    table: bool | None = Field(
        None,
        description="Show a live table of the cameras. If not given, only on a terminal without a window.",
        examples=[False],
    )
    summary: Path | None = Field(None, description="Write the metrics of the run to this JSON file.", examples=["run.json"])
    health_file: Path | None = Field(
        None,
        description="Write the state of the run to this JSON file every second; the file is replaced each time.",
        examples=["health.json"],
    )
    store: Path | None = Field(
        None,
        description="Keep events, and a sample a second of each person, in this SQLite database, which is continued if it "
        "exists.",
        examples=["faces.db"],
    )
    store_days: float = Field(30.0, gt=0, le=36500, description="Delete what is older than this many days from --store.")
    mqtt: str | None = Field(
        None,
        min_length=1,
        description="Publish events and the state of each camera over MQTT: mqtt://USER@HOST:PORT/PREFIX (all but the host may "
        "be left out), or mqtts:// for TLS.",
        examples=["mqtt://broker.local/ferengine"],
    )
    mqtt_password: Path | None = Field(
        None, description="Read the password of the MQTT user from this file.", examples=["mqtt.password"]
    )
    webhook: str | None = Field(
        None,
        min_length=1,
        description="Post each event (a person appeared, left or changed expression, a scene cut, a camera) to this URL.",
        examples=["https://example.com/hook"],
    )
    webhook_secret: Path | None = Field(
        None, description="Sign what is sent to --webhook with the secret in this file.", examples=["webhook.secret"]
    )
    snapshots: Path | None = Field(
        None,
        description="Write a JPEG image of each of --media-events to this folder, which is made if it is missing.",
        examples=["snapshots"],
    )
    clips: Path | None = Field(
        None,
        description="Write a short video around each of --media-events to this folder, which is made if it is missing.",
        examples=["clips"],
    )
    media_events: tuple[EventKind, ...] = Field(
        ("appeared", "expression", "scene_cut", "disconnected"),
        description="Events that get snapshots and clips: appeared, left, expression, scene_cut, started, disconnected, "
        "reconnected, ended. Repeat for more.",
    )
    media_draw: bool = Field(True, description="Draw boxes, labels and scores onto snapshots and clips.")
    media_days: float = Field(7.0, gt=0, le=36500, description="Delete snapshots and clips older than this many days.")
    media_megabytes: int = Field(
        1000, ge=1, description="Delete the oldest snapshots or clips of a folder when all take more than this many megabytes."
    )
    clip_before: float = Field(3.0, ge=0, le=30, description="Seconds of a clip before the event.")
    clip_after: float = Field(5.0, ge=0, le=30, description="Seconds of a clip after the event.")
    overwrite: bool = Field(False, description="Replace output files that exist.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level of log messages on standard error."
    )

    @field_validator(
        "events", "csv", "parquet", "save", "summary", "health_file", "store", "mqtt_password", "webhook_secret", "snapshots",
        "clips", mode="before",
    )  # fmt: skip
    @classmethod
    def _is_named(cls, path: object) -> object:
        if path == "":  # which would be the current folder
            raise ValueError("the path is empty")
        return path

    def engine_values(self) -> dict[str, Any]:
        """Return the fields of EngineConfig."""
        return {name: getattr(self, name) for name in EngineConfig.model_fields}

    def specs(self) -> list[SourceSpec]:
        """Return the sources in the order given, cameras first.

        Raises:
            UsageError: For an invalid source.
        """
        common = _given(self)
        pixel_format = common.pop("pixel_format", None)
        named: list[tuple[str, dict[str, Any]]] = [(str(camera), {}) for camera in self.camera]
        for item in self.source:
            if isinstance(item, str):
                named.append((item, {}))
            else:
                own = {**_given(item), **_given(item, tuple(ZoneOptions.model_fields))}
                named.append((item.text, {**own, **({"name": item.name} if item.name else {})}))
        specs = [parse_source(text, **{**common, **own}) for text, own in named]
        if pixel_format is None:
            return specs
        if all(spec.kind != "camera" for spec in specs):
            raise UsageError("--pixel-format: only cameras have one, and no source is a camera")
        return [
            spec.replace(pixel_format=pixel_format) if spec.kind == "camera" and not spec.pixel_format else spec
            for spec in specs
        ]


def check_of_use(settings: EngineConfig, spell: Callable[[str], str]) -> None:
    """Check that nothing says how an output is written that is not asked for.

    Args:
        settings: Of a run or a fleet.
        spell: How the user writes a setting.

    Raises:
        UsageError: It is so.
    """
    for name, uses in _OF_USE_WITH.items():
        if name in settings.model_fields_set and all(getattr(settings, use) is None for use in uses):
            raise UsageError(f"{spell(name)} is of no use without {' or '.join(map(spell, uses))}: give both or neither")


def _given(options: SourceOptions, names: tuple[str, ...] = PER_SOURCE) -> dict[str, Any]:
    """The options that were given, whether or not they differ from the defaults."""
    return {name: getattr(options, name) for name in names if name in options.model_fields_set}
