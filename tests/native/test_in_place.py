"""Tracking and cropping read a frame where the ring holds it: no copy comes between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ferengine import _native
from ferengine._native import FrameRing
from ferengine.detection.base import Detections
from ferengine.tracking import FaceTracker
from ferengine.tracking.cropper import FaceCropper

WIDTH, HEIGHT, STRIDE = 200, 150, 640


@pytest.fixture
def ring() -> FrameRing:
    """Three frames, rows padded, of an image that moves two pixels a frame."""
    ring = FrameRing.create(3, HEIGHT * STRIDE)
    rng = np.random.default_rng(0)
    image = np.repeat(np.repeat(rng.integers(0, 256, (40, 60, 3), np.uint8), 5, 0), 5, 1)
    for index in range(3):
        slot = ring.acquire(1.0)
        rows = ring.payload(slot).reshape(HEIGHT, STRIDE)[:, : 3 * WIDTH]
        rows[:] = image[10:160, 40 - 2 * index : 240 - 2 * index].reshape(HEIGHT, 3 * WIDTH)
        ring.publish(slot, index, WIDTH, HEIGHT, STRIDE, 3, index / 25, 0, 1)
    return ring


class Recorder:
    """Stands before a native function and notes where the frames that it is handed lie."""

    def __init__(self, called: Any, position: int) -> None:
        self.called, self.position, self.frames = called, position, list[NDArray[np.uint8]]()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.frames.append(arguments[self.position])
        return self.called(*arguments, **options)


def test_trackers_and_crops_are_handed_addresses_in_the_mapping(ring: FrameRing, monkeypatch: pytest.MonkeyPatch) -> None:
    updates, crops = Recorder(_native.kcf_update, 1), Recorder(_native.crop_faces, 0)
    inits: list[NDArray[np.uint8]] = []

    class RecordedKcf:
        def __init__(self) -> None:
            self.filter = _native_kcf()

        def init(self, frame: NDArray[np.uint8], *box: float) -> None:
            inits.append(frame)
            self.filter.init(frame, *box)

    _native_kcf = _native.Kcf
    monkeypatch.setattr(_native, "Kcf", RecordedKcf)
    monkeypatch.setattr(_native, "kcf_update", lambda trackers, frame: updates([each.filter for each in trackers], frame))
    monkeypatch.setattr(_native, "crop_faces", crops)

    tracker, cropper = FaceTracker(), FaceCropper(48)
    held = ring.held(0)
    first = ring.frame(held[0][1])
    boxes = np.array([[40, 30, 50, 50], [110, 60, 40, 40]], np.float32)
    tracker.correct(first, Detections(boxes, np.ones(2, np.float32), None), 0.0)
    for sequence, slot in held[1:]:
        frame = ring.frame(slot)
        tracker.advance(frame, sequence / 25)
        cropper.crop(frame, [face.region for face in tracker.faces])
    assert len(tracker.faces) == 2
    assert len(inits) == 2
    assert len(updates.frames) == 2  # both faces of a frame in one call
    assert len(crops.frames) == 2
    for frame in [*inits, *updates.frames, *crops.frames]:
        start, end = ring.address, ring.address + ring.bytes
        assert start <= frame.ctypes.data
        assert frame.ctypes.data + (HEIGHT - 1) * STRIDE + 3 * WIDTH <= end
        assert frame.strides == (STRIDE, 3, 1)
        assert not frame.flags.owndata


def test_what_changes_in_the_ring_changes_the_answer(ring: FrameRing) -> None:
    """The native code keeps no copy of a frame of its own: the same array answers for what is in the slot now."""
    (_, first), (_, second), _ = ring.held(0)
    tracker = _native.Kcf()
    tracker.init(ring.frame(first), 60, 40, 50, 50)
    frame = ring.frame(second)
    before, sure = _native.kcf_update([tracker], frame)
    ring.payload(second)[:] = 90
    _, lost = _native.kcf_update([tracker], frame)
    assert before[0] == pytest.approx([62, 40, 50, 50], abs=1)
    assert sure[0] > 0.8
    assert lost[0] == 0
    out = np.empty((1, 8, 8), np.uint8)
    _native.crop_faces(frame, np.array([[60, 60, 40, 0]], np.float32), out)
    assert (out == 90).all()
