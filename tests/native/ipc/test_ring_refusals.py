"""What the rings refuse: sizes, indices, arrays and descriptors."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
import pytest

from ferengine._native import FACE_KEY, FaceRing, FrameRing, WorkerPage
from rings_help import SIDE, child, line_of


@pytest.mark.parametrize(
    ("slots", "slot_bytes"), [(0, 10), (4097, 10), (1, 0), (1, 2**32 + 1)], ids=["none", "many", "empty", "large"]
)
def test_impossible_frame_rings_are_refused(slots: int, slot_bytes: int) -> None:
    with pytest.raises(ValueError):
        FrameRing.create(slots, slot_bytes)


@pytest.mark.parametrize(
    ("slots", "crops"),
    [
        (0, [(8, "grey")]),
        (65537, [(8, "grey")]),
        (1, [(0, "grey")]),
        (1, [(8, "rgb"), (1025, "grey")]),
        (1, [(8, "yuv")]),
        (1, []),
        (1, [(8, "grey")] * 5),
    ],
    ids=["none", "many", "empty", "large", "planes", "no crops", "five crops"],
)
def test_impossible_face_rings_are_refused(slots: int, crops: list[tuple[int, str]]) -> None:
    with pytest.raises(ValueError):
        FaceRing.create(slots, crops)


def test_more_memory_than_there_is_is_a_memory_error() -> None:
    # RLIMIT_FSIZE in a child: should the ring ever ask the kernel for so much, this is an OSError there, not a machine
    # without memory
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    FrameRing.create(4096, 2**32)
except Exception as error:
    print(type(error).__name__, error)
"""
    with child(code) as process:
        answer = line_of(process)
    assert answer.startswith("MemoryError")
    assert "shared memory" in answer


@pytest.mark.parametrize(
    ("width", "height", "stride", "channels"),
    [
        (4, 4, 4, 0),
        (1, 1, 5, 5),
        (2, 2, 4, 2),
        (0, 2, 6, 3),
        (2, 0, 6, 3),
        (5, 2, 14, 3),
        (8, 9, 8, 1),
        (2**32 - 1, 2**32 - 1, 2**32 - 1, 1),
    ],
)
def test_frames_that_do_not_fit_are_refused(width: int, height: int, stride: int, channels: int) -> None:
    ring = FrameRing.create(1, 64)
    with pytest.raises(ValueError):
        ring.publish(0, 0, width, height, stride, channels, 0.0, 0, 1)
    assert ring.held(0) == []
    assert ring.published == 0


def test_indices_out_of_range_are_refused() -> None:
    ring = FrameRing.create(2, 64)
    for call in (ring.payload, ring.frame, ring.header):
        with pytest.raises(IndexError):
            call(2)
    with pytest.raises(IndexError):
        ring.publish(2, 0, 1, 1, 1, 1, 0.0, 0, 1)
    for slot, reader in ((2, 0), (0, 32)):
        for give_back in (ring.release, ring.skip):
            with pytest.raises(IndexError):
                give_back(slot, reader)
    assert ring.skipped == 0
    with pytest.raises(IndexError):
        ring.held(32)
    with pytest.raises(IndexError):
        ring.clear_reader(32)


