"""ferengine's C++ hot path: face crops, KCF, MTCNN and the rings in shared memory.

Frames are read in place: uint8 (H, W, 3) BGR or (H, W) grey, at most 65536 pixels a side, pixels contiguous, rows in
ascending order, possibly padded. What cannot be read so raises TypeError (dtype) or ValueError (shape or layout).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

FACE_KEY: np.dtype[np.void]
"""camera u4, epoch u4, sequence u8, face u4, reserved u4, captured_ns, tracked_ns, queued_ns, deadline_ns i8."""

def crop_faces(
    frame: NDArray[np.uint8],
    squares: NDArray[np.float32],
    out: NDArray[np.uint8] | NDArray[np.float32],
    mean: float = 0.0,
    std: float = 1.0,
    order: str = "grey",
) -> None:
    """Crop the squares of a frame, grey or in colour and in place, with the GIL released.

    Upright squares (angle 0) of at least S pixels are averaged exactly by area; smaller ones interpolated bilinearly;
    rotated ones are means of k x k bilinear samples a pixel, k = ceil(side / S), at most 8. Grey is
    (1868 B + 9617 G + 4899 R + 8192) >> 14. Beyond the frame its border is repeated.

    Args:
        frame: BGR or grey; see the module.
        squares: float32 (n, 4): cx, cy and side in pixels (pixel (i, j) covers [j, j+1) x [i, i+1)) and angle in
            radians, clockwise on the screen.
        out: C-contiguous (n, S, S), in colour (n, 3, S, S): uint8 (rounded) or float32 ((intensity - mean) / std).
        mean: 0 for uint8.
        std: 1 for uint8.
        order: Of the planes: "grey", "rgb" or "bgr". Those of a grey frame are all the same.

    Raises:
        TypeError: For a wrong dtype.
        ValueError: For a wrong shape or layout, a square that is not finite with a side above 0 (its row is named), a
            ``std`` that is not above 0, or a normalisation of uint8.
    """

def yuv_to_bgr(
    planes: tuple[Buffer, Buffer, Buffer],
    strides: tuple[int, int, int],
    out: NDArray[np.uint8],
    halved_rows: bool,
    red_weight: float,
    blue_weight: float,
    full_range: bool,
) -> None:
    """Convert an 8-bit frame of 4:2:0 or 4:2:2 to BGR, with the GIL released.

    Each chroma sample holds for all its pixels, as in OpenCV and swscale. Levels are within 1 of the exact values of
    ITU-T H.273, section 8.3, and the same on every machine.

    Args:
        planes: Luma, then blue and red chroma, as anything with the buffer protocol.
        strides: Bytes from row to row of each.
        out: uint8 (H, W, 3), pixels adjacent; rows may be padded.
        halved_rows: Whether chroma has half the rows (4:2:0) or all (4:2:2).
        red_weight: Of red in luma: 0.299 for BT.601, 0.2126 for BT.709.
        blue_weight: Of blue in luma: 0.114 for BT.601, 0.0722 for BT.709.
        full_range: Whether the values fill 0 to 255, or luma 16 to 235 and chroma 16 to 240.

    Raises:
        ValueError: If a plane is too small, or ``out`` or a weight is not as described.
    """

def die_with_parent(parent_pid: int) -> None:
    """Be killed when the thread that started this process ends (PR_SET_PDEATHSIG).

    Raises:
        ProcessLookupError: If the parent is gone already.
    """

class WorkerPage:
    """A worker's event and heartbeat in shared memory."""

    @staticmethod
    def create() -> WorkerPage:
        """Allocate a page."""

    @staticmethod
    def attach(fd: int) -> WorkerPage:
        """Map an existing page; takes ownership of ``fd``.

        Raises:
            ValueError: For another kind of descriptor.
        """

    @property
    def fd(self) -> int:
        """The descriptor, to be handed to another process."""

    def notify(self) -> None:
        """Raise the event's count and wake all waiters."""

    @property
    def event(self) -> int:
        """How often the event was notified, modulo 2**31."""

    def wait(self, seen: int, timeout: float) -> bool:
        """Wait until the event's count differs from ``seen``, with the GIL released.

        Args:
            seen: The count that is known.
            timeout: The longest wait, in seconds.

        Returns:
            False when the count does not differ in time; also earlier when a signal arrives, so that its handler runs.
        """

    def beat(self) -> None:
        """Record now as the last sign of life."""

    @property
    def heartbeat(self) -> float:
        """The last sign of life, seconds of CLOCK_MONOTONIC; 0 before the first."""

