"""The public engine: cameras in, results out, everything between in processes of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from ferengine.config import make_config
from ferengine.errors import SinkError, UsageError
from ferengine.models.registry import load_model
from ferengine.results import FrameResult
from ferengine.runtime.camera import CameraState
from ferengine.runtime.delivery import Subscription
from ferengine.runtime.joiner import CameraJoiner
from ferengine.runtime.planner import make_plan
from ferengine.runtime.statistics import worker_figures
from ferengine.runtime.supervisor import Supervisor
from ferengine.runtime.topology import Topology
from ferengine.sources import SourceSpec, parse_source, unique_names

log = logging.getLogger("ferengine")


class Engine:
    """Reads the faces and expressions of one or more sources, in worker processes.

        with Engine("talk.mp4") as engine:
            for result in engine.results():
                print(result.frame, [face.expression for face in result.faces])

    ``sources``: camera indices, paths, ``"demo"`` or ``SourceSpec``, one or a sequence. ``save``: a video file to
    write with everything drawn (with several sources a folder, one file each). ``display``: a window for each
    source. Further keywords are the fields of ``ferengine.config.EngineConfig``.

    Files wait for whoever takes the results; live sources drop instead. No signal handler is installed, nothing is
    printed, and the caller needs no ``__main__`` guard. Raises UsageError for settings that make no sense,
    SourceError when no source opens, ModelError for a damaged model, WorkerError when workers keep dying.
    """

    def __init__(
        self,
        sources: str | int | Path | SourceSpec | Sequence[str | int | Path | SourceSpec],
        *,
        save: str | Path | None = None,
        overwrite: bool = False,
        display: bool = False,
        **settings: Any,
    ) -> None:
        config = make_config(**settings)
        given = [sources] if isinstance(sources, str | int | Path | SourceSpec) else list(sources)
        if not given:
            raise UsageError("no source given: name a camera index, a file or 'demo'")
        specs = unique_names([s if isinstance(s, SourceSpec) else parse_source(str(s)) for s in given])
        model = load_model(config.model)
        labels = tuple(model.manifest.labels)
        paths = _save_paths(specs, Path(save), overwrite) if save is not None else {}
        plan = make_plan(len(specs), config, output=bool(paths) or display)
        cameras = []
        for number, spec in enumerate(specs):
            joiner = CameraJoiner(
                spec.name, spec.kind == "camera" or spec.pace == "native", labels, config.deadline, config.smoothing
            )
            cameras.append(CameraState(number, spec, joiner, number % plan.trackers))
        topology = Topology(cameras, config, plan, model.manifest.input.size, paths, display)
        self._queue = config.queue
        self._supervisor = Supervisor(cameras, topology, config, plan.ring_slots)
        self._subscription: Subscription | None = None
        self.labels = labels
        self.cameras = tuple(spec.name for spec in specs)

    def start(self) -> None:
        """Start the workers; capture begins once they are ready and somebody takes the results."""
        if not self._supervisor.started:
            self._supervisor.start()

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until all workers are ready; False after ``timeout`` seconds. Raises what prevents it."""
        self.start()
        ready = self._supervisor.ready.wait(timeout)
        if self._supervisor.error is not None:
            raise self._supervisor.error
        return ready

    def results(self) -> Iterator[FrameResult]:
        """The results of all cameras as they come, in order for each camera; ends when all sources have ended.

        Raises the error that ended the run, after the last result.
        """
        while True:
            try:
                result = self.take()
            except EOFError:
                return
            if result is not None:
                yield result

    def take(self, timeout: float | None = None) -> FrameResult | None:
        """The next result; ``None`` after ``timeout`` seconds. Raises EOFError after the last one, or the run's error."""
        if self._subscription is None:
            self._subscription = self.attach()
            self.start()
            self._supervisor.consume()
        try:
            return self._subscription.take(timeout)
        except EOFError:
            self._supervisor.join()
            if self._supervisor.error is not None:
                raise self._supervisor.error from None
            raise

    def attach(self) -> Subscription:
        """A further queue of results with a policy of its own; capture begins when somebody takes results."""
        subscription = Subscription(self._queue, self._supervisor.wake)
        if self._supervisor.started and not self._supervisor.running:
            subscription.end()
        self._supervisor.subscriptions.append(subscription)
        return subscription

    def stop(self, *, force: bool = False) -> None:
        """End the run: frames on their way still come out (within a second), files are closed. ``force``: at once.

        May be called from another thread or a signal handler, and more than once.
        """
        self._supervisor.stop(force=force)

    def close(self) -> None:
        """Stop, and wait until no worker is left."""
        if not self._supervisor.started:
            self._supervisor.topology.close()
            return
        if self._subscription is not None:
            self._subscription.discard()
        self._supervisor.stop()
        self._supervisor.join()

    @property
    def failures(self) -> tuple[str, ...]:
        """What went wrong without ending the run: sources and outputs that failed."""
        return tuple(self._supervisor.failures)

    def worker_pids(self) -> dict[str, int]:
        """Process ids of the living workers by name."""
        workers = self._supervisor.topology.workers
        return {worker.name: worker.pid for worker in workers if worker.pid is not None}

    def summary(self) -> dict[str, Any]:
        """The figures of the run so far: rates, counts, drops by stage and reason, latencies, workers."""
        supervisor = self._supervisor
        statistics = supervisor.statistics
        joiners = [camera.joiner for camera in supervisor.cameras]
        unclassified = {
            reason: sum(joiner.unclassified.get(reason, 0) for joiner in joiners) for reason in ("deadline", "face_ring_full")
        }
        return {
            "fps": round(statistics.fps, 2),
            "frames": statistics.frames,
            "dropped": {
                "capture": {
                    "ring_full": sum(camera.ring_full for camera in supervisor.cameras),
                    "broken": sum(camera.broken for camera in supervisor.cameras),
                    "late": sum(camera.late for camera in supervisor.cameras),
                },
                "track": {"skipped": sum(joiner.skipped for joiner in joiners)},
                "classify": unclassified,
                "results": {"queue_full": self._subscription.dropped if self._subscription else 0},
                "output": {"queue_full": supervisor.output_dropped},
            },
            "faces": sum(joiner.faces for joiner in joiners),
            "latency_ms": statistics.latencies(),
            "batch": statistics.batch(),
            "startup_s": round(supervisor.startup_s, 3),
            "wall_s": round(supervisor.wall_s, 3),
            "cameras": {
                camera.joiner.name: {"frames": camera.joiner.emitted, "faces": camera.joiner.faces, "error": camera.error}
                for camera in supervisor.cameras
            },
            "workers": worker_figures(supervisor.topology.workers),
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _save_paths(specs: Sequence[SourceSpec], target: Path, overwrite: bool) -> dict[int, Path]:
    """The video file of each camera: ``target`` itself, or with several cameras one file each in that folder."""
    if len(specs) == 1 and not target.is_dir():
        paths = {0: target}
    elif target.is_dir():
        paths = {number: target / f"{spec.name}.mp4" for number, spec in enumerate(specs)}
    else:
        raise UsageError(f"{target} is not a folder: with several sources --save takes an existing folder")
    for path in paths.values():
        if path.suffix not in (".mp4", ".mkv", ".mov"):
            raise UsageError(f"{path}: video files end in .mp4, .mkv or .mov")
        if not path.parent.is_dir():
            raise SinkError(f"{path}: the folder {path.parent} does not exist")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists already: choose another name or pass --overwrite")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise SinkError(f"{path} cannot be written: permission denied")
    return paths
