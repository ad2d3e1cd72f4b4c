"""Images that clients send: one after the other, in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ferengine.errors import MissingDependencyError, ServiceError, UsageError
from ferengine.ipc.child import Child
from ferengine.json_text import json_text
from ferengine.service.messages import Answer
from ferengine.stages.child import start_child

MAX_BYTES = 16 << 20
"""Bytes of one image."""
MAX_WAITING = 8
"""Images that may wait, or be on their way here."""
_START_SECONDS = 90.0
_IMAGE_SECONDS = 30.0


class BusyError(ServiceError):
    """So many images wait already that this one is refused."""


class ImageAnalysis:
    """Reads the faces of images, in a child process that begins with the first and is replaced when it dies.

    Args:
        settings: The fields of ``EngineConfig`` that the analyzer takes.
        prior: The probabilities of the prior among them. A child that begins once its file was changed is refused: results
            under two priors would have one name.
    """

    def __init__(self, settings: Mapping[str, Any], prior: Mapping[str, float] | None = None) -> None:
        self._settings = dict(settings)
        self._prior = prior
        self._child: Child | None = None
        self._lock = asyncio.Lock()
        self._waiting: set[asyncio.Task[Answer]] = set()
        self._coming = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Room for one image while it comes: so many large ones cannot fill the memory. Raises BusyError."""
        if self._coming + len(self._waiting) >= MAX_WAITING:
            raise BusyError(f"{MAX_WAITING} images wait already: try again later")
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    async def analyse(self, image: bytes) -> str:
        """The faces of an image that had a ``place``, as JSON text.

        Raises:
            UsageError: The image cannot be read.
            ServiceError: The process died, took too long, or lacks a package.
        """
        work = asyncio.create_task(self._in_turn(image))
        self._waiting.add(work)
        work.add_done_callback(self._waiting.discard)
        answer = await asyncio.shield(work)  # the child is busy with it, whether or not its client is still there
        if not answer.ok:
            raise UsageError(answer.text)
        return answer.text

    async def _in_turn(self, image: bytes) -> Answer:
        async with self._lock:
            return await asyncio.to_thread(self._ask, image)

    def _ask(self, image: bytes) -> Answer:
        try:
            if self._child is None:
                self._child = start_child("ferengine.service.image_worker", "images")
                begin = json_text({"settings": self._settings, "prior": self._prior}).encode()
                made = Answer.decode(self._child.ask(begin, _START_SECONDS))
                if not made.ok:
                    raise ServiceError(made.text)
            return Answer.decode(self._child.ask(image, _IMAGE_SECONDS))
        except TimeoutError:
            self._end()
            raise ServiceError("the image took too long, and was given up") from None
        except MissingDependencyError as error:
            self._end()
            raise ServiceError(str(error)) from None
        except ServiceError:
            self._end()
            raise

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    async def close(self) -> None:
        """End the process, and give up the image that it has."""
        if self._child is not None:
            self._child.kill()
        async with self._lock:
            await asyncio.to_thread(self._end)
