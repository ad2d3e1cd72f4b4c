"""Which snapshots and clips there are to be, and what they are called."""

from __future__ import annotations

import itertools
import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ferengine.media.files import reserve
from ferengine.results import DrawExtra
from ferengine.sinks.person_events import Event, EventKind

MAX_CLIP = 60.0
"""Seconds of one clip; what happens later begins another one."""
_SAME = 1.0
"""Seconds by which two that find the same event may differ on its time: each may have missed other frames."""
_REMEMBERED = 64
"""Events of each camera by which others may still ask for the paths."""
_EPOCH_SECONDS = 1e9
"""Time stamps above this are seconds since the epoch, not of a file."""
_MAX_NAME = 100
"""Bytes of the camera's name in that of a file."""

_OF_CAMERAS = ("started", "disconnected", "ended")  # "reconnected": the frames that follow have stamps like its own


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """What is written, and where.

    Attributes:
        snapshots: The folder of snapshots; ``None`` for none.
        clips: The folder of clips; ``None`` for none.
        kinds: The events that get one.
        before: Seconds of a clip before the event.
        after: Seconds of a clip after the event.
        days: Files older than this many days are deleted.
        max_bytes: Above this the oldest files of a folder are deleted.
        drawn: Whether to draw the results.
        extras: What to draw besides boxes, tags and bars.
        blur_frames: Frames to hold back at least, to blur faces in those before they were found; ``None`` blurs nothing.
    """

    snapshots: Path | None
    clips: Path | None
    kinds: frozenset[EventKind]
    before: float = 3.0
    after: float = 5.0
    days: float = 7.0
    max_bytes: int = 1_000_000_000
    drawn: bool = True
    extras: tuple[DrawExtra, ...] = ()
    blur_frames: int | None = None

    @property
    def folders(self) -> frozenset[Path]:
        """Where files go."""
        return frozenset(folder for folder in (self.snapshots, self.clips) if folder is not None)


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """What to write for one event.

    Attributes:
        camera: The camera.
        at: When it happened, as the time stamps of the camera's results.
        snapshot: The file of the snapshot, None for none.
        clip: The file of the clip, None for none; where one of that name is being written already it goes on until ``end``.
        begin: The clip's first time stamp.
        end: The clip's last time stamp.
    """

    camera: str
    at: float
    snapshot: Path | None
    clip: Path | None
    begin: float
    end: float


@dataclass(slots=True)
class _Open:
    path: Path
    begin: float
    end: float


@dataclass(slots=True)
class _Attached:
    event: Event
    found_by: set[int] = field(default_factory=set)


class EventMedia:
    """Gives events their snapshots and clips, whichever output finds them first. May be called from any thread.

    An event that comes while a clip is still going on is in that one.

    Args:
        settings: What is written.

    Attributes:
        settings: As given.
    """

    def __init__(self, settings: MediaSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._outputs = itertools.count()
        self._attached: defaultdict[str, deque[_Attached]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._open: dict[str, _Open] = {}
        self._requests: deque[MediaRequest] = deque()
        self._newest: dict[str, float] = {}
        self._names: set[Path] = set()
        self._is_closed = False

    def for_output(self) -> Callable[[Event], Event]:
        """What gives the events of one more output the paths of what is written for them, which may take until a clip is over.

        An output finds each event once: what looks like one that it has found before is another, such as the second of two
        scene cuts, or one of a file that begins anew.
        """
        return partial(self._attach, next(self._outputs))

    def _attach(self, output: int, event: Event) -> Event:
        if event.kind not in self.settings.kinds:
            return event
        with self._lock:
            known = self._attached[event.camera]
            new_to_it = [each for each in known if output not in each.found_by and _are_same(each.event, event)]
            same = min(new_to_it, key=lambda each: abs(each.event.timestamp - event.timestamp), default=None)
            if same is None:
                same = _Attached(self._request(event))
                known.append(same)
            same.found_by.add(output)
        return replace(event, snapshot=same.event.snapshot, clip=same.event.clip)

    def note(self, camera: str, timestamp: float) -> None:
        """The newest time stamp of a camera: what happens to the camera itself, happens then."""
        with self._lock:
            if timestamp < self._newest.get(camera, timestamp):
                self._open.pop(camera, None)  # a file begins anew: its clips are over
            self._newest[camera] = timestamp

    def take(self) -> Sequence[MediaRequest]:
        """What has been requested since the last call."""
        with self._lock:
            taken = tuple(self._requests)
            self._requests.clear()
        return taken

    def close(self) -> None:
        """Nothing more is written: new events get no paths."""
        with self._lock:
            self._is_closed = True

    def forget(self, path: Path) -> None:
        """A clip is over: nothing more goes into it."""
        with self._lock:
            self._names.discard(path)
            self._open = {camera: clip for camera, clip in self._open.items() if clip.path != path}

    def _request(self, event: Event) -> Event:
        settings = self.settings
        at = self._newest.get(event.camera) if event.kind in _OF_CAMERAS else event.timestamp
        if at is None or self._is_closed:  # the camera has shown nothing yet, or nothing is written any more
            return event
        name = _name(event, at)
        snapshot = None if settings.snapshots is None else self._reserve(settings.snapshots, name, ".jpg")
        clip, begin, end = None, at - settings.before, at + settings.after
        if settings.clips is not None:
            going_on = self._open.get(event.camera)
            if going_on is not None and going_on.begin <= at <= going_on.end and end - going_on.begin <= MAX_CLIP:
                begin, end = going_on.begin, max(end, going_on.end)
                clip = going_on.path
            else:
                clip = self._reserve(settings.clips, name, ".mp4")
            self._open[event.camera] = _Open(clip, begin, end)
        self._requests.append(MediaRequest(event.camera, at, snapshot, clip, begin, end))
        paths = [None if path is None else str(path.absolute()) for path in (snapshot, clip)]
        return replace(event, snapshot=paths[0], clip=paths[1])

    def _reserve(self, folder: Path, name: str, suffix: str) -> Path:
        path = reserve(folder, name, suffix, self._names)
        self._names.add(path)
        return path


def _are_same(one: Event, other: Event) -> bool:
    parts = [(each.kind, each.track, each.label, each.before, each.zone) for each in (one, other)]
    return parts[0] == parts[1] and abs(one.timestamp - other.timestamp) <= _SAME


def _name(event: Event, at: float) -> str:
    """Camera, time and event; for a person with the track."""
    if at > _EPOCH_SECONDS:
        when = f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%S}.{int(at % 1 * 1000):03}Z"
    else:
        when = f"{at:010.3f}s"
    track = "" if event.track is None else f"-{event.track}"
    camera = re.sub(r"[^\w.-]", "_", event.camera).lstrip(".").encode()[:_MAX_NAME].decode(errors="ignore")
    return f"{camera or 'camera'}-{when}-{event.kind}{track}"
