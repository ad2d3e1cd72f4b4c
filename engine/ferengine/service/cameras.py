"""Cameras as the service shows and changes them: those of the engine, and those that are paused."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from ferengine.engine import Engine
from ferengine.errors import FerengineError, UsageError, describe_invalid
from ferengine.sources import SourceSpec, parse_source
from ferengine.sources.spec import SourceOptions
from ferengine.sources.url import hide_credentials

MAX_CAMERAS = 64
_OPEN_KINDS = ("camera", "stream", "demo")
"""Kinds of sources that a request may add; files and folders only where the service was told so."""


class UnknownCameraError(FerengineError):
    """There is no camera of that name."""


class ConflictError(FerengineError):
    """The name is taken, there are too many cameras, or the camera is not in the state that the request needs."""


class ForbiddenSourceError(FerengineError):
    """A request may not add a source of this kind."""


class NewCamera(SourceOptions):
    """A camera to add: its source, its name, and how it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, max_length=2000, description="A camera's number or device, a stream's URL, or 'demo'.")
    name: str | None = Field(None, min_length=1, max_length=100, description="What results call it.")

    def spec(self) -> SourceSpec:
        """The source, played as ``as_served`` says."""
        given = {name: getattr(self, name) for name in SourceOptions.model_fields if name in self.model_fields_set}
        if self.name is not None:
            given["name"] = self.name
        return as_served(parse_source(self.source, **given))


def as_served(spec: SourceSpec) -> SourceSpec:
    """How a service plays a source: what is no camera at its own rate, and the demo for ever, unless its ``pace`` and ``loop``
    were given."""
    changes: dict[str, Any] = {} if "pace" in spec.model_fields_set else {"pace": "native"}
    if spec.kind == "demo" and "loop" not in spec.model_fields_set:
        changes["loop"] = 0
    return spec.replace(**changes)


def read_new_camera(body: bytes) -> NewCamera:
    """The camera that a request describes, as JSON. Raises UsageError."""
    try:
        return NewCamera.model_validate_json(body)
    except ValidationError as error:
        raise UsageError("; ".join(_sentence(item) for item in error.errors(include_url=False))) from None


def _sentence(item: Any) -> str:
    """One of pydantic's errors, without credentials."""
    name = ".".join(map(str, item["loc"])) or "the request"
    return describe_invalid(item, name, lambda value: hide_credentials(repr(value)))


class CameraBook:
    """The cameras of an engine, with those that are paused: closed, and remembered.

    Args:
        engine: The engine.
        allow_files: Whether requests may add files and folders of the machine.
    """

    def __init__(self, engine: Engine, *, allow_files: bool = False) -> None:
        self._engine = engine
        self._allow_files = allow_files
        self._paused: dict[str, SourceSpec] = {}
        self._lock = asyncio.Lock()

    def list(self) -> list[dict[str, Any]]:
        """Each camera: its name, kind and source (without credentials), whether it is paused, and its health."""
        health = self._engine.health().cameras
        running = [
            {"name": name, "kind": spec.kind, "source": spec.where, "paused": False, **_health_dict(health[name])}
            for name, spec in self._engine.sources.items()
            if name in health
        ]
        paused = [
            {"name": name, "kind": spec.kind, "source": spec.where, "paused": True, "state": "paused"}
            for name, spec in self._paused.items()
        ]
        return running + paused

    def get(self, name: str) -> dict[str, Any]:
        """One of them. Raises UnknownCameraError."""
        for camera in self.list():
            if camera["name"] == name:
                return camera
        raise UnknownCameraError(f"there is no camera {name!r}")

    def is_running(self, name: str) -> bool:
        """Whether it is open or being opened. Raises UnknownCameraError."""
        return not self.get(name)["paused"]

    async def add(self, new: NewCamera) -> str:
        """Add a camera; returns its name.

        Raises:
            UsageError: The source or an option makes no sense.
            ForbiddenSourceError: Requests may not add such a source.
            ConflictError: The name is taken, or there are too many cameras.
            EngineStoppedError: The engine has stopped.
        """
        spec = new.spec()
        if spec.kind not in _OPEN_KINDS and not self._allow_files:
            raise ForbiddenSourceError(
                f"{spec.where} is a file or folder of this machine, which requests may not name: start the service with it, or "
                "with --allow-files"
            )
        async with self._lock:
            taken = {camera["name"] for camera in self.list()}
            if len(taken) >= MAX_CAMERAS:
                raise ConflictError(f"there are {len(taken)} cameras, which is the maximum: remove one")
            if spec.name in taken and new.name is not None:
                raise ConflictError(f"there is a camera {spec.name!r} already: choose another name")
            number = 1
            base = spec.name
            while spec.name in taken:
                number += 1
                spec = spec.replace(name=f"{base}-{number}")
            return await asyncio.to_thread(self._engine.add_source, spec)

    async def remove(self, name: str) -> None:
        """Remove a camera, paused or not. Raises UnknownCameraError."""
        async with self._lock:
            if self._paused.pop(name, None) is None:
                self.get(name)
                await asyncio.to_thread(self._engine.remove_source, name, drain=False)

    async def pause(self, name: str) -> None:
        """Close a camera, and remember it.

        Raises:
            UnknownCameraError: There is no such camera.
            ConflictError: It is paused already, or its frames are pushed by the program.
        """
        async with self._lock:
            if self.get(name)["paused"]:
                raise ConflictError(f"{name} is paused already")
            spec = self._engine.sources[name]
            if spec.kind == "push":
                raise ConflictError(f"{name} is pushed by the program, which alone can pause it")
            await asyncio.to_thread(self._engine.remove_source, name, drain=False)
            self._paused[name] = spec

    async def resume(self, name: str) -> None:
        """Open a paused camera again; its frames and tracks count from the beginning.

        Raises:
            UnknownCameraError: There is no such camera.
            ConflictError: It is not paused.
            EngineStoppedError: The engine has stopped.
        """
        async with self._lock:
            if not self.get(name)["paused"]:
                raise ConflictError(f"{name} is not paused")
            await asyncio.to_thread(self._engine.add_source, self._paused[name])
            del self._paused[name]


def _health_dict(health: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(health).items() if key != "name"}
