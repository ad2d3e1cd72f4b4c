"""The workers of a run, the shared memory and sockets between them, and what each gets at its start."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ferengine._native import FaceRing
from ferengine.config import EngineConfig
from ferengine.detection.birth import birth_scores
from ferengine.ipc.channel import data_pair
from ferengine.ipc.frame_loans import FrameReader
from ferengine.ipc.machine import processors
from ferengine.models.manifest import CropFormat
from ferengine.models.registry import GENDER
from ferengine.models.settings import BackendSettings, Prior
from ferengine.runtime.cameras import Cameras, CameraState
from ferengine.runtime.output_workers import HOLD, OutputWorker
from ferengine.runtime.workers import Worker, new_worker
from ferengine.stages.messages import AddRing, ForgetCamera, ForgetRing, SetZones
from ferengine.stages.records import MAX_FACES, TRACK_READER, VIDEO_READER, WINDOW_READER
from ferengine.stages.start_messages import (
    AddCamera,
    Descriptor,
    SaveVideo,
    SetRate,
    Start,
    StartCapture,
    StartClassify,
    StartDetect,
    StartRender,
    StartTrack,
)

_RING_BYTES = 256 << 20
"""What the frame ring of one camera takes, unless its frames are so large that the minimum of slots takes more."""

_FACE_RING_BYTES = 32 << 20
"""What the faces of one track worker take, unless those of one frame take more."""

_MIN_FILE_SLOTS, _MIN_LIVE_SLOTS = 2, 4
"""Slots of a ring without which a camera would not work. A file needs one that is captured and one that is tracked: its tracker
waits for the detection of each frame, so that results do not depend on the number of slots. A live camera needs one more
that is detected and corrected later, and one for the newest frame."""

_MAX_POOL = 64
"""Workers of one kind: a start message carries two descriptors for each track worker."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Worker counts, threads of each inference session, and slots of each camera's frame ring."""

    detectors: int
    trackers: int
    threads: int
    ring_slots: int
    face_slots: int


@dataclass(frozen=True, slots=True)
class RingSize:
    """Slots of a frame ring, the fewest with which it works, and how many of them one output may keep."""

    slots: int
    minimum: int
    hold: int


