"""A window on the screen."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SinkError
from ferengine.vision import cv2

_ESCAPE = 27


def screen_available() -> bool:
    """Whether a window can be opened: OpenCV has a GUI, and a display answers that this GUI can use.

    The display is asked first, because Qt ends the whole process where it finds none.
    """
    gui = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if gui is None or gui.group(1) == "NONE":
        return False
    if _display_answers(os.environ.get("DISPLAY", "")):
        return True
    # OpenCV's wheels bring Qt with its X11 plug-in only: no Wayland without XWayland.
    return bool(os.environ.get("WAYLAND_DISPLAY")) and not gui.group(1).startswith("QT")


def _display_answers(display: str) -> bool:
    """Whether an X server listens at ``display`` (``[host]:number[.screen]``, as in DISPLAY)."""
    match = re.fullmatch(r"(?:unix)?(.*):(\d+)(?:\.\d+)?", display)
    if match is None:
        return False
    host, number = match.group(1), int(match.group(2))
    try:
        if host:
            socket.create_connection((host, 6000 + number), timeout=1.0).close()
            return True
        path = f"/tmp/.X11-unix/X{number}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(path if Path(path).exists() else f"\0{path}")
    except OSError:
        return False
    return True


class Window:
    """A resizable window called ``name``, opened by the first ``show``. All calls must come from one thread.

    Raises SinkError where there is no screen: see ``screen_available``.
    """

    def __init__(self, name: str) -> None:
        if not screen_available():
            raise SinkError("no screen to open a window on: set DISPLAY, or leave --display out")
        self._name = name
        self._open = False

    def show(self, image: NDArray[np.uint8]) -> None:
        """Show ``image``, BGR uint8 (H, W, 3)."""
        if not self._open:
            cv2.namedWindow(self._name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            cv2.resizeWindow(self._name, image.shape[1], image.shape[0])
            self._open = True
        cv2.imshow(self._name, image)

    def poll(self) -> bool:
        """Let the window react; ``True`` when q or Esc was pressed in it or it was closed."""
        if not self._open:
            return False
        key = cv2.pollKey() & 0xFF
        if key in (ord("q"), ord("Q"), _ESCAPE):
            return True
        return cv2.getWindowProperty(self._name, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        """Close the window; may be called twice."""
        if self._open and cv2.getWindowProperty(self._name, cv2.WND_PROP_VISIBLE) >= 1:
            cv2.destroyWindow(self._name)
        self._open = False
