"""The public engine: cameras in, results out, everything between in dedicated processes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray

from ferengine.config import EngineSettings, make_config
from ferengine.errors import EngineStoppedError, UsageError
from ferengine.frames import AnyImage
from ferengine.inference.select import choose_variant
from ferengine.inference.select_elsewhere import choose_backend_elsewhere
from ferengine.ipc.interpreter import worker_python
from ferengine.ipc.process import refused
from ferengine.models.priors import choose_prior
from ferengine.models.registry import GENDER, load_model
from ferengine.results import CameraEvent, FrameResult, Pushed
from ferengine.runtime.cameras import Cameras
from ferengine.runtime.consumers import CallbackSubscription, Consumers, Results, stream_results
from ferengine.runtime.ending import STOP_OUTPUTS
from ferengine.runtime.health import Health, take_health
from ferengine.runtime.metrics import Summary, run_summary
from ferengine.runtime.state import RunState
from ferengine.runtime.subscriptions import Policy, deadline_after, wait_in_slices
from ferengine.runtime.supervisor import DRAIN, Supervisor
from ferengine.runtime.topology import Topology, make_plan
from ferengine.seen import Seen
from ferengine.sinks.save_paths import refuse_source, save_path, save_paths
from ferengine.sources import SourceSpec, parse_source, unique_names
from ferengine.sources.push import PushSource
from ferengine.sources.zone import Zone
from ferengine.stages.detector_choice import choose_detector
from ferengine.stages.records import ScoreBatch
from ferengine.zones import Outside

Image: TypeAlias = NDArray[np.uint8]
AnySource: TypeAlias = str | int | Path | SourceSpec | PushSource

_CALLBACKS_END = 2.0
"""Seconds that ``close`` gives a callback to return, after the last worker has ended."""


class Engine:
    """Reads the faces and expressions of one or more sources, in worker processes.

    Every iterator, stream and callback has a dedicated queue. Files wait until their results are taken, and begin with the
    first consumer; live sources drop instead, and one camera's end, failure or slow consumer does not touch the others.
    No signal handler is installed, nothing is printed (see the logger ``ferengine``), the caller needs no ``__main__``
    guard, all methods may be called from any thread, and several engines may run at once.

    Args:
        sources: Camera indices, paths, "demo", ``PushSource`` or ``SourceSpec``, one or a sequence.
        save: A video file to write with everything drawn; with several sources a folder, one file each.
        overwrite: Whether ``save`` may replace files that exist.
        display: Whether to show a window for each source.
        keep_open: Whether the engine goes on when it has no source left, or begins with none, until ``stop``;
            ``add_source`` brings more.
        on_event: Called, in a dedicated thread, when a camera starts, is disconnected, reconnects or ends.
        **settings: The fields of ``ferengine.config.EngineConfig``.

    Attributes:
        labels: The classes of the expression head, in the order of its outputs; none for a model that reads no expression.
        heads: The further heads of the model, as its manifest describes them: those of ``Face.heads``.
        prior: The class prior that expressions are read under; None for a model that names no priors.
        gender_labels: The classes of the gender network; empty unless the setting ``gender`` is on.
        detector: The detector, and why it is that one.
        blur_frames: For how many frames at least images are held back to blur their faces; None unless ``blur`` is on.

    Raises:
        UsageError: The settings make no sense.
        ModelError: A model is missing or damaged.
        WorkerError: The system refuses the memory or files that the workers need, or there is no Python to run them (in a
            frozen program).

    Example:
        Print the expressions of a video::

            with Engine("talk.mp4") as engine:
                for result in engine.results():
                    print(result.frame, [face.expression for face in result.faces])
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
        **settings: Unpack[EngineSettings],
    ) -> None:
        config = make_config(**settings)
        if not (on_event is None or callable(on_event)):
            raise UsageError(f"on_event is a function that takes an event, not {type(on_event).__name__}")
        worker_python()
        several = isinstance(sources, Iterable) and not isinstance(sources, str | bytes | Mapping)
        given = list(cast(Iterable[AnySource], sources)) if several else [cast(AnySource, sources)]
        if not given and not keep_open:
            raise UsageError("no source given: name a camera index, a file or 'demo', or pass keep_open=True")
        specs = unique_names(map(as_spec, given))
        self.detector = choose_detector(config, specs, growing=keep_open)
        config = config.model_copy(update={"detector": self.detector.name})
        model = load_model(config.model, "expression")
        self.labels = tuple(model.manifest.labels)
        self.heads = model.manifest.further_heads
        self.blur_frames = config.blur_frames
        self.prior = choose_prior(model.manifest, config.prior, follows=True)
        genders = load_model(GENDER, "gender") if config.gender else None
        self.gender_labels = () if genders is None else tuple(genders.manifest.labels)
        backend = choose_backend_elsewhere(config.backend)
        for each in filter(None, (model, genders)):  # refused before any file is touched
            choose_variant(each, config.backend_settings(), backend=backend)
        numbers = sum(len(head.labels) for each in (model, genders) if each is not None for head in each.manifest.outputs)
        if config.max_batch > ScoreBatch.largest(numbers):
            raise UsageError(
                f"the model {config.model} gives {numbers} numbers a face, of which a batch of {config.max_batch} is too many: "
                f"set max_batch to {ScoreBatch.largest(numbers)} or less"
            )
        self._save = None if save is None else _as_path(save)
        self._overwrite = overwrite
        paths = {} if self._save is None else save_paths(specs, self._save, overwrite)
        plan = make_plan(len(specs), config, backend=backend, outputs=(save is not None) + display, growing=keep_open)
        cameras = Cameras(self.labels, self.gender_labels, config, plan.trackers, self.heads, self.prior)
        try:
            crops = tuple(dict.fromkeys(each.manifest.input.crop for each in (model, genders) if each is not None))
            topology = Topology(cameras, config, plan, crops, self.prior, paths, overwrite, save is not None, display)
            self._supervisor = Supervisor(cameras, topology, config, keep_open=keep_open, on_event=on_event)
            for spec in specs:
                self._supervisor.add_camera(spec)
        except (MemoryError, OSError) as error:
            raise refused(error) or error from None
        self._run = self._supervisor.state
        self._consumers = Consumers(self._run, self._supervisor.rings, self._consume)
        self._lock = threading.Lock()
        self._closed = False
        self._taken: Results[FrameResult] | None = None
        self._callbacks: list[CallbackSubscription] = []

    # --- the run

    def start(self) -> None:
        """Start the workers; capture begins once they are ready and there is a consumer.

        Raises:
            EngineStoppedError: The engine has been closed, or was made by the process that this one was forked from (so
                says every method).
        """
        if self._closed:
            raise EngineStoppedError("the engine has been closed: make a new one")
        self._start()

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Start the workers, and wait until all of them are ready.

        Args:
            timeout: Seconds to wait, ``None`` without limit.

        Returns:
            False where that took longer, or the run was stopped before.

        Raises:
            FerengineError: What prevents it, such as SourceError when no source opens.
        """
        self._start()
        over = wait_in_slices(self._state.ready.wait, timeout)
        if self._state.error is not None:
            raise self._state.error
        return over and self._state.metrics.startup_s > 0

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all sources have ended and all callbacks have had everything.

        Sources also run where there is no consumer, for ``save`` alone.

        Args:
            timeout: Seconds to wait, ``None`` without limit.

        Returns:
            False where that took longer.

        Raises:
            FerengineError: What ended the run: SourceError when no source opens, WorkerError when workers keep dying.
        """
        deadline = deadline_after(timeout)

        def left() -> float | None:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        self._state.subscriptions.unattended = True
        self._consume()
        over = self._supervisor.join(left()) and all(callback.join(left()) for callback in self._callbacks)
        if over and self._state.error is not None:
            raise self._state.error
        return over

    def stop(self, *, force: bool = False) -> None:
        """End the run: frames on their way still come out (for up to three seconds), and outputs are finished (up to five).

        What is cut off then is counted in ``summary`` and named in ``failures``. May be called from another thread, a
        callback or a signal handler, and more than once.

        Args:
            force: End it at once.
        """
        self._state.stop(force=force)

    def close(self) -> None:
        """Stop, and wait until no worker is left. What still waits for an iterator or stream is dropped.

        Callbacks are still called with what waits for them: for as long as they take results if the run has come to its own
        end, else for five seconds. What is cut off then is counted, logged and in ``failures``.
        """
        self._closed = True
        natural = self._state.finished.is_set() and not self._state.stop_requested
        deadline = time.monotonic() + STOP_OUTPUTS
        called = [callback.subscription for callback in self._callbacks]
        for subscription in self._state.subscriptions.all:
            if subscription not in called:
                subscription.discard()
        self._state.stop()
        if not self._supervisor.close_unstarted():
            self._supervisor.join()
        for callback in self._callbacks:
            left = max(_CALLBACKS_END, deadline - time.monotonic())
            failure = callback.finish(self._state.config.stuck_after if natural else left, extended=natural)
            if failure is not None:
                self._state.note_failure(failure)

    # --- results

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
    ) -> AsyncIterator[FrameResult]: ...  # fmt: skip
    @overload
    def stream(
        self, *, frames: Literal[True], cameras: str | Sequence[str] | None = None, queue: int | None = None,
        policy: Policy = "wait",
    ) -> AsyncIterator[tuple[FrameResult, Image]]: ...  # fmt: skip
    def stream(
        self,
        *,
        frames: bool = False,
        cameras: str | Sequence[str] | None = None,
        queue: int | None = None,
        policy: Policy = "wait",
    ) -> AsyncIterator[Any]:
        """``results`` for asyncio: ``async for result in engine.stream()``. Its queue begins with the first step.

        It sleeps until there is something to take, never blocks the event loop and may be cancelled at any time.

        Args:
            frames: As in ``results``.
            cameras: As in ``results``.
            queue: As in ``results``.
            policy: As in ``results``.

        Returns:
            The asynchronous iterator. It raises the error that ended the run, after the last result.

        Raises:
            UsageError: There is no such camera.
        """
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
                until it returns.
            frames: As in ``results``.
            cameras: As in ``results``.
            queue: As in ``results``.
            policy: As in ``results``.
            name: What the log and ``health`` call it (default: its own name).

        Returns:
            The object that cancels it.

        Raises:
            UsageError: It cannot be called, or as ``results`` does.
        """
        if not callable(callback):
            raise UsageError(f"a callback is a function that takes a result, not {type(callback).__name__}")
        names = self._known_names(cameras)
        known_as = name or f"callback {getattr(callback, '__qualname__', type(callback).__name__)}"
        subscription = self._consumers.open(known_as, frames=frames, cameras=names, queue=queue, policy=policy)
        made = CallbackSubscription(self._consumers, subscription, callback)
        with self._lock:
            self._callbacks = [*(kept for kept in self._callbacks if not kept.join(0)), made]
        self._consume()
        return made

    # --- sources

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of the cameras."""
        return tuple(camera.name for camera in self._state.cameras)

    @property
    def sources(self) -> dict[str, SourceSpec]:
        """The source of each camera by its name."""
        return {camera.name: camera.spec for camera in self._state.cameras}

    @property
    def seen(self) -> dict[str, Seen]:
        """What each camera has shown so far, by its name: people, and the fractions of expressions."""
        return {camera.name: camera.seen for camera in self._state.cameras}

    def add_source(self, source: AnySource, *, held: bool = False) -> str:
        """Add a source, also while the engine runs.

        One that does not open ends with an error in ``health()`` and ``failures``, and does not touch the others.

        Args:
            source: As the constructor takes it.
            held: Whether its process is started, but the source is opened only by ``open_source``: that then takes no longer
                than the source itself.

        Returns:
            The name that results call it.

        Raises:
            UsageError: As the constructor does.
            WorkerError: The system refuses memory or files.
            EngineStoppedError: The engine has stopped.
        """
        spec = as_spec(source)

        def add() -> str:
            path = None
            if self._save is not None:
                specs = unique_names([*self._specs(), spec])
                path = save_path(specs[-1], self._save, self._overwrite)
                refuse_source(path, specs)
            try:
                camera = self._supervisor.add_camera(spec, held=held)
            except (MemoryError, OSError) as error:
                raise refused(error) or error from None
            if path is not None:
                self._state.topology.save_to(camera, path)
            return camera.name

        return self._state.executor.call(add)

    def set_zones(self, name: str, zones: Iterable[Zone], *, outside: Outside = "deliver") -> None:
        """Replace the zones of a camera, also while it runs: from one of its next frames on.

        Args:
            name: The camera's name.
            zones: What to watch and to ignore; none removes all.
            outside: Where zones are watched, whether to "deliver" faces that are in none of them or "ignore" them.

        Raises:
            UsageError: There is no such camera, or two zones have one name.
            EngineStoppedError: The engine has stopped.
        """
        camera = self._state.cameras.named(name)
        if not isinstance(zones, Iterable):
            raise UsageError(f"zones are a sequence of Zone, and none of them an empty one, not {zones!r}")
        spec = camera.spec.replace(zones=tuple(zones), outside_zones=outside)
        self._state.executor.call(lambda: self._supervisor.set_zones(camera, spec))

    def open_source(self, name: str) -> None:
        """Open a source that was added as held. Does not wait.

        Args:
            name: The camera's name.

        Raises:
            UsageError: There is no such camera.
        """
        camera = self._state.cameras.named(name)
        with contextlib.suppress(EngineStoppedError):
            self._state.executor.call(lambda: self._supervisor.open_held(camera))

    def end_source(self, name: str) -> None:
        """Read or accept no further frame of a camera. All that it has given still comes out, and then it has ended, as a
        file does. Does not wait.

        Args:
            name: The camera's name.

        Raises:
            UsageError: There is no such camera.
        """
        camera = self._state.cameras.named(name)
        with contextlib.suppress(EngineStoppedError):
            self._state.executor.call(lambda: self._supervisor.close_input(camera))

    def remove_source(self, name: str, *, drain: bool = True) -> None:
        """Remove a camera, and wait until all that it had is gone: its capture process, memory and tracks.

        Args:
            name: The camera's name.
            drain: Whether its frames on their way still come out, within a second; otherwise they are dropped
                (``end_source`` drops none).

        Raises:
            UsageError: There is no such camera.
        """
        camera = self._state.cameras.named(name)
        try:
            self._state.executor.call(lambda: self._supervisor.remove_camera(camera, drain=drain))
        except EngineStoppedError:
            return
        while not camera.removed.wait(DRAIN / 4) and not self._state.finished.is_set():
            pass

    def push(self, camera: str, frame: AnyImage, timestamp: float | None = None, *, timeout: float = 10.0) -> Pushed:
        """Hand in the next frame of a ``PushSource``; it is copied, once, into shared memory.

        Never blocks for a live source, except for its first frame and for one that is larger than all before.

        Args:
            camera: The source's name.
            frame: uint8 (H, W, 3) BGR, (H, W, 4) BGRA (alpha is ignored) or (H, W) grey, of any layout in memory, 1 to
                16384 pixels on a side. The size may change from frame to frame; then all tracks of the camera end.
            timestamp: Seconds, default now; it should not go backwards.
            timeout: Seconds that a source with ``wait`` waits for a free slot.

        Returns:
            Whether the frame was accepted, and if not what dropped it.

        Raises:
            UsageError: The array or the time stamp makes no sense, or there is no such camera, or it is not pushed to.
        """
        if self._state.cameras.was_removed(camera):
            return Pushed(False, "ended")
        known = self._state.cameras.named(camera)
        if known.input is None:
            raise UsageError(f"{camera} is read by the engine itself: only a PushSource takes pushed frames")
        if not self._state.ending:
            self._start()
        return known.input.push(frame, timestamp, timeout)

    # --- metrics

    @property
    def failures(self) -> tuple[str, ...]:
        """What went wrong without ending the run: sources and outputs that failed."""
        return tuple(self._state.failures)

    def health(self) -> Health:
        """How each worker, camera and consumer is doing now; cheap, from any thread, also after the end."""
        return take_health(self._state)

    def worker_pids(self) -> dict[str, int]:
        """Process ids of the living workers by name."""
        workers = self._state.topology.workers
        return {worker.name: worker.pid for worker in workers if worker.pid is not None}

    def summary(self) -> Summary:
        """The metrics of the run so far, as JSON takes them: rates, counts, drops by stage and reason, latencies, workers."""
        state = self._state
        return run_summary(state.metrics, state.cameras, state.topology, state.subscriptions, self.detector)

    # --- as a context manager

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

    # --- internals

    @property
    def _state(self) -> RunState:
        """The run. Raises EngineStoppedError in a forked process, whatever is asked of it."""
        self._run.check_process()
        return self._run

    def _start(self) -> None:
        """Start the run unless it has been started, or is over."""
        self._state.check_process()
        self._supervisor.start()

    def _consume(self) -> None:
        self._start()
        self._state.consume()

    def _specs(self) -> list[SourceSpec]:
        return [camera.spec for camera in self._state.cameras]

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


def _as_path(save: str | Path) -> Path:
    try:
        return Path(save)
    except TypeError:
        raise UsageError(f"save is the path of a video file or a folder, not {type(save).__name__}") from None


def as_spec(source: AnySource) -> SourceSpec:
    """What ``source`` names. Raises UsageError."""
    if isinstance(source, PushSource):
        return source.spec()
    if isinstance(source, Integral) and not isinstance(source, bool):
        if source < 0:
            raise UsageError(f"a camera's number is 0 or more, not {source}")
        return parse_source(int(source))
    if isinstance(source, bool) or not isinstance(source, AnySource):
        raise UsageError(
            f"a source is a camera's number, a path, a URL, 'demo', a SourceSpec or a PushSource, not {type(source).__name__}"
        )
    return source if isinstance(source, SourceSpec) else parse_source(source)
