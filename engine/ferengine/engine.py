"""The public engine: cameras in, results out, everything between in processes of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from ferengine.config import make_config
from ferengine.errors import EngineStoppedError, UsageError
from ferengine.inference.select import choose_variant
from ferengine.ipc.process import refused
from ferengine.models.registry import GENDER, load_model
from ferengine.results import CameraEvent, FrameResult
from ferengine.runtime.camera_set import CameraSet
from ferengine.runtime.consumers import CallbackSubscription, Results, open_subscription, stream_results
from ferengine.runtime.events import EventListener
from ferengine.runtime.health import Health, take_health
from ferengine.runtime.metrics import run_summary
from ferengine.runtime.planner import make_plan
from ferengine.runtime.push import Pushed
from ferengine.runtime.subscriptions import Policy
from ferengine.runtime.supervisor import DRAIN, Supervisor
from ferengine.runtime.topology import Topology
from ferengine.sinks.save_paths import refuse_source, save_path, save_paths
from ferengine.sources import SourceSpec, parse_source, unique_names
from ferengine.sources.push import PushSource

Image: TypeAlias = NDArray[np.uint8]
AnySource: TypeAlias = str | int | Path | SourceSpec | PushSource

_CALLBACKS_END = 2.0
"""Seconds that ``close`` gives a callback to return."""


class Engine:
    """Reads the faces and expressions of one or more sources, in worker processes.

        with Engine("talk.mp4") as engine:
            for result in engine.results():
                print(result.frame, [face.expression for face in result.faces])

    ``sources``: camera indices, paths, ``"demo"``, ``PushSource`` or ``SourceSpec``, one or a sequence. ``save``: a
    video file to write with everything drawn (with several sources a folder, one file each). ``display``: a window for
    each source. ``keep_open``: the engine goes on when it has no source left, or begins with none, until ``stop``;
    ``add_source`` brings more. ``on_event``: called, in a thread of its own, when a camera starts, is lost, is back
    or has ended. Further keywords are the fields of ``ferengine.config.EngineConfig``. ``labels`` and ``gender_labels`` hold
    the classes of the networks, in the order of their outputs.

    Every iterator, stream and callback has a queue of its own. Files wait for whoever takes the results (and for
    somebody to do so); live sources drop instead, and one camera's end, failure or slow consumer does not touch the
    others. No signal handler is installed, nothing is printed (see the logger ``ferengine``), the caller needs no
    ``__main__`` guard, all methods may be called from any thread, and several engines may run at once.

    Raises UsageError for settings that make no sense, SourceError when no source opens, ModelError for a damaged model,
    WorkerError when workers keep dying.
    """

    def __init__(
        self,
        sources: AnySource | Sequence[AnySource] = (),
        *,
        save: str | Path | None = None,
        overwrite: bool = False,
        display: bool = False,
        keep_open: bool = False,
        on_event: Callable[[CameraEvent], object] | None = None,
        **settings: Any,
    ) -> None:
        config = make_config(**settings)
        given = list(sources) if isinstance(sources, Iterable) and not isinstance(sources, str) else [sources]
        if not given and not keep_open:
            raise UsageError("no source given: name a camera index, a file or 'demo', or pass keep_open=True")
        specs = unique_names(map(as_spec, given))
        model = load_model(config.model, "expression")
        self.labels = tuple(model.manifest.labels)
        genders = load_model(GENDER, "gender") if config.gender else None
        self.gender_labels = () if genders is None else tuple(genders.manifest.labels)
        for each in filter(None, (model, genders)):
            choose_variant(each, config.backend_settings())  # told before any file is touched
        self._save = None if save is None else Path(save)
        self._overwrite = overwrite
        paths = {} if self._save is None else save_paths(specs, self._save, overwrite)
        plan = make_plan(len(specs), config, outputs=(save is not None) + display, growing=keep_open)
        cameras = CameraSet(self.labels, self.gender_labels, config, plan.trackers)
        try:
            topology = Topology(cameras, config, plan, model.manifest.input.size, paths, save is not None, display)
            self._supervisor = Supervisor(cameras, topology, config, keep_open=keep_open)
            for spec in specs:
                self._supervisor.roster.add(spec)
        except (MemoryError, OSError) as error:
            raise refused(error) or error from None
        self._supervisor.listener = EventListener(on_event)
        self._taken: Results[FrameResult] | None = None
        self._callbacks: list[CallbackSubscription] = []

    # --- the run

    def start(self) -> None:
        """Start the workers; capture begins once they are ready and somebody takes the results."""
        self._supervisor.start()

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until all workers are ready; False after ``timeout`` seconds. Raises what prevents it."""
        self.start()
        ready = self._supervisor.ready.wait(timeout)
        if self._supervisor.error is not None:
            raise self._supervisor.error
        return ready

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all sources have ended and all callbacks have had everything; False after ``timeout`` seconds.

        Also lets sources run that nobody takes results of (for ``save`` alone). Raises the error that ended the run.
        """
        deadline = None if timeout is None else time.monotonic() + timeout

        def left() -> float | None:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        self._supervisor.delivery.unattended = True
        self._consume()
        over = self._supervisor.join(left()) and all(callback.join(left()) for callback in self._callbacks)
        if over and self._supervisor.error is not None:
            raise self._supervisor.error
        return over

    def stop(self, *, force: bool = False) -> None:
        """End the run: frames on their way still come out (within a second), files are closed. ``force``: at once.

        May be called from another thread, a callback or a signal handler, and more than once.
        """
        self._supervisor.stop(force=force)

    def close(self) -> None:
        """Stop, and wait until no worker is left. What still waits for a consumer is dropped."""
        supervisor = self._supervisor
        for subscription in supervisor.delivery.subscriptions:
            subscription.discard()
        supervisor.stop()
        if not supervisor.close_unstarted():
            supervisor.join()
        for callback in self._callbacks:
            if not callback.join(_CALLBACKS_END):
                supervisor.note(f"a callback did not return within {_CALLBACKS_END:.0f} s: its thread is left running")

    # --- results

    @overload
    def results(
        self, *, frames: Literal[False] = False, cameras: Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> Results[FrameResult]: ...  # fmt: skip
    @overload
    def results(
        self, *, frames: Literal[True], cameras: Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> Results[tuple[FrameResult, Image]]: ...  # fmt: skip
    def results(
        self,
        *,
        frames: bool = False,
        cameras: Sequence[str] | None = None,
        queue: int | None = None,
        policy: Policy = "wait",
    ) -> Results[Any]:
        """The results of all cameras (or of those named) as they come, in order for each camera; ends with the run.

        Each call makes an iterator with a queue of its own, which begins now: hold on to it. ``queue``: how many
        results may wait (default: the setting ``queue``; with frames 2, and 32 at most); ``policy``: what happens when it
        is full, "wait" (files are held back, live sources drop the oldest of theirs), "drop_oldest" or "drop_newest".
        Raises the error that ended the run, after the last result.

        ``frames``: yields pairs (result, image). The image is lent: BGR uint8 (H, W, 3), a read-only view into
        the frame ring, no copy. It is valid until the next item is asked for; copy what is kept for longer. Reading it
        later is harmless but shows a later frame. Frames captured before the call come without a pair.
        """
        self._check_names(cameras)
        subscription = open_subscription(
            self._supervisor, "results", frames=frames, cameras=cameras, queue=queue, policy=policy
        )
        return Results(self._supervisor, subscription, self._consume)

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """The next result; ``None`` after ``timeout`` seconds. Raises EOFError after the last one, or the run's error.

        All calls share one queue, which begins with the first."""
        if self._taken is None:
            self._taken = self.results()
        return self._taken.take(timeout)

    @overload
    def stream(
        self, *, frames: Literal[False] = False, cameras: Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> AsyncIterator[FrameResult]: ...  # fmt: skip
    @overload
    def stream(
        self, *, frames: Literal[True], cameras: Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> AsyncIterator[tuple[FrameResult, Image]]: ...  # fmt: skip
    def stream(
        self,
        *,
        frames: bool = False,
        cameras: Sequence[str] | None = None,
        queue: int | None = None,
        policy: Policy = "wait",
    ) -> AsyncIterator[Any]:
        """``results`` for asyncio: ``async for result in engine.stream()``. Its queue begins with the first step.

        It sleeps until there is something to take, never blocks the event loop and may be cancelled at any time.
        """
        self._check_names(cameras)
        return stream_results(
            self._supervisor,
            lambda: open_subscription(self._supervisor, "stream", frames=frames, cameras=cameras, queue=queue, policy=policy),
            self._consume,
        )

    def subscribe(
        self,
        callback: Callable[..., object],
        *,
        frames: bool = False,
        cameras: Sequence[str] | None = None,
        queue: int | None = None,
        policy: Policy = "wait",
        name: str | None = None,
    ) -> CallbackSubscription:
        """Have ``callback(result)``, with ``frames`` ``callback(result, image)``, called for every result.

        It has a thread and a queue of its own; keywords as in ``results``, and the image is lent until it returns.
        An error that it raises is counted and logged, and disturbs nobody. Returns the object that cancels it.
        """
        if not callable(callback):
            raise UsageError(f"a callback is a function that takes a result, not {type(callback).__name__}")
        self._check_names(cameras)
        known_as = name or f"callback {getattr(callback, '__qualname__', type(callback).__name__)}"
        subscription = open_subscription(self._supervisor, known_as, frames=frames, cameras=cameras, queue=queue, policy=policy)
        made = CallbackSubscription(self._supervisor, subscription, callback)
        self._callbacks = [*(kept for kept in self._callbacks if not kept.join(0)), made]
        self._consume()
        return made

    # --- sources

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of the cameras."""
        return tuple(camera.name for camera in self._supervisor.cameras)

    def add_source(self, source: AnySource) -> str:
        """Add a source, also while the engine runs; returns the name that results call it.

        One that does not open ends with an error in ``health()`` and ``failures``, and does not disturb the others.
        Raises UsageError as the constructor does, WorkerError when the system refuses memory or files, EngineStoppedError
        when the engine has stopped.
        """
        spec = as_spec(source)

        def add() -> str:
            path = None
            if self._save is not None:
                specs = unique_names([*self._specs(), spec])
                path = save_path(specs[-1], self._save, self._overwrite)
                refuse_source(path, specs)
            try:
                camera = self._supervisor.roster.add(spec)
            except (MemoryError, OSError) as error:
                raise refused(error) or error from None
            if path is not None:
                self._supervisor.topology.save_to(camera, path)
            return camera.name

        return self._supervisor.calls.call(add)

    def end_source(self, name: str) -> None:
        """Read or take no further frame of a camera; all that it has given still comes out, and then it has ended, as a
        file does. Does not wait. Raises UsageError for a name that no camera has."""
        supervisor = self._supervisor
        camera = supervisor.cameras.named(name)
        with contextlib.suppress(EngineStoppedError):
            supervisor.calls.call(lambda: supervisor.roster.close_input(camera))

    def remove_source(self, name: str, *, drain: bool = True) -> None:
        """Take a camera out and wait until all that it had is gone: its capture process, memory and tracks.

        Its frames on their way still come out, within a second; with ``drain=False`` they are dropped (``end_source``
        drops none). Raises UsageError for a name that no camera has.
        """
        supervisor = self._supervisor
        camera = supervisor.cameras.named(name)
        try:
            supervisor.calls.call(lambda: supervisor.roster.leave(camera, drain=drain))
        except EngineStoppedError:
            return
        while not camera.left.wait(DRAIN / 4) and supervisor.running:
            pass

    def push(self, camera: str, frame: Image, timestamp: float | None = None, *, timeout: float = 10.0) -> Pushed:
        """Hand in the next frame of the ``PushSource`` called ``camera``; it is copied, once, into shared memory.

        ``frame``: uint8 (H, W, 3) BGR, (H, W, 4) BGRA (alpha is ignored) or (H, W) grey, of any layout in memory, 1 to
        16384 pixels on a side; the size may change from frame to frame (then all tracks of the camera end). ``timestamp``
        in seconds, default now; it should not go backwards. Never blocks for a live source; one with ``wait`` waits for
        a free slot at most ``timeout`` seconds. Returns whether the frame was accepted, and if not what dropped it.
        Raises UsageError for another array, an unknown camera and one that is not pushed to.
        """
        known = self._supervisor.cameras.named(camera)
        if known.input is None:
            raise UsageError(f"{camera} is read by the engine itself: only a PushSource takes pushed frames")
        if not self._supervisor.over:
            self.start()
        return known.input.push(frame, timestamp, timeout)

    # --- figures

    @property
    def failures(self) -> tuple[str, ...]:
        """What went wrong without ending the run: sources and outputs that failed."""
        return tuple(self._supervisor.failures)

    def health(self) -> Health:
        """How each worker, camera and consumer is doing now; cheap, from any thread, also after the end."""
        return take_health(self._supervisor)

    def worker_pids(self) -> dict[str, int]:
        """Process ids of the living workers by name."""
        workers = self._supervisor.topology.workers
        return {worker.name: worker.pid for worker in workers if worker.pid is not None}

    def summary(self) -> dict[str, Any]:
        """The figures of the run so far, as JSON takes them: rates, counts, drops by stage and reason, latencies, workers."""
        return run_summary(self._supervisor)

    # --- with

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    # --- within

    def _consume(self) -> None:
        self.start()
        self._supervisor.consume()

    def _specs(self) -> list[SourceSpec]:
        return [camera.spec for camera in self._supervisor.cameras]

    def _check_names(self, cameras: Sequence[str] | None) -> None:
        for name in cameras or ():
            self._supervisor.cameras.named(name)


def as_spec(source: AnySource) -> SourceSpec:
    """What ``source`` names. Raises UsageError."""
    if isinstance(source, PushSource):
        return source.spec()
    if not isinstance(source, AnySource):
        raise UsageError(
            "a source is a camera's number, a path, an address, 'demo', a SourceSpec or a PushSource, "
            f"not {type(source).__name__}"
        )
    return source if isinstance(source, SourceSpec) else parse_source(source)
