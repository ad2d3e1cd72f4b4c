"""ferengine's C++ hot path: face crops, KCF, MTCNN and the rings in shared memory."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FACE_KEY: np.dtype[np.void]
"""camera u4, epoch u4, sequence u8, face u4, reserved u4, captured_ns, tracked_ns, queued_ns, deadline_ns i8."""

def crop_faces(
    frame: NDArray[np.uint8],
    squares: NDArray[np.float32],
    out: NDArray[np.uint8] | NDArray[np.float32],
    mean: float = 0.0,
    std: float = 1.0,
) -> None:
    """Cut the n squares of ``frame`` into ``out``, in place, with the GIL released.

    ``frame``: uint8 (H, W, 3) BGR or (H, W) grey, rows may be padded. ``squares``: float32 (n, 4), cx, cy, side in
    pixels (pixel (i, j) covers [j, j+1) x [i, i+1)) and angle in radians, clockwise on the screen. ``out``:
    C-contiguous (n, S, S), uint8 (rounded) or float32 ((grey - mean) / std).

    Upright squares (angle 0) of at least S pixels are averaged exactly by area; smaller ones interpolated bilinearly;
    turned ones are means of k x k bilinear samples a pixel, k = ceil(side / S), at most 8. Grey is
    (1868 B + 9617 G + 4899 R + 8192) >> 14. Beyond the frame its border is repeated.

    Raises TypeError for a wrong dtype, ValueError for a wrong shape or layout, a square that is not finite with a side
    above 0 (its row is named), a ``std`` that is not above 0, or a normalisation of uint8.
    """

def die_with_parent(parent_pid: int) -> None:
    """Be killed when the thread that started this process ends (PR_SET_PDEATHSIG).

    Raises ProcessLookupError if the parent is gone already.
    """

class WorkerPage:
    """A worker's event and heartbeat in shared memory."""

    @staticmethod
    def create() -> WorkerPage: ...
    @staticmethod
    def attach(fd: int) -> WorkerPage:
        """Map an existing page; takes ownership of ``fd``. Raises ValueError for another kind of descriptor."""

    @property
    def fd(self) -> int: ...
    def notify(self) -> None:
        """Raise the bell and wake whoever waits at it."""

    @property
    def event(self) -> int:
        """How often the bell was rung (modulo 2**31)."""

    def wait(self, seen: int, timeout: float) -> bool:
        """Wait until the bell differs from ``seen``, at most ``timeout`` seconds, with the GIL released.

        False when it does not, also earlier when a signal arrives (so that its handler can run).
        """

    def beat(self) -> None:
        """Note now as the last sign of life."""

    @property
    def heartbeat(self) -> float:
        """The last sign of life, seconds of CLOCK_MONOTONIC; 0 before the first."""

