"""Networks that are made once from the weights of another package, and kept in the user's cache."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from ferengine.errors import ModelError
from ferengine.inference.files import read_own, user_cache, write_atomically

_DIGEST = 64  # characters of a SHA-256 in hexadecimal, which lead a cached file

log = logging.getLogger(__name__)


def cache_folder(detector: str, *contents: str) -> Path | None:
    """Where a detector's networks are kept; None where there is no home.

    Its name changes with ``contents``, the revision of the graphs and the hashes of the weights, so a new release never reads
    an old file.
    """
    cache = user_cache()
    if cache is None:
        return None
    key = hashlib.sha256("".join(contents).encode()).hexdigest()[:16]
    return cache / f"{detector}-{key}"


def cached_network(folder: Path | None, name: str, build: Callable[[], bytes]) -> bytes:
    """The network ``name`` from its cache, or made now by ``build`` and kept there.

    Where the cache cannot be written the network stays in memory.
    """
    path = folder / f"{name}.network" if folder else None
    model = _load(path) if path else None
    if model is None:
        model = build()
        if path:
            _store(path, model)
    return model


def _load(path: Path) -> bytes | None:
    try:
        stored = read_own(path)
    except OSError:
        return None
    except ModelError as error:
        log.warning("%s and is not read: creating it again", error)
        return None
    digest, model = stored[:_DIGEST], stored[_DIGEST:]
    if hashlib.sha256(model).hexdigest().encode() == digest:
        return model
    log.warning("%s is damaged: creating it again", path)
    return None


def _store(path: Path, model: bytes) -> None:
    try:
        write_atomically(path, hashlib.sha256(model).hexdigest().encode() + model)
    except ModelError as error:
        log.info("%s: keeping the network in memory", error)
