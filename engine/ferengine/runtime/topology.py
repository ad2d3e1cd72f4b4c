"""The workers of a run, the shared memory and sockets between them, and what each is told at its start."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ferengine._native import FaceRing
from ferengine.config import EngineConfig
from ferengine.ipc.channel import data_pair
from ferengine.ipc.process import WorkerProcess
from ferengine.models.registry import GENDER
from ferengine.runtime.camera_set import CameraSet
from ferengine.runtime.cameras import CameraState
from ferengine.runtime.frame_loans import Lender
from ferengine.runtime.outlet import Outlet
from ferengine.runtime.planner import Plan
from ferengine.stages.messages import TRACK_READER, VIDEO_READER, WINDOW_READER


class Topology:
    """All workers by kind. What connects them outlives each of them: a successor is handed the same ends."""

    def __init__(
        self,
        cameras: CameraSet,
        config: EngineConfig,
        plan: Plan,
        face_side: int,
        save: dict[int, Path],
        saving: bool,
        display: bool,
    ) -> None:
        self._cameras = cameras
        self._config = config
        self._plan = plan
        self._save = save
        self._display = display
        self._leaving: list[WorkerProcess] = []
        self.detectors = [WorkerProcess(f"detect-{index}") for index in range(plan.detectors)]
        self.trackers = [WorkerProcess(f"track-{index}") for index in range(plan.trackers)]
        self.classifier = WorkerProcess("classify")
        wanted = (("video", VIDEO_READER, saving), ("window", WINDOW_READER, display))
        self.outlets = [Outlet(name, reader) for name, reader, asked in wanted if asked]
        self.events_in, self.events_out = data_pair()
        self._requests_in, self._requests_out = data_pair()
        self._answers = [data_pair() for _ in self.trackers]
        self._face_rings = [FaceRing.create(plan.face_slots, face_side) for _ in self.trackers]

    @property
    def captures(self) -> list[WorkerProcess]:
        """One for each camera that has one, and those of removed cameras that have not ended yet."""
        self._leaving = [worker for worker in self._leaving if worker.alive]
        return [*(camera.capture for camera in self._cameras if camera.capture is not None), *self._leaving]

    @property
    def workers(self) -> list[WorkerProcess]:
        return [*self.captures, *self.detectors, *self.trackers, self.classifier, *self.outputs]

    @property
    def outputs(self) -> list[WorkerProcess]:
        return [outlet.worker for outlet in self.outlets]

    def camera_of(self, worker: WorkerProcess) -> CameraState | None:
        """The camera that ``worker`` captures, ``None`` for another kind of worker and for a removed camera."""
        return next((camera for camera in self._cameras if camera.capture is worker), None)

    def ring_readers(self, lent: Iterable[Lender]) -> int:
        """The hold mask of new frames."""
        own = [outlet.lender for outlet in self.outlets if not outlet.failed]
        return 1 << TRACK_READER | sum(1 << lender.reader for lender in [*own, *lent])

    def ring_slots(self, lent: Iterable[Lender]) -> int:
        """Slots of a new frame ring: the plan's, and what each consumer of images may keep."""
        return self._plan.ring_slots + sum(lender.slots for lender in lent)

    def start(self, worker: WorkerProcess) -> None:
        """Spawn ``worker`` and tell it everything it needs, also what its predecessor knew."""
        worker.spawn()
        settings, descriptors = self._settings(worker)
        worker.send({"op": "start", "stages": [settings]}, {"page": worker.page.fd, **descriptors})
        for camera in self._cameras:
            if worker in self.captures:
                if camera.capture is worker and camera.rings:
                    worker.send(*camera.ring_message(max(camera.rings)))
                continue
            for generation in camera.rings:
                worker.send(*camera.ring_message(generation))

    def announce_camera(self, camera: CameraState) -> None:
        """Tell its tracker of a camera that was added, before it gets the camera's rings."""
        self.trackers[camera.tracker].send({"op": "camera", **self._tracked_camera(camera)})

    def announce_ring(self, camera: CameraState, generation: int) -> None:
        """Give a new ring to its readers first, then to its writer."""
        for worker in [*self._trackers_of(camera), *self.outputs]:
            worker.send(*camera.ring_message(generation))
        if camera.capture is not None:
            camera.capture.send(*camera.ring_message(generation))

    def forget_ring(self, camera: CameraState, generation: int) -> None:
        """It is empty and no frame will come: nobody keeps it mapped. (The output worker, which lags behind, sees that
        for itself.)"""
        for worker in self._trackers_of(camera):
            worker.send({"op": "forget_ring", "camera": camera.number, "generation": generation})

    def forget_camera(self, camera: CameraState) -> None:
        """It is gone, with all its rings."""
        for worker in self._trackers_of(camera):
            worker.send({"op": "forget_camera", "camera": camera.number})
        if camera.capture is not None:
            self._leaving.append(camera.capture)

    def save_to(self, camera: CameraState, path: Path) -> None:
        """Have the video of a camera that was added written to ``path``."""
        self._save[camera.number] = path
        for output in self.outputs:
            output.send({"op": "save", "camera": camera.number, "path": str(path)})

    def _trackers_of(self, camera: CameraState) -> list[WorkerProcess]:
        return [*self.detectors, self.trackers[camera.tracker]]

    def close(self) -> None:
        pairs = [*((outlet.inbox_in, outlet.inbox_out) for outlet in self.outlets),
                 (self.events_in, self.events_out), (self._requests_in, self._requests_out), *self._answers]  # fmt: skip
        for ends in pairs:
            for end in ends:
                end.close()
        self._face_rings.clear()
        for worker in self.workers:
            worker.close()

    def _settings(self, worker: WorkerProcess) -> tuple[dict[str, Any], dict[str, int]]:
        camera = self.camera_of(worker)
        if camera is not None:
            return self._capture_settings(camera)
        if worker in self.detectors:
            return self._detect_settings()
        if worker in self.trackers:
            return self._track_settings(self.trackers.index(worker))
        if worker is self.classifier:
            return self._classify_settings()
        return self._output_settings(worker)

    def _capture_settings(self, camera: CameraState) -> tuple[dict[str, Any], dict[str, int]]:
        settings = {"kind": "capture", "camera": camera.number, "source": camera.spec.to_dict(),
                    "max_frames": self._config.max_frames, "resume_at": camera.published,
                    "was_open": camera.opened}  # fmt: skip
        return settings, {"track_page": self.trackers[camera.tracker].page.fd}

    def _detect_settings(self) -> tuple[dict[str, Any], dict[str, int]]:
        config = self._config
        settings = {"kind": "detect", "trackers": len(self.trackers), "detector": config.detector,
                    "min_face": config.min_face, "thresholds": config.thresholds,
                    "pyramid_factor": config.pyramid_factor, "backend": self._backend_settings()}  # fmt: skip
        answers = {f"answers{t}": pair[0].fileno() for t, pair in enumerate(self._answers)}
        return settings, {"requests": self._requests_out.fileno(), **answers, **self._track_pages()}

    def _track_settings(self, index: int) -> tuple[dict[str, Any], dict[str, int]]:
        config = self._config
        cameras = [self._tracked_camera(camera) for camera in self._cameras if camera.tracker == index]
        settings = {"kind": "track", "index": index, "cameras": cameras, "detectors": len(self.detectors),
                    "detect_every": config.detect_every, "deadline": config.deadline,
                    "search": config.search, "full_scan": config.full_scan,
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

    @staticmethod
    def _tracked_camera(camera: CameraState) -> dict[str, Any]:
        return {"number": camera.number, "live": camera.live, "epoch": camera.epoch,
                "first_id": camera.joiner.next_track_id,
                "done": camera.joiner.emitted + camera.joiner.waiting}  # fmt: skip

    def _classify_settings(self) -> tuple[dict[str, Any], dict[str, int]]:
        config = self._config
        models = [config.model, GENDER] if config.gender else [config.model]
        settings = {"kind": "classify", "trackers": len(self.trackers), "models": models,
                    "threads": self._plan.threads, "max_batch": config.max_batch,
                    "backend": self._backend_settings(),
                    "batch_deadline": config.batch_deadline}  # fmt: skip
        faces = {f"faces{t}": ring.fd for t, ring in enumerate(self._face_rings)}
        return settings, {"events": self.events_in.fileno(), **faces, **self._track_pages()}

    def _backend_settings(self) -> dict[str, Any]:
        """The fields of ``ferengine.inference.select.BackendSettings``."""
        config = self._config
        return {"backend": config.backend, "precision": config.precision, "engines": config.engines,
                "build": config.build_engines}  # fmt: skip

    def _output_settings(self, worker: WorkerProcess) -> tuple[dict[str, Any], dict[str, int]]:
        [outlet] = [outlet for outlet in self.outlets if outlet.worker is worker]
        save = self._save if outlet.name == "video" else {}
        settings = {"kind": "output", "part": worker.lives, "display": outlet.name == "window",
                    "reader": outlet.lender.reader, "save": {str(camera): str(path) for camera, path in save.items()},
                    "fps": {str(camera.number): camera.fps for camera in self._cameras}}  # fmt: skip
        return settings, {"inbox": outlet.inbox_out.fileno()}

    def _track_pages(self) -> dict[str, int]:
        return {f"track_page{t}": worker.page.fd for t, worker in enumerate(self.trackers)}
