"""Video files and images with damaged bytes."""

from __future__ import annotations

import random
from pathlib import Path

import av
import numpy as np

from ferengine.cli.images import read_image
from ferengine.errors import SourceError
from ferengine.sources import open_source, parse_source
from ferengine.vision import cv2
from fuzzing.mutations import damaged

FORMATS = {"mp4": ("libx264", "yuv420p"), "mkv": ("libx264", "yuv420p"), "ts": ("mpeg2video", "yuv420p"),
           "avi": ("mjpeg", "yuvj420p"), "gif": ("gif", "rgb8")}  # fmt: skip

_FRAMES = 300
"""A damaged header may promise any number of frames: so many are read."""


class MediaFiles:
    """Video files of one format.

    Args:
        suffix: One of ``FORMATS``.
        folder: Where they are written.
    """

    def __init__(self, suffix: str, folder: Path) -> None:
        self._path = folder / f"case.{suffix}"
        codec, pixels = FORMATS[suffix]
        with av.open(str(self._path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
            stream.codec_context.gop_size = 4
            coarse = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
            for number in range(12):
                container.mux(
                    stream.encode(
                        av.VideoFrame.from_ndarray(np.roll(coarse, 3 * number, axis=1), "bgr24").reformat(format=pixels)
                    )
                )
            container.mux(stream.encode(None))
        self._whole = self._path.read_bytes()

    def run(self, chance: random.Random) -> None:
        self._path.write_bytes(damaged(self._whole, chance))
        options = chance.choice([{}, {}, {"size": (32, 24)}, {"fps": 5.0}, {"rotate": 90}, {"loop": 3}])
        source = open_source(parse_source(self._path, **options))
        try:
            info = source.open()
            assert info.width > 0
            assert info.height > 0
            if chance.random() < 0.2:
                source.skip(chance.randrange(20))
            for _ in range(_FRAMES):
                captured = source.read()
                if captured is None:
                    break
                assert captured.image.dtype == np.uint8
                assert captured.image.ndim == 3
                assert np.isfinite(captured.timestamp)
        finally:
            source.close()

    def close(self) -> None: ...


class ImageFiles:
    """Images of one format, read as ``ferengine image`` does and as a source.

    Args:
        suffix: The end of their names.
        folder: Where they are written.
    """

    def __init__(self, suffix: str, folder: Path) -> None:
        self._path = folder / f"case.{suffix}"
        image = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8).repeat(12, axis=0).repeat(12, axis=1)
        assert cv2.imwrite(str(self._path), image)
        self._whole = self._path.read_bytes()

    def run(self, chance: random.Random) -> None:
        self._path.write_bytes(damaged(self._whole, chance))
        if chance.random() < 0.5:
            assert read_image(self._path).ndim == 3
            return
        source = open_source(parse_source(self._path))
        try:
            source.open()
            while (captured := source.read()) is not None:
                assert captured.image.ndim == 3
            if source.broken_frames:
                raise SourceError("counted")
        finally:
            source.close()

    def close(self) -> None: ...