class FrameHeader:
    """What is known of the frame in a slot; ``timestamp`` in seconds, ``captured_ns`` of CLOCK_MONOTONIC."""

    @property
    def sequence(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def timestamp(self) -> float: ...
    @property
    def captured_ns(self) -> int: ...

class FrameRing:
    """Frames of one camera in shared memory: one writer, up to 32 readers. Indices raise IndexError."""

    @staticmethod
    def create(slots: int, slot_bytes: int) -> FrameRing:
        """Allocate (memfd) every page at once, with the GIL released: 1 to 4096 slots of 1 byte to 4 GiB.

        Raises ValueError outside those limits, MemoryError when the machine has less memory available.
        """

    @staticmethod
    def attach(fd: int) -> FrameRing:
        """Map an existing ring; takes ownership of ``fd``. Raises ValueError for another kind of descriptor."""

    @property
    def fd(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def slot_bytes(self) -> int: ...
    @property
    def address(self) -> int:
        """Where the mapping begins in this process."""

    @property
    def bytes(self) -> int:
        """How long the mapping is."""

    def acquire(self, timeout: float) -> int:
        """Writer: a slot that nobody holds, in turn; -1 when there is none within ``timeout`` seconds or before a signal.

        The GIL is released meanwhile.
        """

    def payload(self, slot: int) -> NDArray[np.uint8]:
        """Writer: the slot's bytes, uint8 (slot_bytes,), writable."""

    def publish(
        self,
        slot: int,
        sequence: int,
        width: int,
        height: int,
        stride: int,
        channels: int,
        timestamp: float,
        captured_ns: int,
        holds: int,
    ) -> None:
        """Writer: hand the slot over to the readers of the mask ``holds`` (0: nobody, the slot stays free).

        ``stride`` in bytes, ``channels`` 1 or 3, ``timestamp`` in seconds, ``captured_ns`` of CLOCK_MONOTONIC. Raises
        ValueError if the frame does not fit into the slot, or if a reader still holds it.
        """

    def recover(self) -> None:
        """Engine, once the writer is dead: a frame that it had handed over but not yet counted is counted."""

    def close_writer(self) -> None:
        """Writer: no more frames come into this ring."""

    def drop(self) -> None:
        """Writer: count a frame that found no free slot."""

    def held(self, reader: int) -> list[tuple[int, int]]:
        """(sequence, slot) of the slots that ``reader`` holds, ascending."""

    def frame(self, slot: int) -> NDArray[np.uint8]:
        """The image in place, read-only uint8 (H, W, 3), or (H, W) for one channel; it keeps the mapping alive.

        What it shows is sure only while the caller's reader holds the slot. Raises ValueError for a slot never filled.
        """

    def header(self, slot: int) -> FrameHeader: ...
    def release(self, slot: int, reader: int) -> None:
        """Reader: give the slot back."""

    def clear_reader(self, reader: int) -> None:
        """Give back all that a reader which will not come back held."""

    @property
    def published(self) -> int:
        """The sequence after the last published frame's."""

    @property
    def closed(self) -> bool: ...
    @property
    def dropped(self) -> int: ...
    @property
    def emitted(self) -> int:
        """How many results were delivered, written by the engine: the track worker's flow control."""

    @emitted.setter
    def emitted(self, value: int) -> None: ...
    @property
    def readers(self) -> int:
        """The mask of readers that the writer publishes for, written by the engine."""

    @readers.setter
    def readers(self, value: int) -> None: ...

class FaceRing:
    """Face crops with their keys in shared memory: one producer, one consumer."""

    @staticmethod
    def create(slots: int, side: int) -> FaceRing:
        """1 to 65536 slots of (side, side) bytes, side 1 to 1024. Raises ValueError or MemoryError."""

    @staticmethod
    def attach(fd: int) -> FaceRing:
        """Map an existing ring; takes ownership of ``fd``. A consumer begins at the oldest face not released."""

    @property
    def fd(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def free(self) -> int:
        """Producer: how many faces fit now."""

    @property
    def waiting(self) -> int:
        """Consumer: faces published and not yet gathered."""

    @property
    def oldest_queued_ns(self) -> int:
        """Consumer: when the oldest waiting face was queued (CLOCK_MONOTONIC); 0 when none waits."""

    def push(
        self,
        frame: NDArray[np.uint8],
        squares: NDArray[np.float32],
        camera: int,
        epoch: int,
        sequence: int,
        captured_ns: int,
        tracked_ns: int,
        deadline_ns: int,
    ) -> bool:
        """Producer: cut all squares of ``frame`` (see ``crop_faces``) into the ring, faces 0 to n - 1.

        False, and nothing written, when they do not fit now. Raises ValueError when they never will.
        """

    def gather(
        self,
        out: NDArray[np.float32] | NDArray[np.uint8],
        keys: NDArray[np.void],
        mean: float,
        std: float,
        start: int = 0,
    ) -> int:
        """Consumer: copy waiting faces into ``out[start:]``, (n, side, side) or (n, 1, side, side), and their keys.

        ``keys`` is a FACE_KEY array as long as ``out``. float32 is normalised, (level - mean) / std; uint8 copied
        (mean 0, std 1). Returns how many were gathered. Raises TypeError or ValueError for arrays that do not fit.
        """

    def release(self, count: int) -> None:
        """Consumer: the ``count`` oldest gathered faces may be overwritten. Raises ValueError for more than those."""

class Kcf:
    """One object's correlation filter; see ``ferengine.tracking.kcf``."""

    def __init__(self) -> None: ...
    def init(self, frame: NDArray[np.uint8], x: float, y: float, w: float, h: float) -> None:
        """Learn the object in the box (pixels) of ``frame``, uint8 (H, W, 3) BGR or (H, W) grey, in place.

        The GIL is released. Raises TypeError or ValueError for a frame that cannot be read in place (see
        ``crop_faces``), ValueError for a box that is not finite, beyond 1e9 pixels or without area, and when another
        thread uses the filter.
        """

def kcf_update(trackers: Sequence[Kcf], frame: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Find all n objects in the next ``frame`` and learn from it: boxes float64 (n, 4), x, y, w, h, and confidences
    float32 (n,) in [0, 1].

    ``frame`` is read in place with the GIL released. Raises TypeError or ValueError for a frame that cannot be, and
    ValueError for a filter before ``init``, listed twice or in use by another thread.
    """

def kcf_features(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """A step on its own, for tests: a patch of grey levels (48, 48) -> its windowed feature maps (24, 24, 14)."""

def kcf_response(learnt: NDArray[np.float32], patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """A step on its own, for tests: what a filter learnt from one patch (48, 48) answers to another: (24, 24).

    Row and column are the shift in cells, modulo 24.
    """

def kcf_peak(response: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """A step on its own, for tests: of a response (24, 24) the shift dx, dy in cells, the value, and the
    peak-to-sidelobe ratio."""

class MtcnnCascade:
    """MTCNN's networks and the steps between them; see ``ferengine.detection.mtcnn``. Never changed, hence thread-safe."""

    def __init__(
        self,
        pnet: Sequence[NDArray[np.float32]],
        rnet: Sequence[NDArray[np.float32]],
        onet: Sequence[NDArray[np.float32]],
        min_face: float,
        factor: float,
        thresholds: tuple[float, ...],
        max_candidates: int,
    ) -> None:
        """The weights as ``ferengine.detection.mtcnn_weights.read_weights`` gives them.

        Raises ValueError for weights of other shapes or not finite, and for settings out of range.
        """

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], near: Sequence[NDArray[np.float32] | None]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """For each frame, BGR (H, W, 3) in place: boxes (n, 4) x, y, w, h, scores (n,), landmarks (n, 5, 2), best first.

        ``near``, for each frame: None to search everywhere, or boxes (n, 4) x1, y1, x2, y2 to search around. The GIL is
        released. Raises TypeError for a wrong dtype, ValueError for a wrong shape or layout, or boxes not finite.
        """

    def propose(self, level: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """P-Net on a level (H, W, 3), as ``mtcnn_pyramid`` makes it: probabilities (rows, columns) of a face, and boxes
        (4, rows, columns), what to add to x1, y1, x2, y2 in units of the window. Raises ValueError below 12 pixels."""

    def refine(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """R-Net on (n, 24, 24, 3): probabilities (n,) and boxes (n, 4), as in ``propose``. Raises ValueError."""

    def decide(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """O-Net on (n, 48, 48, 3): probabilities (n,) and (n, 14): boxes, then five x and five y of the landmarks in
        units of the window. Raises ValueError."""

def mtcnn_pyramid(frame: NDArray[np.uint8], min_face: float, factor: float) -> list[tuple[float, NDArray[np.float32]]]:
    """(scale, level) from large to small: the area average of ``frame``, BGR (H, W, 3), in whole levels, as float32
    (h, w, 3), RGB, (level - 127.5) / 128. The first shows faces of ``min_face`` pixels 12 wide; each further one is
    ``factor`` times the last, until a side falls below 12. Raises TypeError or ValueError."""

def mtcnn_crops(frame: NDArray[np.uint8], boxes: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The images in ``boxes`` (n, 4) x1, y1, x2, y2, as R- and O-Net take them: float32 (n, size, size, 3), bilinear
    samples of ``frame``, BGR (H, W, 3), in whole levels, as RGB, (level - 127.5) / 128; level 127 beyond the frame.

    Raises TypeError or ValueError, also for boxes that are not finite and a size outside 2 to 4096.
    """

def mtcnn_decode(
    verdicts: NDArray[np.float32], threshold: float, scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """P-Net's map of one level -> boxes (n, 4) x1, y1, x2, y2 in frame pixels and their scores (n,), row by row.

    ``verdicts`` (rows, columns, 16): the logit of "face" less that of "no face", then what to add to the window's x1,
    y1, x2, y2 in units of it; only cells of a probability above ``threshold`` count. The level is ``scale`` times the
    frame. Raises ValueError.
    """

def mtcnn_suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, overlap: Literal["union", "min"]
) -> NDArray[np.int32]:
    """Non-maximum suppression: indices of the ``boxes`` (n, 4) x1, y1, x2, y2 kept, best score first, earlier ones first
    among equals. Each drops the later ones that it overlaps by more than ``threshold``, measured as intersection over
    union, or over the smaller of both areas ("min"). Raises ValueError for what is not finite or does not fit."""
