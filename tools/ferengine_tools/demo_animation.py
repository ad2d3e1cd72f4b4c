"""``python -m ferengine_tools.demo_animation``: the moving image of the README, the demo as the engine reads and draws it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.cli.command import exit_code, make_command
from ferengine.engine import Engine
from ferengine.errors import SinkError, UsageError
from ferengine.pip_hint import pip_install
from ferengine.sinks.draw import draw_still
from ferengine.sources.demo import DemoSource
from ferengine.sources.push import PushSource
from ferengine.vision import cv2

_NAME = "demo"
_RATE = 30.0
_EACH = 3
"""One frame of so many is kept."""
_SIZE = (640, 360)
_QUALITY = 75

_IS_ANIMATED = 0x02
"""Of the flags of a WebP file."""
_REPLACES = 0x02
"""Of the flags of a frame: it is not blended with the one before."""


def demo_images(frames: int, *, faces: int = 2) -> list[NDArray[np.uint8]]:
    """The demo's drawn faces with what the engine read in them.

    Args:
        frames: How many frames are read; every third is kept.
        faces: How many faces there are.

    Returns:
        The frames, BGR uint8 (360, 640, 3), 10 a second.
    """
    source = DemoSource(*_SIZE, fps=_RATE, frames=frames, faces=faces, seed=4, drawn=True)
    source.open()
    images = []
    with Engine(PushSource(_NAME, wait=True), min_face=30.0) as engine:
        results = engine.results(frames=True)
        feeding = threading.Thread(target=_feed, args=(engine, source), name="demo-frames")
        feeding.start()
        for result, image in results:
            if result.frame % _EACH == 0:
                drawn = image.copy()
                draw_still(drawn, result.faces)
                images.append(drawn)
        feeding.join()
    return images


def _feed(engine: Engine, source: DemoSource) -> None:
    while (captured := source.read()) is not None:
        if not engine.push(_NAME, captured.image, captured.timestamp, timeout=60.0):
            break  # the engine has ended, and its results say why
    engine.end_source(_NAME)


def animated_webp(images: Sequence[NDArray[np.uint8]], duration: int) -> bytes:
    """Encode an animation in which each image is complete.

    OpenCV's own animations only store what differs enough from the image before: what is slightly different stays as it was,
    and moving faces leave traces on the background.

    Args:
        images: BGR uint8 (H, W, 3), all of one size.
        duration: Of each, in milliseconds.

    Returns:
        An animated WebP that repeats for ever (Google, "WebP Container Specification").
    """
    height, width = images[0].shape[:2]
    size = _bits24(width - 1) + _bits24(height - 1)
    frame = bytes(6) + size + _bits24(duration) + bytes([_REPLACES])
    chunks = [
        _chunk(b"VP8X", bytes([_IS_ANIMATED, 0, 0, 0]) + size),
        _chunk(b"ANIM", bytes(6)),  # the background, and how often it is repeated: for ever
        *(_chunk(b"ANMF", frame + _encoded(image)) for image in images),
    ]
    return _chunk(b"RIFF", b"WEBP" + b"".join(chunks))


def _encoded(image: NDArray[np.uint8]) -> bytes:
    """The chunk of one image: what follows the header of a WebP file."""
    encoded, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not encoded:
        raise SinkError(f"OpenCV cannot encode WebP: {pip_install('opencv-contrib-python>=4.11,<5')}")
    return data.tobytes()[12:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)


def _bits24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def write_animation(
    out: Annotated[Path, typer.Argument(help="A .webp file.")],
    frames: Annotated[int, typer.Option(help="Frames of the demo, 30 a second; every third is kept.", min=_EACH)] = 360,
) -> None:
    """Write the demo as the engine reads and draws it, as an animated WebP."""
    if out.suffix.lower() != ".webp":
        raise UsageError(f"{out} must end in .webp")
    data = animated_webp(demo_images(frames), round(1000 * _EACH / _RATE))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(data)
    except OSError as error:
        raise SinkError(f"{out} cannot be written: {error.strerror}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(write_animation), "python -m ferengine_tools.demo_animation", arguments)


if __name__ == "__main__":
    sys.exit(main())
