"""How an engine is doing, at a glance: what ``Engine.health()`` returns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ferengine.ipc.process import WorkerProcess
from ferengine.runtime.camera_set import camera_counts
from ferengine.runtime.cameras import StateName
from ferengine.runtime.subscriptions import Policy

if TYPE_CHECKING:
    from ferengine.runtime.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """One worker process. ``starting``: not ready yet; ``stuck``: it has given no sign of life for longer than
    ``stuck_after`` and is being killed; ``restarting``: it died and is being replaced; ``ended``: it was done;
    ``failed``: it was given up. ``silent_s``: seconds since its last sign of life, ``None`` when it is not alive."""

    name: str
    state: Literal["starting", "running", "stuck", "restarting", "ended", "failed"]
    pid: int | None
    restarts: int
    silent_s: float | None


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """One camera. ``opening``: its source has not opened yet; ``lost``: the source has stopped and is being reopened;
    ``leaving``: it is being removed; ``failed``: see ``error``. ``last_frame_age_s``: seconds since the newest frame
    that was tracked was captured, ``None`` before the first. ``restarts``: of its capture worker. ``dropped``: frames,
    and under ``deadline`` and ``face_ring_full`` faces, by reason: see ``Engine.summary``."""

    name: str
    state: StateName
    live: bool
    frames: int
    faces: int
    last_frame_age_s: float | None
    restarts: int
    dropped: Mapping[str, int]
    error: str | None


@dataclass(frozen=True, slots=True)
class ConsumerHealth:
    """One iterator, stream or callback: ``delivered`` results, ``waiting`` in its queue, ``dropped`` by it, and for a
    callback how often it raised (``errors``)."""

    name: str
    policy: Policy
    delivered: int
    waiting: int
    dropped: int
    errors: int


@dataclass(frozen=True, slots=True)
class Health:
    """The whole engine, and each of its parts by name. ``ok``: it runs, and no camera or worker is failed, lost,
    stuck or restarting."""

    state: Literal["new", "starting", "running", "stopping", "ended", "failed"]
    workers: Mapping[str, WorkerHealth]
    cameras: Mapping[str, CameraHealth]
    consumers: tuple[ConsumerHealth, ...]
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        ill = {"failed", "lost", "stuck", "restarting"}
        parts = {*(worker.state for worker in self.workers.values()), *(camera.state for camera in self.cameras.values())}
        return self.state == "running" and not ill & parts


def take_health(supervisor: Supervisor) -> Health:
    """May be called from any thread: single figures are right, together they may be a moment apart."""
    now = time.monotonic()
    stuck_after = supervisor.config.stuck_after
    return Health(
        state=_engine_state(supervisor),
        workers={worker.name: _worker(worker, now, stuck_after) for worker in supervisor.topology.workers},
        cameras=_cameras(supervisor, now),
        consumers=tuple(
            ConsumerHealth(item.name, item.policy, item.delivered, item.waiting, item.dropped, item.errors)
            for item in supervisor.delivery.subscriptions
        ),
        failures=tuple(supervisor.failures),
    )


def _engine_state(supervisor: Supervisor) -> Literal["new", "starting", "running", "stopping", "ended", "failed"]:
    if not supervisor.started:
        return "ended" if supervisor.over else "new"
    if not supervisor.running:
        return "ended" if supervisor.error is None else "failed"
    if supervisor.over:
        return "stopping"
    return "running" if supervisor.ready.is_set() else "starting"


def _worker(worker: WorkerProcess, now: float, stuck_after: float) -> WorkerHealth:
    pid = worker.pid
    if pid is None:
        over = worker.finished or not worker.lives
        state: Literal["failed", "ended", "restarting"] = "failed" if worker.failed else "ended" if over else "restarting"
        return WorkerHealth(worker.name, state, None, worker.restarts, None)
    silent = worker.silent_for(now)
    alive: Literal["stuck", "running", "starting"]
    alive = "stuck" if worker.stuck(now, stuck_after) else "running" if worker.ready else "starting"
    return WorkerHealth(worker.name, alive, pid, worker.restarts, round(silent, 3))


def _cameras(supervisor: Supervisor, now: float) -> dict[str, CameraHealth]:
    found = {}
    for camera in supervisor.cameras:
        counts = camera_counts(camera)
        frames, faces = counts.pop("frames"), counts.pop("faces")
        age = now - camera.last_captured_ns / 1e9 if camera.last_captured_ns else None
        restarts = camera.capture.restarts if camera.capture is not None else 0
        found[camera.name] = CameraHealth(camera.name, camera.state, camera.live, frames, faces,
                                          age, restarts, counts, camera.error)  # fmt: skip
    return found
