"""Calls of the compiled extension with any arrays: it refuses them, or answers with finite numbers."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ferengine import _native
from ferengine._native import FACE_KEY, FaceRing, FrameRing, Kcf, WorkerPage

_REFUSALS = (TypeError, ValueError, IndexError, OverflowError, MemoryError)
_FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 12.0, 47.9, 1e-30, 1e9, -1e9, 1e30, 3e38, float("nan"), float("inf"), -float("inf"))
_INTEGERS = (0, 1, 2, 3, 7, 31, 32, -1, 255, 4096, 2**31, 2**32, 2**63, 2**64, 2**70)


class Native:
    """Everything that the extension takes arrays and numbers for, with state that lives on between the calls."""

    def __init__(self, _: Path) -> None:
        self._faces = FaceRing.create(8, [(16, "grey"), (9, "rgb")])
        self._frames = FrameRing.create(4, 64 * 48 * 3)
        self._page = WorkerPage.create()
        self._kcf = [Kcf() for _ in range(4)]
        self._calls: list[Callable[[random.Random], Any]] = [
            getattr(self, name) for name in dir(type(self)) if name.startswith("_call_")
        ]

    def run(self, chance: random.Random) -> None:
        for _ in range(20):
            call = chance.choice(self._calls)
            try:
                call(chance)
            except _REFUSALS:
                continue

    def close(self) -> None: ...

    def _call_crop_faces(self, chance: random.Random) -> None:
        side = chance.choice([1, 8, 16, 48])
        _native.crop_faces(_image(chance), _numbers(chance, 4), np.zeros((chance.randrange(4), side, side), np.uint8))
        colour = np.zeros((chance.randrange(4), 3, side, side), chance.choice([np.uint8, np.float32]))
        _native.crop_faces(_image(chance), _numbers(chance, 4), colour, order=chance.choice(["rgb", "bgr", "grey", "x"]))

    def _call_kcf(self, chance: random.Random) -> None:
        tracker = chance.choice(self._kcf)
        tracker.init(_image(chance), *(_float(chance) for _ in range(4)))

    def _call_kcf_update(self, chance: random.Random) -> None:
        boxes, confidences = _native.kcf_update(chance.choices(self._kcf, k=chance.randrange(4)), _image(chance))
        assert np.isfinite(boxes).all()
        assert np.isfinite(confidences).all()

    def _call_kcf_steps(self, chance: random.Random) -> None:
        _native.kcf_features(_floats(chance, (48, 48)))
        _native.kcf_response(_floats(chance, (48, 48)), _floats(chance, (48, 48)))
        _native.kcf_peak(_floats(chance, (24, 24)))

    def _call_mtcnn_pyramid(self, chance: random.Random) -> None:
        factor = chance.choice([0.3, 0.709, 0.9, _float(chance)])
        for _, level in _native.mtcnn_pyramid(_image(chance), chance.choice([12.0, 20.0, _float(chance)]), factor):
            assert np.isfinite(level).all()

    def _call_mtcnn_parts_near(self, chance: random.Random) -> None:
        factor = chance.choice([0.3, 0.709, 0.9, _float(chance)])
        for *_, part in _native.mtcnn_parts_near(_image(chance), _numbers(chance, 4), chance.choice([12.0, 20.0]), factor):
            assert np.isfinite(part).all()

    def _call_mtcnn_crops(self, chance: random.Random) -> None:
        crops = _native.mtcnn_crops(_image(chance), _numbers(chance, 4), chance.choice([2, 24, 48, 1, 0, -1]))
        assert np.isfinite(crops).all()

    def _call_mtcnn_decode(self, chance: random.Random) -> None:
        verdicts = _floats(chance, (chance.randrange(5), chance.randrange(5), 16))
        _native.mtcnn_decode(verdicts, _float(chance), _float(chance))

    def _call_mtcnn_suppress(self, chance: random.Random) -> None:
        boxes = _numbers(chance, 4)
        scores = _floats(chance, (len(boxes) if chance.random() < 0.9 else 3,))
        kept = _native.mtcnn_suppress(
            boxes, scores, chance.choice([0.5, 0.7, _float(chance)]), chance.choice(["union", "min", "x"])
        )  # type: ignore[arg-type]
        assert all(0 <= index < len(boxes) for index in kept)

    def _call_face_ring(self, chance: random.Random) -> None:
        ring = (
            self._faces
            if chance.random() < 0.9
            else FaceRing.create(_integer(chance), [(_integer(chance), chance.choice(["grey", "bgr", "x"]))])
        )
        match chance.randrange(3):
            case 0:
                keys = [chance.choice([1, 2, _integer(chance)]) for _ in range(6)]
                ring.push(_image(chance), _numbers(chance, 4), *keys)
            case 1:
                room = chance.randrange(6)
                kind = chance.choice([np.float32, np.uint8, np.float64])
                out, colour = np.zeros((room, 16, 16), kind), np.zeros((room, 3, 9, 9), np.float32)
                targets = [
                    (0, out, [_float(chance)], [_float(chance)]),
                    (chance.choice([1, _integer(chance)]), colour, [0.0] * chance.choice([1, 3]), [1.0] * 3),
                ]
                ring.gather(targets[: chance.randrange(3)], np.zeros(room, FACE_KEY), chance.choice([0, _integer(chance)]))
            case _:
                ring.release(chance.choice([0, 1, 2, _integer(chance)]))

    def _call_frame_ring(self, chance: random.Random) -> None:
        ring = self._frames
        if chance.random() < 0.05:
            ring = self._frames = FrameRing.attach(os.dup(ring.fd))
        slot, reader = chance.choice([0, 1, 2, 3, _integer(chance)]), chance.choice([0, 1, _integer(chance)])
        match chance.randrange(8):
            case 0:
                ring.acquire(0.0)
            case 1:
                sizes = [chance.choice([1, 3, 48, 64, 192, _integer(chance)]) for _ in range(4)]
                ring.publish(
                    slot, _integer(chance), *sizes, _float(chance), _integer(chance), chance.choice([0, 1, 3, _integer(chance)])
                )
            case 2:
                ring.payload(slot)[:] = 7
            case 3:
                int(ring.frame(slot).sum())
            case 4:
                ring.release(slot, reader)
            case 5:
                ring.skip(slot, reader)
            case 6:
                ring.clear_reader(reader)
            case _:
                ring.held(reader)
                ring.header(slot)
                ring.recover()

    def _call_worker_page(self, chance: random.Random) -> None:
        self._page.notify()
        self._page.wait(chance.choice([self._page.event - 1, 2**32, -1]), 0.0)

    def _call_attach(self, chance: random.Random) -> None:
        """A memfd of random bytes, with the beginning of a ring or without."""
        kind, made = chance.choice([(FrameRing, self._frames), (FaceRing, self._faces), (WorkerPage, self._page)])
        source = os.pread(made.fd, 1 << 16, 0)
        descriptor = os.memfd_create("fuzz", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        data = bytearray(source)
        for _ in range(chance.randrange(6)):
            data[chance.randrange(min(len(data), 128))] = chance.randrange(256)
        os.write(descriptor, data[: chance.choice([0, 1, 64, 4096, len(data)])])
        attached = kind.attach(descriptor)
        if isinstance(attached, FrameRing):
            for slot in range(min(attached.slots, 8)):
                attached.held(0)
                int(attached.frame(slot).sum())


def _float(chance: random.Random) -> float:
    return chance.choice(_FLOATS) if chance.random() < 0.5 else chance.uniform(-80, 120)


def _integer(chance: random.Random) -> int:
    return chance.choice(_INTEGERS)


def _floats(chance: random.Random, shape: tuple[int, ...]) -> Any:
    random_values = np.random.default_rng(chance.randrange(2**32))
    array: Any = random_values.normal(0, chance.choice([0.1, 1, 100]), shape).astype(np.float32)
    if array.size and chance.random() < 0.2:
        array.flat[chance.randrange(array.size)] = chance.choice(_FLOATS)
    return array if chance.random() < 0.95 else chance.choice([array.astype(np.float64), array[..., None], array[:0]])


def _numbers(chance: random.Random, columns: int) -> Any:
    """Boxes: (n, columns), most of them sensible."""
    count = chance.choice([0, 1, 2, 5, 9])
    array: Any = np.array([[chance.uniform(-20, 80) for _ in range(columns)] for _ in range(count)], np.float32).reshape(
        -1, columns
    )
    array[:, 2:] = np.abs(array[:, 2:])
    if count and chance.random() < 0.3:
        array[chance.randrange(count), chance.randrange(columns)] = chance.choice(_FLOATS)
    match chance.randrange(20):
        case 0:
            return array.astype(np.float64)
        case 1:
            return array[:, ::-1]
        case 2:
            return array[:, :3]
        case 3:
            return array.ravel()
        case _:
            return array


def _image(chance: random.Random) -> Any:
    height, width = (chance.choice([1, 2, 11, 12, 13, 31, 48, 64]) for _ in range(2))
    random_values = np.random.default_rng(chance.randrange(2**32))
    shape = (height, width) if chance.random() < 0.2 else (height, width, chance.choice([3, 3, 3, 3, 1, 4]))
    array: Any = random_values.integers(0, 256, shape, np.uint8)
    match chance.randrange(16):
        case 0:
            return array[::-1]
        case 1:
            return array[:, ::-1]
        case 2:
            return array[::2, ::2]
        case 3:
            return np.asfortranarray(array)
        case 4:
            return array[..., ::-1]
        case 5:
            return array[:0]
        case 6:
            return array.astype(np.float32)
        case 7:
            return np.lib.stride_tricks.as_strided(array, (1 << 20, 1 << 20, 3), (0, 0, 0))
        case 8:
            return array[1:, : width - 1]
        case _:
            return array
