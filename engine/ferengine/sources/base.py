"""The interface of a source of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says of itself once opened: ``width`` and ``height`` in pixels, ``fps`` its nominal rate.

    ``live`` sources (cameras) cannot wait: frames that nobody takes are lost. ``frames`` is the number of
    frames where it is known beforehand. ``ends``: it has an end of its own; cameras and live streams have none, when
    they end they are lost.
    """

    width: int
    height: int
    fps: float
    live: bool
    frames: int | None = None
    ends: bool = True


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One decoded frame: ``image`` BGR uint8 (H, W, 3), valid until the next ``read``; ``timestamp`` seconds
    since the epoch for live sources, media seconds otherwise."""

    image: NDArray[np.uint8]
    timestamp: float


class Source(Protocol):
    """Yields the frames of one camera, file or rendering, in order. Knows nothing of processes; not
    thread-safe."""

    def open(self) -> SourceInfo:
        """Open it. Raises SourceError, which names the device or file and the reason."""
        ...

    def read(self) -> CapturedFrame | None:
        """The next frame, or ``None`` at the end. Raises SourceError when a live source breaks."""
        ...

    def skip(self, frames: int) -> None:
        """Pass over ``frames`` frames (a worker that takes over in mid-file); no-op for live sources."""
        ...

    def close(self) -> None:
        """Release the device or file; may be called twice, and before ``open``."""
        ...
