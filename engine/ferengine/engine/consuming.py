"""The results of an engine: iterators, asyncio streams and callbacks."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from ferengine.engine.running import EngineRun, check_callback, check_flags
from ferengine.errors import UsageError, shown
from ferengine.results import FrameResult
from ferengine.runtime.consumers import CallbackSubscription, Consumers, Results, stream_results
from ferengine.runtime.subscriptions import Policy

Image: TypeAlias = NDArray[np.uint8]


class EngineResults(EngineRun):
    """The part of ``Engine`` that hands out results."""

    _consumers: Consumers
    _lock: threading.Lock
    _taken: Results[FrameResult] | None = None

    @overload
    def results(
        self, *, frames: Literal[False] = False, cameras: str | Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> Results[FrameResult]: ...  # fmt: skip
    @overload
    def results(
        self, *, frames: Literal[True], cameras: str | Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> Results[tuple[FrameResult, Image]]: ...  # fmt: skip
    @overload
    def results(
        self, *, frames: bool, cameras: str | Sequence[str] | None = None, queue: int | None = None, policy: Policy = "wait",
    ) -> Results[Any]: ...  # fmt: skip
    def results(
        self,
        *,
        frames: bool = False,
        cameras: str | Sequence[str] | None = None,
        queue: int | None = None,
        policy: Policy = "wait",
    ) -> Results[Any]:
        """The results of all cameras as they come, in order for each camera; ends with the run.

        Each call makes an iterator with a dedicated queue, which begins now: hold on to it.

        Args:
            frames: Whether to yield pairs (result, image). The image is on loan: BGR uint8 (H, W, 3), a read-only view into
                the frame ring, no copy. It is valid until the next item is taken; copy what is kept for longer. Reading it
                later is harmless but shows a later frame. Frames captured before the call come without a pair.
            cameras: The names of the cameras that are wanted, or one name; ``None`` for all.
            queue: How many results may wait (default: the setting ``queue``; with ``frames`` 2, and at most 32).
            policy: What happens when the queue is full: "wait" (files are held back, live sources drop the oldest of
                theirs), "drop_oldest" or "drop_newest".

        Returns:
            The iterator. It raises the error that ended the run, after the last result.

        Raises:
            UsageError: There is no such camera, queue or policy, or no memory for the images.
        """
        check_flags(frames=frames)
        names = self._known_names(cameras)
        subscription = self._consumers.open("results", frames=frames, cameras=names, queue=queue, policy=policy)
        return Results(self._consumers, subscription)

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """The next result. All calls share one queue, which begins with the first.

        Args:
            timeout: Seconds to wait, ``None`` without limit.

        Returns:
            ``None`` where none came within ``timeout``.

        Raises:
            EOFError: There are no more.
            FerengineError: What ended the run.
        """
        self._run.check_process()  # in a fork the lock may be held for ever
        with self._lock:
            if self._taken is None:
                self._taken = self.results()
        return self._taken.take(timeout)

    @overload
    def stream(
        self, *, frames: Literal[False] = False, cameras: str | Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> AsyncGenerator[FrameResult, None]: ...  # fmt: skip
    @overload
    def stream(
        self, *, frames: Literal[True], cameras: str | Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> AsyncGenerator[tuple[FrameResult, Image], None]: ...  # fmt: skip
    @overload
    def stream(
        self, *, frames: bool, cameras: str | Sequence[str] | None = None, queue: int | None = None, policy: Policy = "wait",
    ) -> AsyncGenerator[Any, None]: ...  # fmt: skip
    def stream(
        self,
        *,
        frames: bool = False,
        cameras: str | Sequence[str] | None = None,
        queue: int | None = None,
        policy: Policy = "wait",
    ) -> AsyncGenerator[Any, None]:
        """``results`` for asyncio: ``async for result in engine.stream()``. Its queue begins with the first step.

        It sleeps until there is something to take, never blocks the event loop and may be cancelled at any time. ``aclose``
        gives up its queue, for which files wait until then: leave the loop early within ``contextlib.aclosing``.

        Args:
            frames: As in ``results``.
            cameras: As in ``results``.
            queue: As in ``results``.
            policy: As in ``results``.

        Returns:
            The asynchronous generator. It raises the error that ended the run, after the last result.

        Raises:
            UsageError: There is no such camera.
        """
        check_flags(frames=frames)
        names = self._known_names(cameras)
        return stream_results(
            self._consumers,
            lambda: self._consumers.open("stream", frames=frames, cameras=names, queue=queue, policy=policy),
        )

    def subscribe(
        self,
        callback: Callable[..., object],
        *,
        frames: bool = False,
        cameras: str | Sequence[str] | None = None,
        queue: int | None = None,
        policy: Policy = "wait",
        name: str | None = None,
    ) -> CallbackSubscription:
        """Call a function for every result, in a dedicated thread and from a dedicated queue.

        An error that it raises is counted and logged, and does not touch other consumers.

        Args:
            callback: Called as ``callback(result)``, with ``frames`` as ``callback(result, image)``; the image is on loan
                until it returns. Not an ``async`` function: for asyncio there is ``stream``.
            frames: As in ``results``.
            cameras: As in ``results``.
            queue: As in ``results``.
            policy: As in ``results``.
            name: What the log and ``health`` call it (default: its own name).

        Returns:
            The object that cancels it.

        Raises:
            UsageError: It cannot be called or is ``async``, or as ``results`` does.
        """
        check_callback(callback, "a callback is a function that takes a result")
        check_flags(frames=frames)
        if not (name is None or isinstance(name, str)):
            raise UsageError(f"the name of a callback is a text, not {shown(name)}")
        names = self._known_names(cameras)
        known_as = name or f"callback {getattr(callback, '__qualname__', type(callback).__name__)}"
        subscription = self._consumers.open(known_as, frames=frames, cameras=names, queue=queue, policy=policy)
        made = CallbackSubscription(self._consumers, subscription, callback)
        with self._lock:
            self._callbacks = [*(kept for kept in self._callbacks if not kept.join(0)), made]
        self._consume()
        return made

    def _known_names(self, cameras: str | Sequence[str] | None) -> Sequence[str] | None:
        """The names of ``results``' argument; each must be a camera's."""
        known = self._state.cameras
        names = [cameras] if isinstance(cameras, str) else cameras
        if not (names is None or isinstance(names, Iterable)):
            raise UsageError(f"cameras are a name or a sequence of names, not {names!r}")
        names = None if names is None else list(names)
        for name in names or ():
            known.named(name)
        return names
