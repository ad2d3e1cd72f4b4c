"""The first control message that a worker of each kind gets, and the records that are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType, TypeAlias

from ferengine.detection.birth import BirthScores
from ferengine.models.settings import BackendSettings, Prior
from ferengine.results import DrawExtra
from ferengine.zones import NO_ZONES, Zones

Descriptor = NewType("Descriptor", int)
"""A file descriptor: the receiver gets a duplicate, which is closed once the message has been handled."""


@dataclass(frozen=True, slots=True)
class StartCapture:
    """Decode ``source`` into the rings that follow.

    Attributes:
        page: The worker's own event page.
        track_page: The event page of the track worker that reads the frames.
        camera: The camera's number in this run.
        source: What to open: a SourceSpec as JSON, which the capture worker alone reads.
        max_frames: The number of frames after which to end, ``None`` for all.
        resume_at: The sequence of the first frame: how many a predecessor has captured.
        resume_after: The time stamp of the last frame that a predecessor has captured, ``None`` where that is not known.
        was_open: Whether a predecessor had opened the source.
        held: Whether to open it only after ``OpenSource``.
    """

    page: Descriptor
    track_page: Descriptor
    camera: int
    source: str
    max_frames: int | None
    resume_at: int
    resume_after: float | None
    was_open: bool
    held: bool = False


@dataclass(frozen=True, slots=True)
class StartDetect:
    """Answer the detection requests of all track workers.

    Attributes:
        page: The worker's own event page.
        requests: The read end of the queue that all detect workers share.
        answers: The write end of each track worker's queue of answers.
        track_pages: The event page of each track worker.
        detector, min_face, thresholds, pyramid_factor: Settings of EngineConfig.
        backend: What runs the networks.
    """

    page: Descriptor
    requests: Descriptor
    answers: tuple[Descriptor, ...]
    track_pages: tuple[Descriptor, ...]
    detector: Literal["mtcnn", "retinaface", "haar"]
    min_face: float
    thresholds: tuple[float, float, float]
    pyramid_factor: float
    backend: BackendSettings


@dataclass(frozen=True, slots=True)
class AddCamera:
    """A further camera for a track worker; its rings follow.

    Attributes:
        camera: The camera's number.
        live: Whether it drops frames rather than waiting.
        epoch: Which life of the track worker this is, for this camera.
        first_id: The id of its next new track.
        done: Frames of it that have been tracked.
        births: From which scores detections start a track.
        zones: What of its frames to watch and to ignore.
    """

    camera: int
    live: bool
    epoch: int
    first_id: int
    done: int
    births: BirthScores
    zones: Zones = NO_ZONES


@dataclass(frozen=True, slots=True)
class StartTrack:
    """Track the faces of the cameras that follow, and crop them into the face ring.

    Attributes:
        page: The worker's own event page.
        requests: The write end of the queue that all detect workers share.
        answers: The read end of this worker's queue of answers.
        events: The write end of the engine's queue of records.
        faces: The face ring that this worker fills.
        classify_page: The classify worker's event page.
        index: The worker's number among the track workers.
        detect_every, deadline, search, full_scan, align_eyes, tracker: Settings of EngineConfig.
        keep_ignored: Whether faces in ignored zones are tracked, too, so that they can be blurred.
    """

    page: Descriptor
    requests: Descriptor
    answers: Descriptor
    events: Descriptor
    faces: Descriptor
    classify_page: Descriptor
    index: int
    detect_every: int
    deadline: float
    search: Literal["full", "near"]
    full_scan: float
    align_eyes: bool
    tracker: Literal["kcf", "opencv"]
    keep_ignored: bool = False


@dataclass(frozen=True, slots=True)
class StartClassify:
    """Classify the faces of all face rings.

    Attributes:
        page: The worker's own event page.
        events: The write end of the engine's queue of scores.
        faces: The face ring of each track worker.
        track_pages: The event page of each track worker.
        models: The names of the networks that read each face.
        prior: The class prior of the first of them, None where it names none.
        threads: Threads of one inference session.
        max_batch, batch_deadline: Settings of EngineConfig.
        backend: What runs the networks.
    """

    page: Descriptor
    events: Descriptor
    faces: tuple[Descriptor, ...]
    track_pages: tuple[Descriptor, ...]
    models: tuple[str, ...]
    prior: Prior | None
    threads: int
    max_batch: int
    batch_deadline: float
    backend: BackendSettings


@dataclass(frozen=True, slots=True)
class SetRate:
    """The nominal frame rate of a camera, known now that its source is open; 0 when it has none."""

    camera: int
    fps: float


@dataclass(frozen=True, slots=True)
class SaveVideo:
    """Write the video of a camera to ``path``, which may exist only with ``overwrite``."""

    camera: int
    path: str
    overwrite: bool


@dataclass(frozen=True, slots=True)
class VideoPart:
    """A file of a video worker.

    The first one of a video is reported just before it is made, unless it may overwrite another file: a worker that is killed
    in between leaves a successor that knows whose the file is. Those that follow get names that nothing has, and are reported
    once they are there.

    Attributes:
        camera: The camera's number.
        path: The file.
        width, height: Of its frames, in pixels; further parts of the video have the same.
        start: The time stamp of its first frame, in seconds.
    """

    camera: int
    path: str
    width: int
    height: int
    start: float


@dataclass(frozen=True, slots=True)
class StartRender:
    """Draw results on their frames, for video files or for windows.

    Attributes:
        page: The worker's own event page.
        inbox: The read end of the queue of results.
        reader: The bit in the frame rings' hold masks that stands for this worker.
        display: Whether it shows windows; otherwise it writes video files.
        videos: What to write where.
        parts: The files that its predecessors have made: it writes to others, and joins them all at the end.
        rates: The frame rates known so far.
        draw: What to draw besides boxes, tags and bars.
        blur: Frames to hold back at least, to blur faces in those before they were found; ``None`` blurs nothing.
    """

    page: Descriptor
    inbox: Descriptor
    reader: int
    display: bool
    videos: tuple[SaveVideo, ...]
    parts: tuple[VideoPart, ...]
    rates: tuple[SetRate, ...]
    draw: tuple[DrawExtra, ...]
    blur: int | None


Start: TypeAlias = StartCapture | StartDetect | StartTrack | StartClassify | StartRender