class FrameHeader:
    """What is known of the frame in a slot."""

    @property
    def sequence(self) -> int:
        """The frame's number."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (BGR)."""

    @property
    def timestamp(self) -> float:
        """Seconds of the source's clock."""

    @property
    def captured_ns(self) -> int:
        """When it was captured, CLOCK_MONOTONIC."""

class FrameRing:
    """Frames of one camera in shared memory: one writer, up to 32 readers in other processes.

    A slot or reader out of range raises IndexError.
    """

    @staticmethod
    def create(slots: int, slot_bytes: int) -> FrameRing:
        """Allocate a ring, every page at once and with the GIL released.


        Args:
            slots: 1 to 4096.
            slot_bytes: 1 byte to 4 GiB.

        Raises:
            ValueError: Outside those limits.
            MemoryError: When the machine has less memory available.
        """

    @staticmethod
    def attach(fd: int) -> FrameRing:
        """Map an existing ring; takes ownership of ``fd``.

        Raises:
            ValueError: For another kind of descriptor.
        """

    @property
    def fd(self) -> int:
        """The descriptor, to be handed to another process."""

    @property
    def slots(self) -> int:
        """How many slots the ring has."""

    @property
    def slot_bytes(self) -> int:
        """How many bytes a slot has."""

    @property
    def address(self) -> int:
        """Where the mapping begins in this process."""

    @property
    def bytes(self) -> int:
        """How long the mapping is."""

    def acquire(self, timeout: float) -> int:
        """Writer: a slot that no reader holds, in turn, with the GIL released.

        Returns:
            The slot; -1 when there is none within ``timeout`` seconds or before a signal.
        """

    def payload(self, slot: int) -> NDArray[np.uint8]:
        """Writer: the slot's bytes, writable.

        Returns:
            uint8 (slot_bytes,).
        """

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
        """Writer: hand the slot to the readers of the mask ``holds``.

        Args:
            slot: From ``acquire``.
            sequence: The frame's number.
            width: Pixels.
            height: Pixels.
            stride: Bytes from one row to the next.
            channels: 1 or 3.
            timestamp: Seconds of the source's clock.
            captured_ns: CLOCK_MONOTONIC.
            holds: One bit a reader; 0: the slot stays free.

        Raises:
            ValueError: If the frame does not fit into the slot, or if a reader still holds it.
        """

    def recover(self) -> None:
        """Engine, once the writer is dead: count a frame that it had handed over but not yet counted."""

    def close_writer(self) -> None:
        """Writer: no more frames come into this ring."""

    def drop(self) -> None:
        """Writer: count a frame that found no free slot."""

    def held(self, reader: int) -> list[tuple[int, int]]:
        """Reader: the slots that it holds, in order of their frames.

        Returns:
            (sequence, slot) of each.
        """

    def frame(self, slot: int) -> NDArray[np.uint8]:
        """Reader: the image in place, read-only; it keeps the mapping alive.

        What it shows is sure only while the caller's reader holds the slot.

        Returns:
            uint8 (H, W, 3), or (H, W) for one channel.

        Raises:
            ValueError: For a slot never filled.
        """

    def header(self, slot: int) -> FrameHeader:
        """What is known of the frame in the slot."""

    def release(self, slot: int, reader: int) -> None:
        """Reader: release the slot."""

    def skip(self, slot: int, reader: int) -> None:
        """Reader: release the slot, and count its frame as passed over."""

    def clear_reader(self, reader: int) -> None:
        """Release all slots of a reader that has died."""

    @property
    def published(self) -> int:
        """The sequence after the last published frame's."""

    @property
    def closed(self) -> bool:
        """Whether the writer has closed the ring."""

    @property
    def dropped(self) -> int:
        """How many frames found no free slot."""

    @property
    def skipped(self) -> int:
        """How many frames a reader passed over."""

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
    def create(slots: int, crops: Sequence[tuple[int, str]]) -> FaceRing:
        """Allocate a ring.

        Args:
            slots: 1 to 65536 faces.
            crops: One to four of each face: the side, 1 to 1024 pixels, and the planes, "grey", "rgb" or "bgr".

        Raises:
            ValueError: Outside those limits.
            MemoryError: When the machine has less memory available.
        """

    @staticmethod
    def attach(fd: int) -> FaceRing:
        """Map an existing ring; takes ownership of ``fd``.

        A consumer begins at the oldest face not released.

        Raises:
            ValueError: For another kind of descriptor.
        """

    @property
    def fd(self) -> int:
        """The descriptor, to be handed to another process."""

    @property
    def slots(self) -> int:
        """How many faces the ring holds."""

    @property
    def crops(self) -> list[tuple[int, str]]:
        """The side in pixels and the planes of each crop of a face."""

    @property
    def free(self) -> int:
        """Producer: how many faces fit now."""

    @property
    def waiting(self) -> int:
        """Consumer: faces published and not yet gathered."""

    @property
    def oldest_queued_ns(self) -> int:
        """Consumer: when the oldest waiting face was queued, CLOCK_MONOTONIC; 0 without one."""

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
        """Producer: cut all squares of a frame into the ring, with the GIL released.

        Args:
            frame: See ``crop_faces``.
            squares: See ``crop_faces``; the faces are numbered 0 to n - 1.
            camera: For the keys of the faces, as is what follows.
            epoch: Of the camera.
            sequence: Of the frame.
            captured_ns: CLOCK_MONOTONIC.
            tracked_ns: CLOCK_MONOTONIC.
            deadline_ns: CLOCK_MONOTONIC.

        Returns:
            False, and nothing is written, when they do not fit now.

        Raises:
            ValueError: When they never will, and as ``crop_faces``.
        """

    def gather(
        self,
        targets: Sequence[tuple[int, NDArray[np.float32] | NDArray[np.uint8], Sequence[float], Sequence[float]]],
        keys: NDArray[np.void],
        start: int = 0,
    ) -> int:
        """Consumer: copy waiting faces and their keys, with the GIL released.

        Args:
            targets: Where crops go, each with the number of the crop in ``crops``; the array, (n, planes, side, side), or
                (n, side, side) of a grey crop, filled from ``start`` on; and mean and std, one number a plane. float32 is
                normalised, (intensity - mean) / std; uint8 copied, with means of 0 and stds of 1.
            keys: FACE_KEY, as long as each array.
            start: Where the first face goes.

        Returns:
            How many were gathered.

        Raises:
            TypeError: For a wrong dtype.
            ValueError: For arrays that do not fit.
            IndexError: For a crop that the ring does not have.
        """

    def release(self, count: int) -> None:
        """Consumer: the oldest gathered faces may be overwritten.

        Raises:
            ValueError: For more than were gathered.
        """

