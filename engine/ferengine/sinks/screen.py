"""Whether there is a screen to open a window on."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from ferengine.pip_hint import pip_replace


def no_window_reason() -> str | None:
    """Return why no window can be opened, with the hint, or None if OpenCV has a GUI and a display that it can use answers.

    The display is asked because Qt ends the whole process if it finds none.
    """
    display, wayland = os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY")
    if not display and not wayland:
        return "there is no screen (DISPLAY and WAYLAND_DISPLAY are not set)"
    from ferengine.vision import cv2, headless_package  # not at the top: without a screen the engine's own process needs none

    gui = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if gui is None or gui.group(1) == "NONE":
        name = headless_package()
        if name is None:
            return "the installed OpenCV was built without a GUI"
        full = name.removesuffix("-headless")
        return f"{name} has no GUI: for windows, {pip_replace(name, f'{full}<5')}"
    if _display_answers(display):
        return None
    # OpenCV's wheels have Qt with its X11 plug-in only: no Wayland without XWayland.
    if wayland and not gui.group(1).startswith("QT"):
        return None
    return f"no X server answers at DISPLAY={display}" if display else "OpenCV's windows need X11, and DISPLAY is not set"


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
