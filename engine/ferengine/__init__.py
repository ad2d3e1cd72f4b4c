"""ferengine: real-time facial expression from cameras, in separate processes over shared memory.

Names are imported on first use, so that ``import ferengine`` stays cheap and loads neither OpenCV nor ONNX Runtime.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

_HOMES = {
    "analyze": "ferengine.analyzer",
    "Analyzer": "ferengine.analyzer",
    "CallbackSubscription": "ferengine.runtime.consumers",
    "CameraHealth": "ferengine.runtime.health",
    "CameraEvent": "ferengine.results",
    "Classifier": "ferengine.classification.classifier",
    "ConsumerHealth": "ferengine.runtime.health",
    "Engine": "ferengine.engine",
    "EngineStoppedError": "ferengine.errors",
    "EngineSettings": "ferengine.config",
    "Expression": "ferengine.results",
    "Face": "ferengine.results",
    "FerengineError": "ferengine.errors",
    "FrameResult": "ferengine.results",
    "Health": "ferengine.runtime.health",
    "Pushed": "ferengine.results",
    "PushSource": "ferengine.sources.push",
    "read_events": "ferengine.event_lines",
    "Results": "ferengine.runtime.consumers",
    "Scores": "ferengine.results",
    "SourceSpec": "ferengine.sources",
    "Summary": "ferengine.runtime.metrics",
    "Timings": "ferengine.results",
    "UsageError": "ferengine.errors",
    "WorkerHealth": "ferengine.runtime.health",
    "Zone": "ferengine.sources.zone",
}

__all__ = [*_HOMES, "__version__"]

logging.getLogger(__name__).addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from ferengine.analyzer import Analyzer as Analyzer
    from ferengine.analyzer import analyze as analyze
    from ferengine.classification.classifier import Classifier as Classifier
    from ferengine.config import EngineSettings as EngineSettings
    from ferengine.engine import Engine as Engine
    from ferengine.errors import EngineStoppedError as EngineStoppedError
    from ferengine.errors import FerengineError as FerengineError
    from ferengine.errors import UsageError as UsageError
    from ferengine.event_lines import read_events as read_events
    from ferengine.results import CameraEvent as CameraEvent
    from ferengine.results import Expression as Expression
    from ferengine.results import Face as Face
    from ferengine.results import FrameResult as FrameResult
    from ferengine.results import Pushed as Pushed
    from ferengine.results import Scores as Scores
    from ferengine.results import Timings as Timings
    from ferengine.runtime.consumers import CallbackSubscription as CallbackSubscription
    from ferengine.runtime.consumers import Results as Results
    from ferengine.runtime.health import CameraHealth as CameraHealth
    from ferengine.runtime.health import ConsumerHealth as ConsumerHealth
    from ferengine.runtime.health import Health as Health
    from ferengine.runtime.health import WorkerHealth as WorkerHealth
    from ferengine.runtime.metrics import Summary as Summary
    from ferengine.sources import SourceSpec as SourceSpec
    from ferengine.sources.push import PushSource as PushSource
    from ferengine.sources.zone import Zone as Zone


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