class PlaceCrops:
    """The last grey crops of one square in the frames of a camera, and whether one blends into another.

    See ``ferengine.tracking.blending``. Not thread-safe.
    """

    def __init__(self, side: int, capacity: int, flat: float) -> None:
        """No crops yet.

        Args:
            side: Width and height of a crop in pixels.
            capacity: Crops at a time, at most.
            flat: Norm of the intensities without their mean below which a crop is none.

        Raises:
            ValueError: If the side or the capacity is not from 1 to 1024.
        """

    def add(self, frame: NDArray[np.uint8], cx: float, cy: float, side: float, max_rows: int) -> float | None:
        """Add what a frame shows, with mean 0 and norm 1.

        Args:
            frame: BGR or grey; see the module. Beyond it its border is repeated.
            cx: Centre of the square, in pixels.
            cy: The same.
            side: Its width and height.
            max_rows: Rows of the frame that are read for one of the crop, at most; all if it is 0.

        Returns:
            Its correlation with the crop before, 0 if that is the first; None where it is flat, and not added.

        Raises:
            TypeError: For a frame that cannot be read in place.
            ValueError: The same; for a square that is not finite with a side above 0, ``max_rows`` below 0, or no room.
        """

    def drop(self, gone: int) -> None:
        """Forget the ``gone`` oldest crops, at most all."""

    def last(self) -> NDArray[np.float32]:
        """Return the last crop, float32 (side * side,).

        Raises:
            ValueError: If there is none.
        """

    def blends(self, unlike: float, residual: float, lowest: float, highest: float, least_between: int) -> bool:
        """Return whether one of the crops has blended into the last: those between are weighted sums of the two.

        Args:
            unlike: Correlation of the two from which they are alike.
            residual: What no weighted sum may explain of one between, as a fraction of what sets the last one apart.
            lowest: Weight of the last crop above which one between is a mixture.
            highest: The same, below which.
            least_between: Crops between the two, at least; one of them is a mixture.
        """

