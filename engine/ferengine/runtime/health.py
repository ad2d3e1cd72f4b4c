"""How an engine is doing: what ``Engine.health`` returns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ferengine.runtime.cameras import StateName, camera_counts
from ferengine.runtime.state import RunState
from ferengine.runtime.subscriptions import Policy
from ferengine.runtime.workers import Worker

WorkerStateName: TypeAlias = Literal["starting", "running", "stuck", "restarting", "ended", "failed"]
EngineStateName: TypeAlias = Literal["new", "starting", "running", "stopping", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """One worker process.

    Attributes:
        name: Such as "detect-0".
        state: "starting": not started, or not ready yet; "stuck": it has given no sign of life for longer than ``stuck_after``
            and is being killed; "restarting": it died and is being replaced; "ended": it was done; "failed": it was given up.
        pid: Its process id, ``None`` when it is not alive.
        restarts: How often it was replaced.
        silent_s: Seconds since its last sign of life, ``None`` when it is not alive.
    """

    name: str
    state: WorkerStateName
    pid: int | None
    restarts: int
    silent_s: float | None


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """One camera.

    Attributes:
        name: What results call it.
        state: "opening": its source has not opened yet; "disconnected": the source has stopped and is being reopened;
            "leaving": it is being removed; "failed": see ``error``.
        live: Whether it drops frames rather than waiting.
        frames, faces: How many went out.
        last_frame_age_s: Seconds since the newest frame that was tracked was captured, ``None`` before the first.
        restarts: Of its capture worker.
        dropped: Frames, and under ``deadline``, ``face_ring_full``, ``not_finite`` and ``too_many`` faces, by reason: see
            ``Engine.summary``.
        error: What ended it.
        total: Frames that it will give at most: those that its file says it holds, or ``max_frames``; ``None`` where neither is
            known, as for a file of variable rate.
        progress: The fraction of its file, or of ``max_frames``, whose results have gone out, in [0, 1]; ``None`` where no end
            is known.
        left_out: Frames that were left out to keep to the rate ``fps`` of its source; they are not dropped.
        size: Width and height of its frames when it was last opened, ``None`` before that.
        ignored: How often a face was ignored because of the camera's zones.
    """

    name: str
    state: StateName
    live: bool
    frames: int
    faces: int
    last_frame_age_s: float | None
    restarts: int
    dropped: Mapping[str, int] = field(hash=False)
    error: str | None
    total: int | None = None
    size: tuple[int, int] | None = None
    ignored: int = 0
    progress: float | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerHealth:
    """One iterator, stream or callback.

    Attributes:
        name: "results", "stream", or the callback's.
        policy: What happens when its queue is full.
        delivered: Results that it took.
        waiting: Results in its queue.
        dropped: Results that its full queue dropped.
        errors: How often a callback raised.
    """

    name: str
    policy: Policy
    delivered: int
    waiting: int
    dropped: int
    errors: int


@dataclass(frozen=True, slots=True)
class Health:
    """The whole engine, and each of its parts by name.

    Attributes:
        state: Of the engine.
        workers, cameras: By name.
        consumers: Iterators, streams and callbacks.
        failures: What went wrong without ending the run.
    """

    state: EngineStateName
    workers: Mapping[str, WorkerHealth] = field(hash=False)
    cameras: Mapping[str, CameraHealth] = field(hash=False)
    consumers: tuple[ConsumerHealth, ...]
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether it runs, and no camera or worker is failed, disconnected, stuck or restarting."""
        bad = {"failed", "disconnected", "stuck", "restarting"}
        parts = {*(worker.state for worker in self.workers.values()), *(camera.state for camera in self.cameras.values())}
        return self.state == "running" and not bad & parts


def take_health(state: RunState) -> Health:
    """May be called from any thread: single values are right, together they may be a moment apart."""
    now = time.monotonic()
    return Health(
        state=_engine_state(state),
        workers={worker.name: _worker(worker, now, state) for worker in state.topology.workers},
        cameras=_cameras(state, now),
        consumers=tuple(
            ConsumerHealth(item.name, item.policy, item.delivered, item.waiting, item.dropped, item.errors)
            for item in state.subscriptions.all
        ),
        failures=tuple(state.failures),
    )


def _engine_state(state: RunState) -> EngineStateName:
    if state.finished.is_set():
        return "ended" if state.error is None else "failed"
    if not state.started:
        return "new"
    if state.ending:
        return "stopping"
    return "running" if state.ready.is_set() else "starting"


def _worker(worker: Worker, now: float, run: RunState) -> WorkerHealth:
    pid = worker.pid
    state: WorkerStateName
    if pid is None:
        over = worker.finished or run.finished.is_set()
        state = "failed" if worker.failed else "ended" if over else "restarting" if worker.lives else "starting"
        return WorkerHealth(worker.name, state, None, worker.restarts, None)
    silent = worker.silent_for(now)
    state = "stuck" if worker.stuck(now, run.config.stuck_after) else "running" if worker.ready else "starting"
    return WorkerHealth(worker.name, state, pid, worker.restarts, round(silent, 3))


def _cameras(state: RunState, now: float) -> dict[str, CameraHealth]:
    found = {}
    for camera in state.cameras:
        counts = camera_counts(camera)
        frames, faces, ignored = counts.pop("frames"), counts.pop("faces"), counts.pop("ignored")
        age = now - camera.last_captured_ns / 1e9 if camera.last_captured_ns else None
        restarts = camera.capture.restarts if camera.capture is not None else 0
        found[camera.name] = CameraHealth(camera.name, camera.state, camera.live, frames, faces,
                                          age, restarts, counts, camera.error, camera.total, camera.size, ignored,
                                          camera.progress, camera.left_out)  # fmt: skip
    return found
