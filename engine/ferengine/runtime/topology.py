"""The workers of a run, the shared memory and sockets between them, and what each is told at its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ferengine._native import FaceRing
from ferengine.config import EngineConfig
from ferengine.runtime.camera import CameraState
from ferengine.runtime.channel import data_pair
from ferengine.runtime.planner import Plan
from ferengine.runtime.process import WorkerProcess
from ferengine.runtime.wire import OUTPUT_READER, TRACK_READER


class Topology:
    """All workers by kind. What connects them outlives each of them: a successor is handed the same ends."""

    def __init__(
        self,
        cameras: list[CameraState],
        config: EngineConfig,
        plan: Plan,
        face_side: int,
        save: dict[int, Path],
        display: bool,
    ) -> None:
        self._cameras = cameras
        self._config = config
        self._plan = plan
        self._save = save
        self._display = display
        self.captures = [WorkerProcess(f"capture-{camera.joiner.name}") for camera in cameras]
        self.detectors = [WorkerProcess(f"detect-{index}") for index in range(plan.detectors)]
        self.trackers = [WorkerProcess(f"track-{index}") for index in range(plan.trackers)]
        self.classifier = WorkerProcess("classify")
        self.outputs = [WorkerProcess("output")] if save or display else []
        self.readers = 1 << TRACK_READER | (1 << OUTPUT_READER if self.outputs else 0)
        self.events_in, self.events_out = data_pair()
        self.inbox_in, self.inbox_out = data_pair()
        self._requests_in, self._requests_out = data_pair()
        self._answers = [data_pair() for _ in self.trackers]
        self._face_rings = [FaceRing.create(plan.face_slots, face_side) for _ in self.trackers]

    @property
    def workers(self) -> list[WorkerProcess]:
        return [*self.captures, *self.detectors, *self.trackers, self.classifier, *self.outputs]

    def start(self, worker: WorkerProcess) -> None:
        """Spawn ``worker`` and tell it everything it needs, also what its predecessor knew."""
        worker.spawn()
        settings, descriptors = self._settings(worker)
        worker.send({"op": "start", "stages": [settings]}, {"page": worker.page.fd, **descriptors})
        for camera in self._cameras:
            if worker in self.captures:
                if self.captures[camera.number] is worker and camera.rings:
                    worker.send(*camera.ring_message(max(camera.rings)))
                continue
            for generation in camera.rings:
                worker.send(*camera.ring_message(generation))

    def announce_ring(self, camera: CameraState, generation: int) -> None:
        """Give a new ring to its readers first, then to its writer."""
        readers = [*self.detectors, self.trackers[camera.tracker], *self.outputs]
        for worker in [*readers, self.captures[camera.number]]:
            worker.send(*camera.ring_message(generation))

    def close(self) -> None:
        pairs = [(self.events_in, self.events_out), (self.inbox_in, self.inbox_out),
                 (self._requests_in, self._requests_out), *self._answers]  # fmt: skip
        for ends in pairs:
            for end in ends:
                end.close()
        for worker in self.workers:
            worker.close()

    def _settings(self, worker: WorkerProcess) -> tuple[dict[str, Any], dict[str, int]]:
        if worker in self.captures:
            return self._capture_settings(self._cameras[self.captures.index(worker)])
        if worker in self.detectors:
            return self._detect_settings()
        if worker in self.trackers:
            return self._track_settings(self.trackers.index(worker))
        if worker is self.classifier:
            return self._classify_settings()
        return self._output_settings(worker)

    def _capture_settings(self, camera: CameraState) -> tuple[dict[str, Any], dict[str, int]]:
        settings = {"kind": "capture", "camera": camera.number, "source": camera.spec.to_dict(),
                    "max_frames": self._config.max_frames, "resume_at": camera.published}  # fmt: skip
        return settings, {"track_page": self.trackers[camera.tracker].page.fd}

    def _detect_settings(self) -> tuple[dict[str, Any], dict[str, int]]:
        config = self._config
        settings = {"kind": "detect", "trackers": len(self.trackers), "detector": config.detector,
                    "min_face": config.min_face, "thresholds": config.thresholds,
                    "pyramid_factor": config.pyramid_factor, "threads": self._plan.threads}  # fmt: skip
        answers = {f"answers{t}": pair[0].fileno() for t, pair in enumerate(self._answers)}
        return settings, {"requests": self._requests_out.fileno(), **answers, **self._track_pages()}

    def _track_settings(self, index: int) -> tuple[dict[str, Any], dict[str, int]]:
        config = self._config
        cameras = [
            {"number": camera.number, "live": camera.live, "epoch": camera.epoch,
             "first_id": camera.joiner.next_track_id, "done": camera.joiner.emitted + camera.joiner.waiting}
            for camera in self._cameras if camera.tracker == index
        ]  # fmt: skip
        settings = {"kind": "track", "index": index, "cameras": cameras, "detectors": len(self.detectors),
                    "detect_every": config.detect_every, "deadline": config.deadline,
                    "align": config.align_eyes, "tracker": config.tracker}  # fmt: skip
        pages = {f"detect_page{d}": worker.page.fd for d, worker in enumerate(self.detectors)}
        return settings, {
            "requests": self._requests_in.fileno(),
            "answers": self._answers[index][1].fileno(),
            "events": self.events_in.fileno(),
            "faces": self._face_rings[index].fd,
            "classify_page": self.classifier.page.fd,
            **pages,
        }

    def _classify_settings(self) -> tuple[dict[str, Any], dict[str, int]]:
        config = self._config
        settings = {"kind": "classify", "trackers": len(self.trackers), "model": config.model,
                    "threads": self._plan.threads, "max_batch": config.max_batch,
                    "batch_deadline": config.batch_deadline}  # fmt: skip
        faces = {f"faces{t}": ring.fd for t, ring in enumerate(self._face_rings)}
        return settings, {"events": self.events_in.fileno(), **faces, **self._track_pages()}

    def _output_settings(self, worker: WorkerProcess) -> tuple[dict[str, Any], dict[str, int]]:
        settings = {"kind": "output", "part": worker.lives, "display": self._display,
                    "save": {str(camera): str(path) for camera, path in self._save.items()},
                    "fps": {str(camera.number): camera.fps for camera in self._cameras}}  # fmt: skip
        return settings, {"inbox": self.inbox_out.fileno()}

    def _track_pages(self) -> dict[str, int]:
        return {f"track_page{t}": worker.page.fd for t, worker in enumerate(self.trackers)}
