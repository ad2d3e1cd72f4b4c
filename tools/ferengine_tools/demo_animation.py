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
_QUALITY = 85


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


def write_animation(
    out: Annotated[Path, typer.Argument(help="A .webp file.")],
    frames: Annotated[int, typer.Option(help="Frames of the demo, 30 a second; every third is kept.", min=_EACH)] = 360,
) -> None:
    """Write the demo as the engine reads and draws it, as an animated WebP."""
    if out.suffix.lower() != ".webp":
        raise UsageError(f"{out} must end in .webp")
    animation = cv2.Animation()
    animation.frames = demo_images(frames)
    animation.durations = [round(1000 * _EACH / _RATE)] * len(animation.frames)
    encoded, data = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not encoded:
        raise SinkError(f"OpenCV cannot encode animated WebP: {pip_install('opencv-contrib-python>=4.11,<5')}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(data.tobytes())
    except OSError as error:
        raise SinkError(f"{out} cannot be written: {error.strerror}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(write_animation), "python -m ferengine_tools.demo_animation", arguments)


if __name__ == "__main__":
    sys.exit(main())