BAD_GATHERS = {
    "out: double": (TypeError, {"out": np.zeros((2, SIDE, SIDE))}),
    "out: one face": (ValueError, {"out": np.zeros((SIDE, SIDE), np.float32)}),
    "out: other side": (ValueError, {"out": np.zeros((2, SIDE, SIDE + 1), np.float32)}),
    "out: three channels": (ValueError, {"out": np.zeros((2, 3, SIDE, SIDE), np.float32)}),
    "out: strided": (ValueError, {"out": np.zeros((4, SIDE, SIDE), np.float32)[::2]}),
    "keys: other items": (TypeError, {"keys": np.zeros(2, np.int64)}),
    "keys: too short": (ValueError, {"keys": np.zeros(1, FACE_KEY)}),
    "keys: two dimensions": (ValueError, {"keys": np.zeros((2, 1), FACE_KEY)}),
    "keys: strided": (ValueError, {"keys": np.zeros(4, FACE_KEY)[::2]}),
    "start: below 0": (ValueError, {"start": -1}),
    "start: beyond out": (ValueError, {"start": 3}),
    "std: 0": (ValueError, {"std": (0.0,)}),
    "std: NaN": (ValueError, {"std": (float("nan"),)}),
    "std: three": (ValueError, {"std": (1.0, 1.0, 1.0)}),
    "mean: none": (ValueError, {"mean": ()}),
    "crop: beyond the ring's": (IndexError, {"crop": 1}),
    "crop: below 0": (TypeError, {"crop": -1}),
}


@pytest.mark.parametrize("case", BAD_GATHERS)
def test_bad_gathers_are_refused(case: str) -> None:
    error, changed = BAD_GATHERS[case]
    ring = FaceRing.create(2, [(SIDE, "grey")])
    assert ring.push(np.zeros((9, 9), np.uint8), np.array([[4, 4, 5, 0]], np.float32), 0, 0, 0, 0, 0, 0)
    out: Any = np.zeros((2, SIDE, SIDE), np.float32)
    given = {"crop": 0, "out": out, "mean": (0.0,), "std": (1.0,), "keys": np.zeros(2, FACE_KEY), "start": 0} | changed
    with pytest.raises(error):
        ring.gather([(given["crop"], given["out"], given["mean"], given["std"])], given["keys"], given["start"])
    assert ring.waiting == 1


def test_a_bad_push_writes_nothing() -> None:
    ring = FaceRing.create(2, [(SIDE, "grey")])
    frame = np.zeros((9, 9), np.uint8)
    with pytest.raises(ValueError, match="square 1"):
        ring.push(frame, np.array([[4, 4, 5, 0], [4, 4, 0, 0]], np.float32), 0, 0, 0, 0, 0, 0)
    with pytest.raises(TypeError):
        ring.push(frame.astype(np.float32), np.array([[4, 4, 5, 0]], np.float32), 0, 0, 0, 0, 0, 0)
    assert (ring.free, ring.waiting) == (2, 0)


@pytest.mark.parametrize("kind", [FrameRing, FaceRing, WorkerPage])
def test_wrong_descriptors_are_refused_and_closed(kind: type[FrameRing] | type[FaceRing] | type[WorkerPage]) -> None:
    rings = {
        FrameRing: FrameRing.create(1, 8192),
        FaceRing: FaceRing.create(1, [(48, "grey")]),
        WorkerPage: WorkerPage.create(),
    }
    wrong = [os.dup(ring.fd) for other, ring in rings.items() if other is not kind]
    wrong += os.pipe()
    with tempfile.NamedTemporaryFile() as full, tempfile.TemporaryFile() as empty:
        full.write(bytes(8192))
        full.flush()
        wrong += [os.dup(full.fileno()), os.dup(empty.fileno()), os.open(full.name, os.O_RDONLY)]
    for descriptor in wrong:
        with pytest.raises(ValueError, match="descriptor"):
            kind.attach(descriptor)
        with pytest.raises(OSError):
            os.fstat(descriptor)
    with pytest.raises(ValueError, match="not open"):
        kind.attach(-1)


@pytest.mark.parametrize("kind", [FrameRing, FaceRing, WorkerPage])
def test_mappings_cannot_be_truncated(kind: type[FrameRing] | type[FaceRing] | type[WorkerPage]) -> None:
    ring = {FrameRing: (1, 8192), FaceRing: (1, [(48, "grey")]), WorkerPage: ()}[kind]
    mapping = kind.create(*ring)
    size = os.fstat(mapping.fd).st_size
    for other in (0, size - 64, size + 64):
        with pytest.raises(PermissionError):
            os.ftruncate(mapping.fd, other)
