"""The cameras that a node reads, each under an epoch, and none without a lease."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from ferengine.engine import Engine
from ferengine.errors import FerengineError, UsageError
from ferengine.fleet.load import smooth_load
from ferengine.fleet.meter import LoadMeter
from ferengine.fleet.records import CameraReport, CameraState, Grant, renumbered
from ferengine.results import FrameResult
from ferengine.runtime.health import CameraHealth
from ferengine.sources import SourceSpec

STOP_SECONDS = 1.0
"""Seconds before the end of its lease in which a node stops reading."""
_TICK = 0.02
_METER = 2.0
_LOAD_SECONDS = 60.0
"""Time constant of the mean of a camera's load."""
_FLUSH_SECONDS = 3.0
_AT_ONCE = 8
"""Cameras that are got ready, and that are opened, at once."""
_CLOSING_AT_ONCE = 64
"""Cameras that are closed at once: more than a node reads, so that none waits for another's last results."""

_STATES: dict[str, CameraState] = {"leaving": "moving", "opening": "opening", "running": "running", "ended": "ended",
                                   "disconnected": "disconnected", "failed": "failed"}  # fmt: skip

log = logging.getLogger("ferengine")


def clock() -> float:
    """Seconds that also pass while the machine sleeps or the process is stopped: leases are counted in them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class _Held:
    """A camera that this node reads, or closes."""

    epoch: int
    opened: Future[None] = field(default_factory=Future)
    closing: bool = False
    refused: bool = False
    """Whether the lease has ended while it was held: another node may read it, and what still comes of it does not count."""
    released: bool = False
    frames: int = 0
    faces: int = 0
    first: float | None = None
    last: float | None = None
    load: float | None = None
    error: str | None = None


class Readings:
    """Opens and closes the cameras of an engine as orders say, and passes their results on with numbers of their epoch.

    Args:
        engine: The engine.
        open_source: Opens the seal of a source.
        deliver: Takes each result; called from one thread.
        wake: Called when there is something to say to the coordinator at once.
    """

    def __init__(
        self, engine: Engine, open_source: Callable[[bytes], SourceSpec], deliver: Callable[[FrameResult], None],
        wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self.stale = 0
        self.until = 0.0
        """When the lease ends, as ``clock`` counts."""
        self._engine = engine
        self._open_source = open_source
        self._deliver = deliver
        self._wake = wake
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._prepared: dict[str, Future[None]] = {}
        self._given_up: set[str] = set()
        self._released: dict[str, CameraReport] = {}
        self._preparing = ThreadPoolExecutor(_AT_ONCE, "ferengine-fleet-prepare")
        self._opening = ThreadPoolExecutor(_AT_ONCE, "ferengine-fleet-open")
        self._closing = ThreadPoolExecutor(_CLOSING_AT_ONCE, "ferengine-fleet-close")  # waits for nothing else: the lease ends
        self._meter = LoadMeter()
        self._metered = clock()
        self._rounds = 0
        self._results = engine.results()
        self._over = threading.Event()
        self._pump = threading.Thread(target=self._pump_results, name="ferengine-fleet-results", daemon=True)
        self._guard = threading.Thread(target=self._guard_lease, name="ferengine-fleet-lease", daemon=True)
        self._pump.start()
        self._guard.start()

    @property
    def is_passing_on(self) -> bool:
        """Whether results still come through, or it was closed."""
        return self._pump.is_alive() or self._over.is_set()

    @property
    def load_of_others(self) -> float:
        """CPU cores that other programs keep busy."""
        return self._meter.others

    def obey(self, grants: Mapping[str, Grant], prepare: Mapping[str, bytes], until: float) -> None:
        """Read just these cameras from now on; what is to be closed or opened is begun, and not waited for.

        Args:
            grants: Everything that may be read.
            prepare: The sealed sources of cameras to get ready for: their processes are started, and open nothing.
            until: When the lease ends.
        """
        with self._lock:
            lapsed, self.until = clock() >= self.until, max(self.until, until)
            for name, held in self._held.items():
                grant = grants.get(name)
                if grant is None or grant.epoch != held.epoch:
                    held.refused |= lapsed
                    self._begin_close(name, held, drain=True)
            for name, grant in grants.items():
                if name not in self._held and name not in self._given_up and grant.sealed:
                    held = self._held[name] = _Held(grant.epoch)
                    held.opened = self._opening.submit(self._open, name, held, grant.sealed, self._prepared.pop(name, None))
            for name in self._prepared.keys() - prepare.keys() - self._given_up:
                self._given_up.add(name)
                self._preparing.submit(self._give_up, name)
            for name, sealed in prepare.items():
                if name not in self._held and name not in self._prepared:
                    self._prepared[name] = self._preparing.submit(self._prepare, name, sealed)

    def extend(self, until: float) -> None:
        """The lease ends later, unless it has ended; orders stay."""
        with self._lock:
            if clock() < self.until:
                self.until = max(self.until, until)

    def prepared(self) -> dict[str, bool]:
        """The cameras that it is to read next, and whether their processes are ready."""
        with self._lock:
            return {
                name: asked.done() and asked.exception() is None and name not in self._given_up
                for name, asked in self._prepared.items()
            }

    def reports(self) -> tuple[dict[str, CameraReport], dict[str, CameraReport]]:
        """What is read, opened or closed; and the last report of each camera that was closed, until ``forget``."""
        now = clock()
        health = self._engine.health().cameras
        if now > self._metered + _METER:
            seconds, self._metered = now - self._metered, now
            for name, load in self._meter.measure(self._engine.worker_pids().values(), health).items():
                if (held := self._held.get(name)) is not None:
                    held.load = load if held.load is None else smooth_load(held.load, load, seconds, _LOAD_SECONDS)
        with self._lock:
            current = {name: _report(held, health.get(name), now) for name, held in self._held.items() if not held.released}
            return current, dict(self._released)

    def forget(self, released: Mapping[str, CameraReport]) -> None:
        """The coordinator has these last reports."""
        with self._lock:
            for name, report in released.items():
                if self._released.get(name) is report:
                    del self._released[name]

    def close(self) -> None:
        """Close all cameras, and wait for that; the engine still runs."""
        self.obey({}, {}, self.until)
        self._over.set()
        for pool in (self._preparing, self._opening, self._closing):
            pool.shutdown(wait=True)
        self._guard.join()
        self._results.close()

    # --- within

    def _prepare(self, name: str, sealed: bytes) -> None:
        """Start the process of a camera, and wait until it is there or no longer needed."""
        self._engine.add_source(self._open_source(sealed), held=True)
        while not self._over.wait(_TICK):
            with self._lock:
                needed = name in self._prepared and name not in self._given_up
            worker = self._engine.health().workers.get(f"capture-{name}")
            if not needed or worker is None or worker.state != "starting":
                break
        self._wake()

    def _give_up(self, name: str) -> None:
        """Another node is to read it."""
        try:
            if self._prepared[name].exception() is None:
                with contextlib.suppress(UsageError):  # it is gone already
                    self._engine.remove_source(name, drain=False)
        finally:
            with self._lock:
                del self._prepared[name]
                self._given_up.remove(name)
            self._wake()

    def _open(self, name: str, held: _Held, sealed: bytes, prepared: Future[None] | None) -> None:
        try:
            ready = prepared is not None and prepared.exception() is None
            if held.closing:
                return  # what was prepared is removed with it
            if ready:
                self._engine.open_source(name)
            else:
                self._engine.add_source(self._open_source(sealed))
        except Exception as error:  # whatever it is: the coordinator has to know
            held.error = str(error) if isinstance(error, FerengineError) else f"{type(error).__name__}: {error}"
            log.error("%s cannot be read: %s", name, held.error)
        self._wake()

    def _begin_close(self, name: str, held: _Held, *, drain: bool) -> None:
        if not held.closing:
            held.closing = True
            self._closing.submit(self._close, name, held, drain)

    def _close(self, name: str, held: _Held, drain: bool) -> None:
        held.opened.result()
        if held.error is None:
            with contextlib.suppress(UsageError):  # it is gone already
                self._engine.remove_source(name, drain=drain)
        with self._lock:  # it is read no more, and that is to be known at once; its last results may still come
            held.released = True
            self._released[name] = _report(held, None, clock())
        self._wake()
        self._flush()
        with self._lock:
            del self._held[name]

    def _flush(self) -> None:
        """Wait until all results that the engine has given were delivered."""
        deadline = clock() + _FLUSH_SECONDS
        while self._results.waiting and clock() < deadline:
            time.sleep(_TICK)
        rounds = self._rounds
        while self._rounds < rounds + 2 and self._pump.is_alive() and clock() < deadline:
            time.sleep(_TICK / 2)

    def _pump_results(self) -> None:
        try:
            while True:
                result = self._results.take(_TICK)
                if result is not None:
                    self._pass_on(result)
                self._rounds += 1
        except (EOFError, FerengineError):
            pass
        except Exception:
            log.exception("results are no longer passed on")

    def _pass_on(self, result: FrameResult) -> None:
        held, now = self._held.get(result.camera), clock()
        if held is None or held.refused or now >= self.until:
            self.stale += 1  # another node may read this camera by now
            return
        held.frames += 1
        held.faces += len(result.faces)
        held.last = now
        self._deliver(renumbered(result, held.epoch))
        if held.first is None:
            held.first = now
            self._wake()

    def _guard_lease(self) -> None:
        """Stop reading before the lease ends, for whatever reason it was not renewed."""
        while not self._over.wait(STOP_SECONDS / 10):
            if clock() >= self.until - STOP_SECONDS:
                with self._lock:
                    reading = [(name, held) for name, held in self._held.items() if not held.closing]
                    for name, held in reading:
                        self._begin_close(name, held, drain=False)
                if reading:
                    log.warning("the coordinator does not answer: stopped reading %s", ", ".join(name for name, _ in reading))


def _report(held: _Held, health: CameraHealth | None, now: float) -> CameraReport:
    state: CameraState = "opening"
    if held.closing:
        state = "moving"
    elif held.error is not None:
        state = "failed"
    elif health is not None:
        state = _STATES[health.state]
    return CameraReport(
        held.epoch, state, held.frames, held.faces,
        None if held.first is None else now - held.first,
        None if held.last is None else now - held.last,
        held.load,
        {} if health is None else dict(health.dropped),
        held.error or (None if health is None else health.error),
    )  # fmt: skip
