"""What the tests of the rings share."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ferengine._native import FaceRing, FrameRing, WorkerPage

SIDE = 5
FOREVER = 600.0  # longer than the tests may take: a lost wake-up ends in pytest's timeout


def put(ring: FrameRing, slot: int, image: NDArray[np.uint8], sequence: int, holds: int, pad: int = 0) -> None:
    """Write an image whose rows are `pad` bytes apart into a slot and publish it."""
    height, width = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    stride = width * channels + pad
    rows = ring.payload(slot)[: height * stride].reshape(height, stride)
    rows[:, : width * channels] = image.reshape(height, -1)
    ring.publish(slot, sequence, width, height, stride, channels, sequence / 30, sequence * 1000, holds)


@contextlib.contextmanager
def child(code: str, *mappings: FrameRing | FaceRing | WorkerPage) -> Iterator[subprocess.Popen[str]]:
    """A Python process that inherits the mappings; their descriptors are its arguments."""
    descriptors = [mapping.fd for mapping in mappings]
    lead = "import sys, time\nimport numpy as np\nfrom ferengine._native import *\nfd = [int(a) for a in sys.argv[1:]]\n"
    command = [sys.executable, "-c", lead + code, *map(str, descriptors)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, pass_fds=descriptors, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
