"""How old an image is when its result is there, and when a browser shows it.

    python -m ferengine_tools.service_bench.latency [--seconds 20] [--fps 15] [--browser /usr/bin/chromium] [--json]

Images of 640x360 pixels have the time written into them as they are handed to the engine. The time until the result counts from
there to a subscriber; the time until the browser to the moment in which the page in Chromium presents the frame, read from the
presented frame itself. Needs playwright and Chromium.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from ferengine import Engine, FrameResult
from ferengine.cli.command import exit_code, make_command
from ferengine.errors import FerengineError
from ferengine.json_text import json_text
from ferengine.service.app import create_app
from ferengine.service.server import Address, Server
from ferengine.sources.demo import DemoSource
from ferengine.sources.push import PushSource
from ferengine_tools.service_bench.stamp import PERIOD, READ_IN_BROWSER, put_stamp, read_stamp

_CAMERA = "glass"
_WARM_UP = 5.0
_WATCH = f"""
() => {{
  const read = {READ_IN_BROWSER};
  const video = document.querySelector("video"), canvas = document.createElement("canvas");
  window.ages = [];
  const next = () => {{
    const now = Date.now();
    window.ages.push([now, (now - read(video, canvas)) & {PERIOD - 1}]);
    video.requestVideoFrameCallback(next);
  }};
  video.requestVideoFrameCallback(next);
}}
"""


@dataclass(frozen=True, slots=True)
class Ages:
    """How old images were, in milliseconds.

    Attributes:
        what: Where.
        frames: How many images.
    """

    what: str
    frames: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, what: str, found: Sequence[float]) -> Ages:
        """Raises FerengineError where there is none."""
        if not found:
            raise FerengineError(f"no image reached the {what}")
        ordered = sorted(found)
        return cls(what, len(found), statistics.median(ordered), *(ordered[int(q * (len(ordered) - 1))] for q in (0.95, 0.99)))


def now_ms() -> int:
    """The time as images carry it."""
    return int(time.time() * 1000) % PERIOD


def measure(seconds: float, fps: float, browser: str | None) -> list[Ages]:
    """The ages at the result and, with a browser, on its screen."""
    results: list[float] = []
    counting, over = threading.Event(), threading.Event()

    def take(result: FrameResult, image: NDArray[np.uint8]) -> None:
        if counting.is_set():
            results.append((now_ms() - read_stamp(image)) % PERIOD)

    with Engine(PushSource(_CAMERA), keep_open=True) as engine:
        engine.subscribe(take, frames=True, policy="drop_oldest")
        pushing = threading.Thread(target=_push, args=(engine, fps, over), daemon=True)
        app = create_app(engine)
        server = Server(app, Address("127.0.0.1", 0), before_end=app.state.context.close)
        engine.wait_ready()
        server.start()
        pushing.start()
        try:
            if browser is None:
                time.sleep(_WARM_UP)
                counting.set()
                time.sleep(seconds)
                shown = None
            else:
                shown = _browse(server.url, browser, seconds, counting)
        finally:
            over.set()
            pushing.join()
            server.close()
    ages = [Ages.of("result", results)]
    return ages if shown is None else [*ages, Ages.of("browser", shown)]


def _push(engine: Engine, fps: float, over: threading.Event) -> None:
    source = DemoSource(frames=90)
    source.open()
    images = []
    while (captured := source.read()) is not None:
        images.append(np.asarray(cv2.resize(np.asarray(captured.image), (640, 360)), np.uint8))
    source.close()
    begun = time.monotonic()
    for number, image in enumerate(cycle(images)):
        if over.wait(max(0.0, begun + number / fps - time.monotonic())):
            return
        stamped = image.copy()
        put_stamp(stamped, now_ms())
        engine.push(_CAMERA, stamped)


def _browse(url: str, browser: str, seconds: float, counting: threading.Event) -> list[float]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1000, "height": 800})
        page.goto(url)
        page.wait_for_function("() => document.querySelector('video')?.currentTime > 0", timeout=60_000)
        time.sleep(_WARM_UP)
        counting.set()
        page.evaluate(_WATCH)
        time.sleep(seconds)
        found: list[Any] = page.evaluate("() => window.ages")
        chromium.close()
    return [float(age) for _, age in found]


def latency(
    seconds: Annotated[float, typer.Option(help="Seconds of the measurement.", min=1.0)] = 20.0,
    fps: Annotated[float, typer.Option(help="Images a second.", min=1.0)] = 15.0,
    browser: Annotated[str | None, typer.Option(help="The path of Chromium; without it only results are measured.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a place.")] = False,
) -> None:
    """Measure how old images are when their results are there, and when a browser shows them."""
    for ages in measure(seconds, fps, browser):
        if as_json:
            print(json_text(asdict(ages)))
        else:
            print(f"{ages.what:8} {ages.frames:5} images; p50 {ages.p50:.0f} ms, p95 {ages.p95:.0f} ms, p99 {ages.p99:.0f} ms")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(latency), "python -m ferengine_tools.service_bench.latency", arguments)


if __name__ == "__main__":
    sys.exit(main())
