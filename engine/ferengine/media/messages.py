"""What the recorder and its child process say to each other."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

from ferengine.media.requests import MediaRequest, MediaSettings
from ferengine.results import FrameResult


@dataclass(frozen=True, slots=True)
class Record:
    """What there is to do.

    Attributes:
        settings: With the first message only.
        result: The result of the frame that lies in the shared memory; None where there is none.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        requests: What to write.
        ended: The camera of which no more frames come for now.
        finish: Whether everything is over.
    """

    settings: MediaSettings | None = None
    result: FrameResult | None = None
    width: int = 0
    height: int = 0
    requests: tuple[MediaRequest, ...] = ()
    ended: str | None = None
    finish: bool = False

    def encode(self) -> bytes:
        """A pickle, between two processes of one program."""
        return pickle.dumps(self, protocol=5)

    @staticmethod
    def decode(data: bytes) -> Record:
        record: Record = pickle.loads(data)
        return record


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is done with.

    Attributes:
        path: The file.
        is_short: Whether it ends before it was to.
        error: Why it is not there, or not whole; None where it is.
    """

    path: Path
    is_short: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was done.

    Attributes:
        written: Files that are done with.
        is_busy: Whether there are frames that have yet to be encoded.
    """

    written: tuple[Written, ...]
    is_busy: bool

    def encode(self) -> bytes:
        """A pickle, between two processes of one program."""
        return pickle.dumps(self, protocol=5)

    @staticmethod
    def decode(data: bytes) -> Recorded:
        recorded: Recorded = pickle.loads(data)
        return recorded
