"""A window on the screen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import SinkError
from ferengine.sinks.screen import no_window_reason
from ferengine.vision import cv2

_ESCAPE = 27


class Window:
    """A resizable window, opened by the first ``show``. All calls must come from one thread.

    Args:
        name: The title of the window.

    Raises:
        SinkError: If none can be opened; see ``no_window_reason``.
    """

    def __init__(self, name: str) -> None:
        if reason := no_window_reason():
            raise SinkError(f"no window can be opened: {reason}")
        self._name = name
        self._open = False

    def show(self, image: NDArray[np.uint8]) -> None:
        """Show ``image``, BGR uint8 (H, W, 3)."""
        if not self._open:
            cv2.namedWindow(self._name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.resizeWindow(self._name, image.shape[1], image.shape[0])
            self._open = True
        cv2.imshow(self._name, image)

    def poll(self) -> bool:
        """Handle the window's events; return True when q or Esc was pressed or the window was closed."""
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
