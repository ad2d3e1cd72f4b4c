"""Where the coordinator keeps what its successor has to know: Ray's own store, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ferengine.errors import FerengineError
from ferengine.sinks.files import remove_leftovers, write_atomically

_NAMESPACE = b"ferengine"


class Store(Protocol):
    """Named bytes that outlive the coordinator. All calls block."""

    def load(self, part: str) -> bytes | None:
        """The bytes of a part, ``None`` if it was never saved."""
        ...

    def save(self, part: str, data: bytes) -> None:
        """Replace a part."""
        ...


class KvStore:
    """Ray's key-value store, which outlives every actor, and the head where Ray itself keeps its tables on a disk or in Redis.

    Args:
        fleet: The name of the fleet.
    """

    def __init__(self, fleet: str) -> None:
        self._fleet = fleet

    def load(self, part: str) -> bytes | None:
        from ray.experimental import internal_kv

        found: bytes | None = internal_kv._internal_kv_get(self._key(part), namespace=_NAMESPACE)
        return found

    def save(self, part: str, data: bytes) -> None:
        from ray.experimental import internal_kv

        internal_kv._internal_kv_put(self._key(part), data, overwrite=True, namespace=_NAMESPACE)

    def _key(self, part: str) -> bytes:
        return f"{self._fleet}/{part}".encode()


class FolderStore:
    """Files in a folder: for fleets that have to outlive the whole cluster.

    Args:
        folder: It is made if it is missing, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FerengineError(f"the fleet's state folder {folder} cannot be made: {error.strerror}") from None

    def load(self, part: str) -> bytes | None:
        remove_leftovers(self._folder / part)
        try:
            return (self._folder / part).read_bytes()
        except FileNotFoundError:
            return None

    def save(self, part: str, data: bytes) -> None:
        write_atomically(self._folder / part, data, durable=True)
