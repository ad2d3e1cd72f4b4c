"""The control messages between the engine and its workers: one frozen record each.

``ferengine.stages.codec`` makes bytes of them. What goes along with frames and faces is binary: see
``ferengine.stages.records``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType, TypeAlias, get_args

from ferengine.detection.birth import BirthScores
from ferengine.models.settings import BackendSettings, Prior
from ferengine.results import DrawExtra
from ferengine.zones import NO_ZONES, Zones

Descriptor = NewType("Descriptor", int)
"""A file descriptor: the receiver gets a duplicate, which is closed once the message has been handled."""

# --- from the engine: the start of a worker, which is the first message that it gets


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
        blur: Frames to hold back so that faces can be blurred in those before they were found; ``None`` blurs nothing.
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

# --- from the engine: later


@dataclass(frozen=True, slots=True)
class AddRing:
    """A frame ring of a camera: its writer goes on in it, its readers read it once the generation before is empty.

    Attributes:
        ring: The ring's memory.
        camera: The camera's number.
        generation: Which of its rings this is.
        live: Whether the camera drops frames, which is certain only now that its source is open.
    """

    ring: Descriptor
    camera: int
    generation: int
    live: bool


@dataclass(frozen=True, slots=True)
class ForgetRing:
    """A ring is empty, and no frame will come into it."""

    camera: int
    generation: int


@dataclass(frozen=True, slots=True)
class ForgetCamera:
    """A camera is gone, with all its rings."""

    camera: int


@dataclass(frozen=True, slots=True)
class SetZones:
    """What of a camera's frames to watch and to ignore from the next frame on."""

    camera: int
    zones: Zones


@dataclass(frozen=True, slots=True)
class BeginCapture:
    """Capture begins: all workers are ready, and there is a consumer."""


@dataclass(frozen=True, slots=True)
class OpenSource:
    """Open a source that was held."""


@dataclass(frozen=True, slots=True)
class StopCapture:
    """Capture no further frame."""


@dataclass(frozen=True, slots=True)
class Redetect:
    """A detect worker died, perhaps with a request in hand: ask again for all that has not been answered."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Close everything and end."""


ToWorker: TypeAlias = (
    Start
    | AddCamera
    | SetRate
    | SaveVideo
    | AddRing
    | ForgetRing
    | ForgetCamera
    | SetZones
    | BeginCapture
    | OpenSource
    | StopCapture
    | Redetect
    | Finish
)

# --- from a worker


@dataclass(frozen=True, slots=True)
class Ready:
    """The stage is open."""


@dataclass(frozen=True, slots=True)
class SourceOpened:
    """A source is open, for the first time or again.

    Attributes:
        camera: The camera's number.
        width, height: Of its frames, in pixels.
        fps: Its nominal rate.
        live: Whether it drops frames.
        time: When, seconds since the epoch.
        frames: How many it will give in all, as far as that is known; 0 where it is not.
    """

    camera: int
    width: int
    height: int
    fps: float
    live: bool
    time: float
    frames: int


@dataclass(frozen=True, slots=True)
class SourceDisconnected:
    """A source broke off, or did not open, and is tried again; ``time`` in seconds since the epoch."""

    camera: int
    reason: str
    time: float


@dataclass(frozen=True, slots=True)
class NeedRing:
    """The next frame takes ``nbytes``, which is more than a slot of the ring."""

    camera: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class CaptureCounts:
    """What this life of a capture worker has counted so far; kept if it dies. The fields are those of CaptureEnded."""

    camera: int
    broken: int
    late: int
    replaced_stamps: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class CaptureEnded:
    """No further frame comes.

    Attributes:
        camera: The camera's number.
        captured: Frames that were numbered.
        broken: Frames that could not be decoded, in this life of the worker, as the further counts.
        late: Frames that were passed over.
        replaced_stamps: Time stamps that were missing or made no sense.
        truncated: Whether the file was cut off.
    """

    camera: int
    captured: int
    broken: int
    late: int
    replaced_stamps: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class BackendChosen:
    """What runs the networks of this worker.

    Attributes:
        name: The backend.
        reason: Why it was chosen.
        failure: Why the GPU that was meant to run them does not, ``None`` otherwise.
    """

    name: str
    reason: str
    failure: str | None


@dataclass(frozen=True, slots=True)
class SinkFailed:
    """A video cannot be written; the others go on."""

    error: str


@dataclass(frozen=True, slots=True)
class VideoRefused:
    """The file that was reported for a camera could not be made: a file of that name is not the worker's."""

    camera: int


@dataclass(frozen=True, slots=True)
class VideoJoined:
    """The parts of a camera's video are one file now."""

    camera: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """How many results this life of a render worker has brought to safety: in a file that plays up to them, or shown."""

    results: int


@dataclass(frozen=True, slots=True)
class WindowClosed:
    """The user closed a window, which ends the run."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker gives up: ``error_class`` of ``ferengine.errors``, and its text."""

    error_class: str
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The worker's peak memory in MiB, at its end."""

    peak_mb: float


FromWorker: TypeAlias = (
    Ready
    | SourceOpened
    | SourceDisconnected
    | NeedRing
    | CaptureCounts
    | CaptureEnded
    | BackendChosen
    | SinkFailed
    | VideoPart
    | VideoJoined
    | VideoRefused
    | Rendered
    | WindowClosed
    | Failed
    | Usage
)
ControlMessage: TypeAlias = ToWorker | FromWorker

MESSAGE_TYPES: dict[str, type[ControlMessage]] = {kind.__name__: kind for kind in get_args(ControlMessage)}
"""All control messages by the names that they travel under."""
