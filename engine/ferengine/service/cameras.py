"""Cameras as the service shows and changes them: those of the engine, and those that are paused."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ferengine.engine import Engine
from ferengine.errors import FerengineError, UsageError, describe_invalid, invalid_items, name_hint
from ferengine.service.saved import Beginning, StateFile
from ferengine.sources import SourceSpec, parse_source
from ferengine.sources.options import SourceOptions
from ferengine.sources.url import hide_credentials
from ferengine.sources.zone import ZoneOptions

MAX_CAMERAS = 64
_Model = TypeVar("_Model", bound=BaseModel)
_OPEN_KINDS = ("camera", "stream", "demo")
"""Kinds of sources that a request may add; files and folders only with ``--allow-files``."""


class UnknownCameraError(FerengineError):
    """There is no camera of that name."""


class ConflictError(FerengineError):
    """The name is taken, there are too many cameras, or the camera is not in the state that the request needs."""


class ForbiddenSourceError(FerengineError):
    """A request may not add a source of this kind."""


class NewCamera(SourceOptions, ZoneOptions):
    """A camera to add: its source, its name, how it is read, and its zones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, max_length=2000, description="A camera's number or device, a stream's URL, or 'demo'.")
    name: str | None = Field(None, min_length=1, max_length=100, description="What results call it.")

    def spec(self) -> SourceSpec:
        """The source, played as ``as_served`` says."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"source", "name"}}
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


class CameraZones(ZoneOptions):
    """The zones of a camera, in place of those that it has."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_body_as(model: type[_Model], body: bytes) -> _Model:
    """What a request describes, as JSON. Raises UsageError."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise UsageError("; ".join(_sentence(item, model) for item in invalid_items(error))) from None


def _sentence(item: Any, model: type[BaseModel]) -> str:
    """One of pydantic's errors, without credentials."""
    name = ".".join(map(str, item["loc"])) or "the request"
    return describe_invalid(item, name, lambda value: hide_credentials(repr(value)), model)


class CameraBook:
    """The cameras of an engine, with those that are paused: closed, and remembered.

    Args:
        engine: The engine.
        allow_files: Whether requests may add files and folders of the machine.
        state: Where to keep what requests add and change; ``None`` forgets it with the service.
        beginning: What it had when the service was started.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        allow_files: bool = False,
        state: StateFile | None = None,
        beginning: Beginning = Beginning(),  # noqa: B008 - it is not changed
    ) -> None:
        self._engine = engine
        self._allow_files = allow_files
        self._state = state
        self._paused = dict(beginning.paused)
        self._added, self._zoned = set(beginning.added), set(beginning.zoned)
        self._lock = asyncio.Lock()

    def list(self) -> list[dict[str, Any]]:
        """Each camera: its name, kind and source (without credentials), its zones, whether it is paused, and its health."""
        health = self._engine.health().cameras
        running = [
            {**_described(name, spec), "paused": False, **_health_dict(health[name])}
            for name, spec in self._engine.sources.items()
            if name in health
        ]
        paused = [{**_described(name, spec), "paused": True, "state": "paused"} for name, spec in self._paused.items()]
        return running + paused

    def get(self, name: str) -> dict[str, Any]:
        """One of them. Raises UnknownCameraError."""
        cameras = {camera["name"]: camera for camera in self.list()}
        if name not in cameras:
            raise UnknownCameraError(f"there is no camera {name!r}: {name_hint(name, cameras)}")
        return cameras[name]

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
            made = await asyncio.to_thread(self._engine.add_source, spec)
            self._added.add(made)
            await self._save()
            return made

    async def remove(self, name: str) -> None:
        """Remove a camera, paused or not. Raises UnknownCameraError."""
        async with self._lock:
            if self._paused.pop(name, None) is None:
                self.get(name)
                await asyncio.to_thread(self._engine.remove_source, name, drain=False)
            self._added.discard(name)
            self._zoned.discard(name)
            await self._save()

    async def set_zones(self, name: str, zones: ZoneOptions) -> None:
        """Replace the zones of a camera, paused or not.

        Raises:
            UnknownCameraError: There is no such camera.
            EngineStoppedError: The engine has stopped.
            ServiceError: They are in force, and could not be saved.
        """
        async with self._lock:
            if self.get(name)["paused"]:
                changed = self._paused[name].replace(zones=zones.zones, outside_zones=zones.outside_zones)
                self._paused[name] = changed
            else:
                await asyncio.to_thread(self._engine.set_zones, name, zones.zones, outside=zones.outside_zones)
            if name not in self._added:
                self._zoned.add(name)
            await self._save()

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
            await self._save()

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
            await self._save()

    async def _save(self) -> None:
        if self._state is None:
            return
        known = {**self._engine.sources, **self._paused}
        added = [spec for name, spec in known.items() if name in self._added]
        zoned = {name: spec for name, spec in known.items() if name in self._zoned}
        await asyncio.to_thread(self._state.write, added, self._added & self._paused.keys(), zoned)


def _described(name: str, spec: SourceSpec) -> dict[str, Any]:
    zones = spec.model_dump(mode="json", include=set(ZoneOptions.model_fields))
    return {"name": name, "kind": spec.kind, "source": spec.where, **zones}


def _health_dict(health: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(health).items() if key != "name"}
