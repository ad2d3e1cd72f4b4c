"""A run in an environment that says nothing: as of a service, a cron job or a container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("locale", ["C", "en_US.ISO-8859-1", "xx_YY.none"])
def test_a_run_needs_no_home_no_temporary_folder_and_no_locale(locale: str, tmp_path: Path) -> None:
    """Nor does it matter that names of files are not in the locale's encoding."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "LC_ALL": locale,
        "TMPDIR": str(tmp_path / "none"),
    }
    events = tmp_path / "gefühle.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "ferengine", "run", "demo", "--no-display", "--max-frames", "3", "--events", events],
        env=environment, cwd="/", capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"hle.jsonl (3 frames)" in done.stderr  # what no letter of the locale is is spelt out
    assert sum('"frame"' in line for line in events.read_text().splitlines()) == 3
