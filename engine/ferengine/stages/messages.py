"""The control messages between the engine and its workers: one frozen record each.

The first one of a worker is in ``ferengine.stages.start_messages``. ``ferengine.stages.codec`` makes bytes of them. What goes
along with frames and faces is binary: see ``ferengine.stages.records``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, get_args

from ferengine.stages.start_messages import AddCamera, Descriptor, SaveVideo, SetRate, Start, VideoPart
from ferengine.zones import Zones

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
        seconds: How long it is in media time, as far as that is known; 0 where it is not.
    """

    camera: int
    width: int
    height: int
    fps: float
    live: bool
    time: float
    frames: int
    seconds: float


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
    left_out: int
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
        left_out: Frames that were left out to keep to a maximum rate.
        replaced_stamps: Time stamps that were missing or made no sense.
        truncated: Whether the file was cut off.
        at_end: Whether the source came to its end, or as many frames were captured as are wanted.
    """

    camera: int
    captured: int
    broken: int
    late: int
    left_out: int
    replaced_stamps: int
    truncated: bool
    at_end: bool


@dataclass(frozen=True, slots=True)
class BackendChosen:
    """What runs the networks of this worker.

    Attributes:
        name: The backend.
        networks: What runs and where, in plain words that follow "runs".
        reason: Why it was chosen.
        failure: Why the GPU that was meant to run them does not, ``None`` otherwise.
    """

    name: str
    networks: str
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
    """All that lives of a worker have written of a camera's video is one file now, which holds ``frames``."""

    camera: int
    frames: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """So many further results of a camera are safe: in a file that plays up to them, or shown."""

    camera: int
    results: int


@dataclass(frozen=True, slots=True)
class BlurredWhole:
    """So many further frames of a camera were blurred as a whole: no detection said in time where faces are."""

    camera: int
    frames: int


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
    | BlurredWhole
    | WindowClosed
    | Failed
    | Usage
)
ControlMessage: TypeAlias = ToWorker | FromWorker

MESSAGE_TYPES: dict[str, type[ControlMessage]] = {kind.__name__: kind for kind in get_args(ControlMessage)}
"""All control messages by the names that they travel under."""
