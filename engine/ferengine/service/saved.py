"""What clients have added and changed, in a file, so that a restart of the service keeps it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from ferengine.errors import ServiceError, SinkError, UsageError, describe_invalid
from ferengine.json_text import json_text
from ferengine.sinks.files import remove_leftovers, write_atomically
from ferengine.sources import SourceSpec, unique_names
from ferengine.sources.url import hide_credentials
from ferengine.sources.zone import ZoneOptions

_MAX_BYTES = 4 << 20


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cameras: tuple[SourceSpec, ...] = ()
    paused: tuple[str, ...] = ()
    zones: dict[str, ZoneOptions] = {}


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a service begins with.

    Attributes:
        sources: To be opened: those that it was started with, and those that clients had added.
        paused: To be remembered, by name.
        added: The names of those that clients had added.
        zoned: The names of the others whose zones clients had changed.
    """

    sources: tuple[SourceSpec, ...] = ()
    paused: Mapping[str, SourceSpec] = field(default_factory=dict)
    added: frozenset[str] = frozenset()
    zoned: frozenset[str] = frozenset()


class StateFile:
    """The file of ``--state``: readable for its owner alone, since the URLs of cameras may hold passwords.

    One service has it at a time. The lock lies in an empty file beside it, ``.NAME.lock``, and dies with its process.

    Args:
        path: The file; it is made with the first change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: BinaryIO | None = None
        self._absent: dict[str, Any] = {}
        self._shadowed: tuple[SourceSpec, ...] = ()

    def begin(self, given: Iterable[SourceSpec]) -> Beginning:
        """Take the file for this service, and read it.

        Args:
            given: The sources that the service was started with. They win over saved ones of the same name, and get the zones
                that clients have drawn for them.

        Raises:
            ServiceError: Another service has it.
            UsageError: It cannot be read, or is none of these files.
        """
        if self._lock is None:
            self._lock = self._take()
            remove_leftovers(self._path)
        try:
            saved = self._read()
        except UsageError:
            self.close()
            raise
        sources = [
            spec.replace(zones=saved.zones[spec.name].zones, outside_zones=saved.zones[spec.name].outside_zones)
            if spec.name in saved.zones
            else spec
            for spec in unique_names(given)
        ]
        taken = {spec.name for spec in sources}
        self._absent = {name: zones.model_dump(mode="json") for name, zones in saved.zones.items() if name not in taken}
        self._shadowed = tuple(spec for spec in saved.cameras if spec.name in taken)
        added = [spec for spec in saved.cameras if spec.name not in taken]
        paused = {spec.name: spec for spec in added if spec.name in saved.paused}
        opened = [spec for spec in added if spec.name not in paused]
        return Beginning(
            (*sources, *opened), paused, frozenset(spec.name for spec in added), frozenset(taken & saved.zones.keys())
        )

    def write(self, cameras: Iterable[SourceSpec], paused: Iterable[str], zones: Mapping[str, SourceSpec]) -> None:
        """Replace the file.

        Args:
            cameras: Those that clients have added.
            paused: The names of those among them that are closed.
            zones: Other cameras whose zones clients have changed, by name.

        Raises:
            ServiceError: It cannot be written.
        """
        record: dict[str, Any] = {
            "cameras": [spec.to_dict() for spec in (*cameras, *self._shadowed)],
            "paused": sorted(paused),
            "zones": self._absent
            | {name: spec.model_dump(mode="json", include=set(ZoneOptions.model_fields)) for name, spec in zones.items()},
        }
        try:
            write_atomically(self._path, json_text(record, indent=2).encode(), durable=True, private=True)
        except SinkError as error:
            raise ServiceError(f"this was done, but a restart will forget it: {error}") from None

    def close(self) -> None:
        """Let another service have the file; may be called twice."""
        if self._lock is not None:
            self._lock.close()
        self._lock = None

    def _take(self) -> BinaryIO:
        """The file that holds the lock while it is open."""
        try:
            target = self._path.resolve()  # two links to one file are one state
            if target.exists() and not stat.S_ISREG(target.stat().st_mode):
                raise UsageError(f"--state: {self._path} is no file: a folder, a pipe or a device keeps nothing")
            descriptor = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise UsageError(f"--state: {self._path} cannot be made: there is no folder {target.parent}") from None
        except UsageError:  # which is a ValueError
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(f"--state: {self._path} cannot be locked: {getattr(error, 'strerror', None) or error}") from None
        lock = os.fdopen(descriptor, "r+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ServiceError(f"--state: another service has {self._path}: end it, or name another file") from None
        except OSError as error:
            lock.close()
            raise ServiceError(f"--state: {self._path} cannot be locked: {error.strerror}") from None
        return lock

    def _read(self) -> _Saved:
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise UsageError(f"it is larger than {_MAX_BYTES >> 20} MiB, which none of these files is")
            return _Saved.model_validate(json.loads(data))
        except FileNotFoundError:
            return _Saved()
        except OSError as error:
            raise UsageError(f"--state: {self._path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            item = error.errors(include_url=False)[0]
            said = describe_invalid(item, ".".join(map(str, item["loc"])), lambda value: hide_credentials(repr(value)))
            raise UsageError(f"--state: {self._path}: {said}") from None
        except UsageError as error:
            raise UsageError(f"--state: {self._path}: {error}") from None
        except TypeError:
            raise UsageError(f"--state: {self._path}: each of cameras needs kind, value and name") from None
        except (ValueError, RecursionError):
            raise UsageError(f"--state: {self._path} is not JSON, as this service writes it") from None
