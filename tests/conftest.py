"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ferengine", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("ferengine")

# OpenCV's FFmpeg reads its log level once, when the first file is opened: a test that opens one itself, before the
# sources do, must not make it talk for the rest of the session.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real faces that FERENGINE_DATA names; the test is skipped, by name, without it."""
    folder = os.environ.get("FERENGINE_DATA")
    if not folder:
        pytest.skip("FERENGINE_DATA is not set: no real faces to test on")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"FERENGINE_DATA names {folder}, which is not a folder")
    return path