def make_plan(
    cameras: int,
    config: EngineConfig,
    *,
    backend: str = "ort",
    outputs: int = 0,
    growing: bool = False,
    cores: int | None = None,
) -> Plan:
    """How many workers of each kind to run.

    Small networks gain nothing from a second thread, so sessions get one each and stages run side by side; detection is
    the heaviest stage and gets every second core, but no more workers than cameras can keep busy. On a GPU it gets the workers
    that the settings name: each has a CUDA context with its networks, and the device computes their batches in turn.

    Args:
        cameras: How many sources there are.
        config: Settings of the run.
        backend: What ``choose_backend`` says of theirs.
        outputs: How many render workers keep frames of each source.
        growing: Plan for as many sources as may come.
        cores: Processors (default: those that this process may keep busy).
    """
    cores = cores or processors()
    cameras = max(cameras, cores) if growing else cameras
    on_gpu = config.gpu_detectors and backend != "ort"
    return Plan(
        detectors=config.gpu_detectors if on_gpu else max(1, min(cores // 2, 2 * cameras, _MAX_POOL)),
        trackers=max(1, min(cores // 2, cameras, _MAX_POOL)),
        threads=1,
        ring_slots=config.detect_every + 4 + outputs * HOLD,
        face_slots=256,
    )


def face_slots(planned: int, crops: Sequence[CropFormat]) -> int:
    """How many faces a face ring holds: those planned, fewer of large crops, and always those of one frame."""
    nbytes = sum(math.prod(crop.shape) for crop in crops)
    return max(min(planned, _FACE_RING_BYTES // nbytes), MAX_FACES)


class Topology:
    """All workers by kind. What connects them outlives each of them: a successor gets the same ends.

    Args:
        cameras: The cameras of the run.
        config: Its settings.
        plan: How many workers there are.
        crops: The crops of each face that the networks take, each once.
        prior: The class prior of the expression model, None where it names none.
        save: The video file of each camera, by its number.
        overwrite: Whether these may exist.
        saving, display: Whether there are workers for video files and for windows.
    """

    def __init__(
        self,
        cameras: Cameras,
        config: EngineConfig,
        plan: Plan,
        crops: tuple[CropFormat, ...],
        prior: Prior | None,
        save: dict[int, Path],
        overwrite: bool,
        saving: bool,
        display: bool,
    ) -> None:
        self._cameras = cameras
        self._config = config
        self._plan = plan
        self.prior = prior
        self._save = save
        self._overwrite = overwrite
        self._leaving: list[Worker] = []
        self.detectors = [new_worker(f"detect-{index}") for index in range(plan.detectors)]
        self.trackers = [new_worker(f"track-{index}") for index in range(plan.trackers)]
        self.classifier = new_worker("classify")
        wanted = (("video", VIDEO_READER, saving), ("window", WINDOW_READER, display))
        self.outputs = [OutputWorker(name, reader, complete=name == "video") for name, reader, requested in wanted if requested]
        self.events_in, self.events_out = data_pair()
        self._requests_in, self._requests_out = data_pair()
        self._answers = [data_pair() for _ in self.trackers]
        slots = face_slots(plan.face_slots, crops)
        self._face_rings = [FaceRing.create(slots, crops) for _ in self.trackers]

    @property
    def captures(self) -> list[Worker]:
        """One for each camera that has one, and those of removed cameras that have not ended yet."""
        self._leaving = [worker for worker in self._leaving if worker.alive]
        return [*(camera.capture for camera in self._cameras if camera.capture is not None), *self._leaving]

    @property
    def renderers(self) -> list[Worker]:
        return [output.worker for output in self.outputs]

    @property
    def workers(self) -> list[Worker]:
        return [*self.captures, *self.detectors, *self.trackers, self.classifier, *self.renderers]

    def output_of(self, worker: Worker) -> OutputWorker | None:
        """The output that ``worker`` renders, ``None`` for another kind of worker."""
        return next((output for output in self.outputs if output.worker is worker), None)

    def camera_of(self, worker: Worker) -> CameraState | None:
        """The camera that ``worker`` captures, ``None`` for another kind of worker and for a removed camera."""
        return next((camera for camera in self._cameras if camera.capture is worker), None)

    @property
    def output_readers(self) -> list[int]:
        """The bits of the outputs in the hold masks."""
        return [output.reader.reader for output in self.outputs if not output.failed]

    def ring_mask(self, readers: Iterable[FrameReader]) -> int:
        """The hold mask of new frames, with the consumers of images ``readers``."""
        return 1 << TRACK_READER | sum(1 << bit for bit in [*self.output_readers, *(reader.reader for reader in readers)])

    def ring_size(self, slot_bytes: int, live: bool, readers: Iterable[FrameReader]) -> RingSize:
        """How large to make a frame ring.

        Args:
            slot_bytes: The size of a frame.
            live: Whether its camera drops frames rather than waiting.
            readers: The consumers of its images.

        Returns:
            The plan's number of slots where they take no more than 256 MiB, else as many as that holds, but no fewer than the
            minimum: 2 for a file and 4 for a live camera, and 1 for each output. What each of ``readers`` may keep is
            added.
        """
        outputs = len(self.outputs)
        minimum = (_MIN_LIVE_SLOTS if live else _MIN_FILE_SLOTS) + outputs
        slots = max(min(self._plan.ring_slots, _RING_BYTES // max(1, slot_bytes)), minimum)
        spare = slots - minimum + outputs
        hold = min(HOLD, max(1, spare // outputs)) if outputs else HOLD
        loaned = sum(reader.slots for reader in readers)
        return RingSize(slots + loaned, minimum + loaned, hold)

    # --- what workers get

    def launch(self, worker: Worker) -> None:
        """Start the process of ``worker`` and send everything that it needs, also what its predecessor knew."""
        worker.spawn()
        worker.send(self._start_message(worker))
        is_capture = worker in self.captures
        for camera in self._cameras:
            if worker is self.trackers[camera.tracker]:
                self.announce_camera(camera)  # each by itself: the zones of all may be too much for one message
            if not is_capture:
                for generation in camera.rings:
                    worker.send(_add_ring(camera, generation))
            elif camera.capture is worker and camera.rings:
                worker.send(_add_ring(camera, max(camera.rings)))

    def announce_camera(self, camera: CameraState) -> None:
        """Give its track worker a camera that was added, before it gets the camera's rings."""
        self.trackers[camera.tracker].send(self._add_camera(camera))

    def announce_rate(self, camera: CameraState) -> None:
        """Report the frame rate of a source that is open to the render workers."""
        for worker in self.renderers:
            worker.send(SetRate(camera.number, camera.fps))

    def announce_zones(self, camera: CameraState) -> None:
        """Give its track worker other zones."""
        self.trackers[camera.tracker].send(SetZones(camera.number, camera.zones))

    def announce_ring(self, camera: CameraState, generation: int) -> None:
        """Give a new ring to its readers first, then to its writer."""
        for worker in [*self._readers_of(camera), *self.renderers]:
            worker.send(_add_ring(camera, generation))
        if camera.capture is not None:
            camera.capture.send(_add_ring(camera, generation))

    def forget_ring(self, camera: CameraState, generation: int) -> None:
        """It is empty and no frame will come: its readers unmap it. (The render workers, which lag behind, see that for
        themselves.)"""
        for worker in self._readers_of(camera):
            worker.send(ForgetRing(camera.number, generation))

    def forget_camera(self, camera: CameraState) -> None:
        """It is gone, with all its rings."""
        for worker in self._readers_of(camera):
            worker.send(ForgetCamera(camera.number))
        if camera.capture is not None:
            self._leaving.append(camera.capture)

    def save_to(self, camera: CameraState, path: Path) -> None:
        """Have the video of a camera that was added written to ``path``."""
        self._save[camera.number] = path
        for worker in self.renderers:
            worker.send(SaveVideo(camera.number, str(path), self._overwrite))

    def close(self) -> None:
        """Close all sockets and free the face rings."""
        pairs = [*((output.inbox_in, output.inbox_out) for output in self.outputs),
                 (self.events_in, self.events_out), (self._requests_in, self._requests_out), *self._answers]  # fmt: skip
        for ends in pairs:
            for end in ends:
                end.close()
        self._face_rings.clear()
        for worker in self.workers:
            worker.close()

    def _readers_of(self, camera: CameraState) -> Sequence[Worker]:
        return [*self.detectors, self.trackers[camera.tracker]]

    # --- start messages

    def _start_message(self, worker: Worker) -> Start:
        camera = self.camera_of(worker)
        if camera is not None:
            return self._start_capture(worker, camera)
        if worker in self.detectors:
            return self._start_detect(worker)
        if worker in self.trackers:
            return self._start_track(worker)
        if worker is self.classifier:
            return self._start_classify(worker)
        return self._start_render(worker)

    def _start_capture(self, worker: Worker, camera: CameraState) -> StartCapture:
        return StartCapture(
            page=_page(worker),
            track_page=_page(self.trackers[camera.tracker]),
            camera=camera.number,
            source=json.dumps(camera.spec.to_dict()),
            max_frames=self._config.max_frames,
            resume_at=camera.published,
            resume_after=camera.last_timestamp,
            was_open=camera.opened,
            held=camera.held,
        )

    def _start_detect(self, worker: Worker) -> StartDetect:
        config = self._config
        return StartDetect(
            page=_page(worker),
            requests=Descriptor(self._requests_out.fileno()),
            answers=tuple(Descriptor(writer.fileno()) for writer, _ in self._answers),
            track_pages=self._track_pages(),
            detector=config.detector_name,
            min_face=config.min_face,
            thresholds=config.mtcnn_thresholds(tracked=True),
            pyramid_factor=config.pyramid_factor,
            backend=self._once_more(self._config.detector_settings(), worker),
        )

    def _start_track(self, worker: Worker) -> StartTrack:
        config, index = self._config, self.trackers.index(worker)
        return StartTrack(
            page=_page(worker),
            requests=Descriptor(self._requests_in.fileno()),
            answers=Descriptor(self._answers[index][1].fileno()),
            events=Descriptor(self.events_in.fileno()),
            faces=Descriptor(self._face_rings[index].fd),
            classify_page=_page(self.classifier),
            index=index,
            detect_every=config.detect_every,
            deadline=config.deadline,
            search=config.search,
            full_scan=config.full_scan,
            align_eyes=config.align_eyes,
            tracker=config.tracker,
            keep_ignored=config.blur,
        )

    def _add_camera(self, camera: CameraState) -> AddCamera:
        joiner = camera.joiner
        return AddCamera(
            camera.number,
            camera.live,
            camera.epoch,
            first_id=joiner.next_track_id,
            done=joiner.emitted + joiner.waiting,
            births=birth_scores(self._config, stills=camera.spec.kind == "images"),
            zones=camera.zones,
        )

    def _start_classify(self, worker: Worker) -> StartClassify:
        config = self._config
        return StartClassify(
            page=_page(worker),
            events=Descriptor(self.events_in.fileno()),
            faces=tuple(Descriptor(ring.fd) for ring in self._face_rings),
            track_pages=self._track_pages(),
            models=(config.model, GENDER) if config.gender else (config.model,),
            prior=self.prior,
            threads=self._plan.threads,
            max_batch=config.max_batch,
            batch_deadline=config.batch_deadline,
            backend=self._once_more(self._config.backend_settings(), worker),
        )

    def _start_render(self, worker: Worker) -> StartRender:
        output = self.output_of(worker)
        assert output is not None
        save = self._save if output.name == "video" else {}
        return StartRender(
            page=_page(worker),
            inbox=Descriptor(output.inbox_out.fileno()),
            reader=output.reader.reader,
            display=output.name == "window",
            videos=tuple(SaveVideo(camera, str(path), self._overwrite) for camera, path in save.items()),
            parts=tuple(output.parts),
            rates=tuple(SetRate(camera.number, camera.fps) for camera in self._cameras),
            draw=self._config.draw,
            blur=self._config.blur_frames,
        )

    def _once_more(self, settings: BackendSettings, worker: Worker) -> BackendSettings:
        """A worker that loses the GPU is replaced by one that uses it again; that goes on on the CPU where it loses it too."""
        return replace(settings, restarts=worker.gpu_losses == 0 and self._config.restart_limit > 0)

    def _track_pages(self) -> tuple[Descriptor, ...]:
        return tuple(_page(worker) for worker in self.trackers)


def _page(worker: Worker) -> Descriptor:
    return Descriptor(worker.page.fd)


def _add_ring(camera: CameraState, generation: int) -> AddRing:
    return AddRing(Descriptor(camera.rings[generation].fd), camera.number, generation, camera.live)
