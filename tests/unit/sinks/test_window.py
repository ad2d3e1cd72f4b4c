"""The window on a screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from ferengine.cli.session import _decide_display
from ferengine.errors import SinkError, UsageError
from ferengine.pip_hint import pip_replace
from ferengine.sinks import screen
from ferengine.sinks.screen import no_window_reason
from ferengine.sinks.window import Window


def test_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for display in (None, "", "nonsense", ":987"):
        monkeypatch.delenv("DISPLAY", raising=False)
        if display is not None:
            monkeypatch.setenv("DISPLAY", display)
        assert no_window_reason() is not None
        with pytest.raises(SinkError, match=r"no window can be opened: (there is no screen|no X server answers)"):
            Window("test")


@pytest.mark.parametrize("name", ["opencv-contrib-python-headless", "opencv-python-headless", None])
def test_an_opencv_without_windows_is_named(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("ferengine.vision.cv2.getBuildInformation", lambda: "  GUI:                           NONE\n")
    monkeypatch.setattr("ferengine.vision.version", lambda asked: "4.14" if asked == name else _absent(asked))
    monkeypatch.setattr(screen, "_display_answers", lambda display: True)
    reason = no_window_reason()
    assert reason is not None
    if name is None:
        assert reason == "the installed OpenCV was built without a GUI"
    else:
        assert reason == f"{name} has no GUI: for windows, {pip_replace(name, name.removesuffix('-headless') + '<5')}"
    with pytest.raises(UsageError, match=r"--display: .*GUI.*; use --save or --events"):
        _decide_display(True)
    assert not _decide_display(None)
    assert not _decide_display(False)


def _absent(name: str) -> str:
    raise PackageNotFoundError(name)


def test_window_on_a_virtual_screen(tmp_path: Path) -> None:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed: no virtual screen for the window")
    script = (
        "import numpy as np\n"
        "from ferengine.sinks.screen import no_window_reason\n"
        "from ferengine.sinks.window import Window\n"
        "from ferengine.vision import cv2\n"
        "assert no_window_reason() is None\n"
        "window = Window('faces')\n"
        "assert not window.poll()\n"
        "for _ in range(5):\n"
        "    window.show(np.zeros((48, 64, 3), np.uint8))\n"
        "    assert not window.poll()\n"
        "keys = [0x7A, 0x71]\n"
        "cv2.pollKey, key = lambda: keys.pop(0), cv2.pollKey\n"
        "assert [window.poll(), window.poll()] == [False, True]\n"
        "cv2.pollKey = key\n"
        "cv2.destroyAllWindows()\n"
        "assert window.poll()\n"
        "window.close()\n"
        "window.close()\n"
    )
    reading, writing = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    ) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                number = pipe.readline().strip()
            environment = {**os.environ, "DISPLAY": f":{number}", "XDG_RUNTIME_DIR": str(tmp_path)}
            done = subprocess.run(
                [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
            )
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
