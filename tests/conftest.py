"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
