"""A page as one PNG image, drawn by the Chromium or Chrome of the machine over its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import math
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ferengine.errors import FerengineError

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "microsoft-edge")
_WIDTH = 1220
_MAX_HEIGHT = 16_000
"""Pixels; Chromium draws no higher image."""
_SECONDS = 120.0
_END_SECONDS = 5.0
_DRAWN = (
    "location.protocol === 'file:' && document.readyState === 'complete' && "
    "[...document.querySelectorAll('.plotly-graph-div')].every(figure => figure.querySelector('.main-svg'))"
)


def find_browser() -> str:
    """The path of a browser. Raises FerengineError where there is none."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise FerengineError(
        "--png needs Chromium or Chrome, and none is installed: apt-get install chromium, or open the HTML file and print it"
    )


def screenshot(page: Path, browser: str) -> bytes:
    """Draw a page, as high as it is.

    Args:
        page: The HTML file.
        browser: The program, as ``find_browser`` gives it.

    Raises:
        FerengineError: The browser fails, or the page is too high.
    """
    with _Browser(browser) as session:
        target = session.ask(
            "Target.createTarget", {"url": page.absolute().as_uri(), "newWindow": True, "width": _WIDTH, "height": 1000}
        )
        attached = session.ask("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        session.attach(str(attached["sessionId"]))
        while not session.evaluate(_DRAWN):
            time.sleep(0.1)
        height = int(session.evaluate("document.documentElement.scrollHeight"))
        if height > _MAX_HEIGHT:
            raise FerengineError(
                f"--png: the report is {height} pixels high, and an image has at most {_MAX_HEIGHT}: report on fewer cameras"
            )
        clip = {"x": 0, "y": 0, "width": _WIDTH, "height": height, "scale": 1}
        shot = session.ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip})
        return base64.b64decode(shot["data"])


class _Browser:
    """A browser without a window, and without the network."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._profile = tempfile.TemporaryDirectory(prefix="ferengine-report-", ignore_cleanup_errors=True)
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        command = [
            program, "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-extensions",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", "--hide-scrollbars",
            f"--user-data-dir={self._profile.name}",
        ]  # fmt: skip
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # it has none for root; the page is ours
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in (requests, answers)]
        nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        try:  # it reads from descriptor 3 and writes to 4
            self._process = os.posix_spawn(
                program, command, os.environ, setpgroup=0,
                file_actions=[*nothing, *((os.POSIX_SPAWN_DUP2, high[place], 3 + place) for place in range(2))],
            )  # fmt: skip
        finally:
            for descriptor in (requests, answers, *high):
                os.close(descriptor)
        self._deadline = time.monotonic() + _SECONDS
        self._session: str | None = None
        self._number = 0
        self._received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._requests)  # it ends when it can be asked no more
        deadline = time.monotonic() + _END_SECONDS
        while os.waitpid(self._process, os.WNOHANG) == (0, 0):
            if time.monotonic() >= deadline:
                os.killpg(self._process, signal.SIGKILL)
                deadline = math.inf
            time.sleep(0.02)
        os.close(self._answers)
        self._profile.cleanup()

    def attach(self, session: str) -> None:
        """What is asked from now on concerns this page."""
        self._session = session

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        return self.ask("Runtime.evaluate", {"expression": expression, "returnByValue": True})["result"].get("value")

    def ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Ask, and wait for the answer. Raises FerengineError."""
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            request["sessionId"] = self._session
        with contextlib.suppress(BrokenPipeError):  # it has ended; reading says so
            os.write(self._requests, json.dumps(request).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass  # an event
        if "error" in answer:
            raise FerengineError(f"--png: {self._program} fails at {method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        while (end := self._received.find(0)) < 0:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise FerengineError(f"--png: {self._program} has not drawn the report in {_SECONDS:.0f} s")
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise FerengineError(f"--png: {self._program} has ended before it drew the report")
            self._received += data
        message: dict[str, Any] = json.loads(self._received[:end])
        del self._received[: end + 1]
        return message