class Kcf:
    """One object's correlation filter.

    See ``ferengine.tracking.kcf``.
    """

    def __init__(self) -> None:
        """A filter that has learnt nothing."""

    def init(self, frame: NDArray[np.uint8], x: float, y: float, w: float, h: float) -> None:
        """Learn the object in a box of a frame, with the GIL released.

        Args:
            frame: BGR or grey; see the module.
            x: Left, in pixels.
            y: Top.
            w: Width.
            h: Height.

        Raises:
            TypeError: For a frame that cannot be read in place.
            ValueError: The same; for a box that is not finite, beyond 1e9 pixels or without area; and when another thread
                uses the filter.
        """

def kcf_update(trackers: Sequence[Kcf], frame: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Find all objects in the next frame and learn from it, with the GIL released.

    Args:
        trackers: n filters.
        frame: BGR or grey; see the module.

    Returns:
        Boxes float64 (n, 4), x, y, w, h, and confidences float32 (n,) in [0, 1].

    Raises:
        TypeError: For a frame that cannot be read in place.
        ValueError: The same; for a filter before ``init``, listed twice or in use by another thread.
    """

def kcf_features(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """The windowed feature maps of a patch: a step alone, for tests.

    Args:
        patch: Grey values (48, 48).

    Returns:
        (24, 24, 14).
    """

def kcf_response(learnt: NDArray[np.float32], patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """The response to one patch of a filter learnt from another: a step alone, for tests.

    Args:
        learnt: The patch that the filter has seen, (48, 48).
        patch: The other, (48, 48).

    Returns:
        (24, 24): row and column are the shift in cells, modulo 24.
    """

def kcf_peak(response: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Where a response is highest: a step alone, for tests.

    Args:
        response: (24, 24), from ``kcf_response``.

    Returns:
        The shift dx, dy in cells, the value, and the peak-to-sidelobe ratio.
    """

class MtcnnCascade:
    """MTCNN's networks and the steps between them.

    Never changed by its use, hence thread-safe. See ``ferengine.detection.mtcnn``.
    """

    def __init__(
        self,
        pnet: Sequence[NDArray[np.float32]],
        rnet: Sequence[NDArray[np.float32]],
        onet: Sequence[NDArray[np.float32]],
        min_face: float,
        factor: float,
        thresholds: tuple[float, ...],
        max_candidates: int,
        estimates: bool | None = None,
    ) -> None:
        """Build the networks from their weights.

        Args:
            pnet: As ``ferengine.detection.mtcnn_weights.read_weights`` gives them, as are the next two.
            rnet: Of R-Net.
            onet: Of O-Net.
            min_face: The smallest face sought, in pixels, at least 12.
            factor: From one level of the pyramid to the next, between 0 and 1.
            thresholds: Three probabilities in [0, 1), of P-Net, R-Net and O-Net.
            max_candidates: How many R-Net, and O-Net, looks at in a frame.
            estimates: Whether P-Net and R-Net are run in bytes first, and themselves only where these come near their
                thresholds. None: where the machine has VNNI, which it takes to gain anything.

        Raises:
            ValueError: For weights of other shapes or not finite, and for settings out of range.
        """

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], near: Sequence[NDArray[np.float32] | None]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """Find the faces of each frame, in place, with the GIL released.

        Args:
            frames: BGR; see the module.
            near: For each frame None, to search everywhere, or boxes (n, 4) x1, y1, x2, y2 to search around.

        Returns:
            For each frame boxes (n, 4) x, y, w, h, scores (n,) and landmarks (n, 5, 2), best first.

        Raises:
            TypeError: For a wrong dtype.
            ValueError: For a wrong shape or layout, or boxes not finite.
        """

    def propose(
        self, level: NDArray[np.float32], skim: float = float("-inf")
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """P-Net on one level of the pyramid.

        Args:
            level: (H, W, 3), as ``mtcnn_pyramid`` makes it.
            skim: Cells of odd rows or columns are looked at only beside one of an even row and column whose logit is so large.

        Returns:
            Probabilities of a face (rows, columns), 0 where a cell was not looked at, and what to add to x1, y1, x2, y2 in
            units of the window (4, rows, columns).

        Raises:
            ValueError: Below 12 pixels a side, or ``skim`` is not a number.
        """

    def estimate_proposals(self, level: NDArray[np.float32]) -> NDArray[np.float32]:
        """P-Net in bytes on one level of the pyramid.

        Args:
            level: (H, W, 3), as ``mtcnn_pyramid`` makes it.

        Returns:
            Logits (rows, columns) of the probabilities of ``propose``, nearly.

        Raises:
            ValueError: Below 12 pixels a side.
        """

    def estimate_refinements(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """R-Net in bytes.

        Args:
            images: (n, 24, 24, 3), as ``mtcnn_crops`` makes them.

        Returns:
            Logits (n,) of the probabilities of ``refine``, nearly.

        Raises:
            ValueError: For another shape.
        """

    def refine(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """R-Net on images of 24 x 24 pixels.

        Args:
            images: (n, 24, 24, 3), as ``mtcnn_crops`` makes them.

        Returns:
            Probabilities (n,) and offsets (n, 4), as in ``propose``.

        Raises:
            ValueError: For another shape.
        """

    def decide(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """O-Net on images of 48 x 48 pixels.

        Args:
            images: (n, 48, 48, 3), as ``mtcnn_crops`` makes them.

        Returns:
            Probabilities (n,) and (n, 14): offsets, then five x and five y of the landmarks in units of the window.

        Raises:
            ValueError: For another shape.
        """

def mtcnn_pyramid(frame: NDArray[np.uint8], min_face: float, factor: float) -> list[tuple[float, NDArray[np.float32]]]:
    """The image pyramid that P-Net scans, from large to small.

    Args:
        frame: BGR; see the module.
        min_face: The first level shows faces of so many pixels 12 wide.
        factor: Each further level is so many times the last, until a side falls below 12.

    Returns:
        (scale, level) of each: the area average of ``frame``, rounded to integers, as float32 (h, w, 3), RGB,
        (value - 127.5) / 128.

    Raises:
        TypeError: For a wrong dtype.
        ValueError: For a wrong shape or layout, and settings out of range.
    """

def mtcnn_parts_near(
    frame: NDArray[np.uint8], near: NDArray[np.float32], min_face: float, factor: float
) -> list[tuple[float, int, int, NDArray[np.float32]]]:
    """The parts of the pyramid's levels that P-Net scans for faces near known ones, from large to small.

    Args:
        frame: BGR; see the module.
        near: (n, 4) x1, y1, x2, y2. Those without an area are ignored.
        min_face: As of ``mtcnn_pyramid``.
        factor: As of ``mtcnn_pyramid``.

    Returns:
        (scale, x, y, image) of each: the part of the frame that begins at (x, y), as ``mtcnn_pyramid`` shows it at that scale.

    Raises:
        TypeError: For a wrong dtype.
        ValueError: For a wrong shape or layout, boxes that are not finite, and settings out of range.
    """

def mtcnn_crops(frame: NDArray[np.uint8], boxes: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The images in boxes of a frame, as R-Net and O-Net take them.

    Args:
        frame: BGR; see the module.
        boxes: (n, 4) x1, y1, x2, y2.
        size: 2 to 4096 pixels.

    Returns:
        float32 (n, size, size, 3): bilinear samples, rounded to integers, as RGB, (value - 127.5) / 128; 127 beyond the
        frame.

    Raises:
        TypeError: For a wrong dtype.
        ValueError: For a wrong shape or layout, boxes that are not finite, and a size out of range.
    """

def mtcnn_decode(
    verdicts: NDArray[np.float32], threshold: float, scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Windows, boxes and scores from P-Net's predictions for one level, row by row.

    Args:
        verdicts: The predictions (rows, columns, 16): the logit of "face" less that of "no face", then what to add to the
            window's x1, y1, x2, y2 in units of it.
        threshold: Only cells of a higher probability count.
        scale: The level is so many times the frame.

    Returns:
        What the cells see, and the boxes that they move it to, (n, 4) x1, y1, x2, y2 in frame pixels each, and their scores
        (n,).

    Raises:
        ValueError: For another shape, and for a threshold or scale out of range.
    """

def mtcnn_suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, overlap: Literal["union", "min"]
) -> NDArray[np.int32]:
    """Non-maximum suppression: indices of the boxes kept, best score first.

    Earlier ones come first among equals. Each drops the later ones that it overlaps by more than ``threshold``.

    Args:
        boxes: (n, 4) x1, y1, x2, y2.
        scores: (n,).
        threshold: In [0, 1].
        overlap: Measured as intersection over union, or over the smaller of both areas ("min").

    Returns:
        int32 (k,).

    Raises:
        ValueError: For what is not finite or does not fit.
    """

def retinaface_input(frame: NDArray[np.uint8], means: tuple[float, float, float], out: NDArray[np.float32]) -> None:
    """Scale a frame to RetinaFace's input: each pixel is the mean over the area that it covers.

    ``RetinaFaceStem.run`` does it within; by itself it is there to be tested, before the layers hide what is wrong with it.

    Args:
        frame: BGR (height, width, 3); rows may be padded.
        means: What is taken from blue, green and red.
        out: (height, width, 3), contiguous, to be written.

    Raises:
        TypeError: One of them is no such array.
        ValueError: A shape is wrong, or one of them is empty.
    """

class RetinaFaceStem:
    """The first stage of RetinaFace's backbone, straight from a frame.

    Never changed by its use, hence thread-safe. See ``ferengine.detection.retinaface``.
    """

    def __init__(
        self,
        means: tuple[float, float, float],
        first: tuple[NDArray[np.float32], NDArray[np.float32]],
        blocks: Sequence[
            tuple[
                tuple[NDArray[np.float32], NDArray[np.float32]],
                tuple[NDArray[np.float32], NDArray[np.float32]],
                int,
            ]
        ],
    ) -> None:
        """Build the layers from their weights, each a kernel (side, side, in, out) and a bias (out,).

        A LeakyReLU of slope 0.1 follows each of them.

        Args:
            means: What is taken from blue, green and red.
            first: The first layer, of 3 x 3 pixels and stride 2.
            blocks: A depthwise layer of 3 x 3 pixels, its kernel (3, 3, 1, channels); the pointwise layer that follows
                it; and the stride of the first, 1 or 2. The last has a multiple of 16 channels.

        Raises:
            ValueError: What does not fit, or is not finite.
        """

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Rows, columns and channels of what ``run`` gives.

        Args:
            height: Of the network's input, 1 to 65,536 pixels.
            width: As well.

        Raises:
            ValueError: A side is out of range.
        """

    def run(self, frame: NDArray[np.uint8], height: int, width: int, out: NDArray[np.float32]) -> None:
        """Scale a frame to the network's input and run the layers on it.

        Args:
            frame: BGR; rows may be padded.
            height: As of ``shape``.
            width: As of ``shape``.
            out: Of that shape, contiguous, to be written.

        Raises:
            TypeError: One of them is no such array.
            ValueError: A shape is wrong, or the frame is empty.
        """

def retinaface_decode(
    levels: Sequence[tuple[NDArray[np.float32], int, tuple[float, float]]],
    threshold: float,
    overlap: float,
    max_candidates: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Boxes, scores and landmarks of the faces in RetinaFace's maps, best first.

    Args:
        levels: Of each stride its map (30, height, width), the stride in pixels, and the sides of its two priors. The channels
            of a prior: the logit of "face" less that of "no face", four of the box, ten of the landmarks.
        threshold: Only priors of a higher probability count.
        overlap: Of two faces that overlap by more (intersection over union) the better is kept.
        max_candidates: How many priors enter the suppression, best first.

    Returns:
        Boxes (n, 4) x, y, w, h; scores (n,); and landmarks (n, 5, 2), in pixels of the network's input.

    Raises:
        ValueError: For another shape, values that are not finite, and settings out of range.
    """

def instruction_sets() -> list[str]:
    """The instruction sets that this machine has and kernels are compiled for, in ascending order.

    "baseline" is there on any machine; "avx2" is that with FMA, and "avx512" what processors with VNNI have.
    """

def use_instruction_set(name: str) -> str:
    """For tests: run the kernels of another machine, in all threads, until the next call.

    Args:
        name: One of ``instruction_sets``. In the beginning it is the last of them.

    Returns:
        The one before.

    Raises:
        ValueError: There is none of that name.
    """
