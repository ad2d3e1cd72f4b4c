"""Which detector a run takes whose setting is ``auto``: decided before its workers start, in a process of its own.

The program that embeds the engine loads no network. The rule is in ``decide``; what it depends on is measured here, as the
processor time of this machine, which does not depend on what else runs on it.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferengine.detection.choice import AS_SET, MISSING, DetectorChoice, mtcnn_instead
from ferengine.detection.retinaface_weights import is_installed
from ferengine.errors import FerengineError, MissingDependencyError, ModelError, WorkerError
from ferengine.ipc.child import ask_once
from ferengine.ipc.machine import processors
from ferengine.json_text import json_text
from ferengine.pip_hint import missing_in

if TYPE_CHECKING:
    from ferengine.config import EngineConfig
    from ferengine.models.settings import PrecisionSetting
    from ferengine.sources.spec import SourceSpec

BUDGET = 0.25
"""The fraction of the processors that searching may take: half of what the detect workers have."""

SIZE, FPS = (1280, 720), 30.0
"""Width, height and rate of a source that is not opened to find them out: a camera, a stream, a pipe or a pushed one."""

_KNOWN_BEFOREHAND = ("file", "images", "demo")
"""Kinds of source that may be opened twice."""

_SEARCHES = 5
_SECONDS = 120.0
"""The longest that the measurement may take: the network may have to be made first."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stream:
    """What a source gives: width and height in pixels, frames a second."""

    size: tuple[int, int]
    fps: float


def choose_detector(config: EngineConfig, sources: Sequence[SourceSpec], *, growing: bool) -> DetectorChoice:
    """The detector of a run, and with ``auto`` a line in the log.

    Args:
        config: Its settings.
        sources: Its sources.
        growing: Whether more may come: then there are at least as many as processors, the others of the nominal size.

    Raises:
        ModelError: RetinaFace is installed, but cannot work here.
        WorkerError: There is no Python to measure with, or it fails.
    """
    if config.detector != "auto":
        return DetectorChoice(config.detector, AS_SET)
    if not is_installed():
        return mtcnn_instead(MISSING)
    cores = processors()
    answer = _ask(
        {
            "sources": [spec.to_dict() for spec in sources],
            "unknown": max(0, cores - len(sources)) if growing else 0,
            "every": config.detect_every,
            "min_face": config.min_face,
            "precision": config.detector_settings().precision,
        }
    )
    if "refused" in answer:
        raise ModelError(answer["refused"])
    if "missing" in answer:
        return mtcnn_instead(answer["missing"])
    choice = decide(answer["searches"], answer["load"], cores)
    log.info("--detector auto is %s here: %s", choice.name, choice.reason)
    return choice


def decide(searches: float, load: float, cores: int) -> DetectorChoice:
    """RetinaFace if it takes at most ``BUDGET`` of the processors, else MTCNN.

    Args:
        searches: Searches a second that the sources ask for together, at their own rates.
        load: Seconds of processor time that they would take RetinaFace.
        cores: Processors.
    """
    fits = load <= BUDGET * cores
    return DetectorChoice(
        "retinaface" if fits else "mtcnn",
        f"{searches:.3g} searches a second by retinaface would take {load:.2f} of {cores} processors, "
        f"{'within' if fits else 'beyond'} the {BUDGET * cores:.2g} allowed",
    )


def demand(streams: Sequence[Stream], every: int, cost: dict[tuple[int, int], float]) -> tuple[float, float]:
    """Searches a second of all streams together, and the seconds that they take.

    Args:
        streams: What the sources give.
        every: Frames from one search to the next.
        cost: Seconds that a search takes, by the size of the frame.
    """
    rates = [stream.fps / every for stream in streams]
    return sum(rates), sum(rate * cost[stream.size] for rate, stream in zip(rates, streams, strict=True))


def stream_of(spec: SourceSpec) -> Stream:
    """What a source gives: as found by opening it where that does no harm, else what it is asked for, else the nominal."""
    from ferengine.sources import open_source

    nominal = Stream(spec.size or SIZE, spec.fps or FPS)
    if spec.kind not in _KNOWN_BEFOREHAND:
        return nominal
    try:
        with closing(open_source(spec.replace(pace="fast"))) as source:
            info = source.open()
    except FerengineError:  # the run says what is wrong with it, or what it needs
        return nominal
    return Stream((info.width, info.height), info.fps)


def search_seconds(size: tuple[int, int], min_face: float, precision: PrecisionSetting) -> float:
    """Processor time of one search by RetinaFace in a frame of this width and height, the median of a few."""
    import numpy as np

    from ferengine.detection.retinaface import RetinaFaceDetector
    from ferengine.vision import cv2

    cv2.setNumThreads(1)
    detector = RetinaFaceDetector(min_face, precision=precision)
    frame = np.full((size[1], size[0], 3), 127, np.uint8)
    spent = []
    for _ in range(1 + _SEARCHES):
        start = time.process_time()
        detector.detect(frame)
        spent.append(time.process_time() - start)
    detector.close()
    return statistics.median(spent[1:])


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return ask_once(["-m", __name__], _SECONDS, json_text(request))  # not as arguments: URLs hold credentials
    except TimeoutError:
        raise WorkerError(
            f"measuring retinaface for --detector auto took more than {_SECONDS:.0f} s: name a detector"
        ) from None
    except ChildProcessError as error:
        said = missing_in(str(error))
        raise WorkerError(f"measuring retinaface for --detector auto failed ({said}): name a detector") from None


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """What ``choose_detector`` asks for: the searches a second and their load, or why there are none."""
    from ferengine.sources.spec import SourceSpec

    streams = [stream_of(SourceSpec.from_dict(each)) for each in request["sources"]] + [Stream(SIZE, FPS)] * request["unknown"]
    sizes = {stream.size for stream in streams}
    try:
        cost = {size: search_seconds(size, request["min_face"], request["precision"]) for size in sizes}
    except MissingDependencyError as error:
        return {"missing": str(error)}
    except ModelError as error:
        return {"refused": str(error)}
    searches, load = demand(streams, request["every"], cost)
    return {"searches": searches, "load": load}


if __name__ == "__main__":
    print(json_text(measure(json.load(sys.stdin))))
