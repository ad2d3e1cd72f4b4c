"""Keeps OpenCV and its FFmpeg from writing to stderr what our own errors say better."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ferengine.vision import cv2


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silence OpenCV's log inside the block.

    FFmpeg's log stays silent from then on: it reads its level once, when OpenCV opens the first file.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    logging = cv2.utils.logging
    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
