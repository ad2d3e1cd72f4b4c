"""ferengine: real-time facial expression from cameras, in separate processes over shared memory.

Names are imported on first use, so that ``import ferengine`` stays cheap and loads neither OpenCV nor ONNX Runtime.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "Analyzer": "ferengine.analyzer",
    "analyze": "ferengine.analyzer",
    "CameraEvent": "ferengine.results",
    "Classifier": "ferengine.classify.classifier",
    "Engine": "ferengine.engine",
    "Expression": "ferengine.results",
    "Face": "ferengine.results",
    "FerengineError": "ferengine.errors",
    "FrameResult": "ferengine.results",
    "Ledger": "ferengine.results",
    "Scores": "ferengine.results",
}

__all__ = [*_HOMES, "__version__"]

logging.getLogger(__name__).addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from ferengine.analyzer import Analyzer as Analyzer
    from ferengine.analyzer import analyze as analyze
    from ferengine.classify.classifier import Classifier as Classifier
    from ferengine.engine import Engine as Engine
    from ferengine.errors import FerengineError as FerengineError
    from ferengine.results import CameraEvent as CameraEvent
    from ferengine.results import Expression as Expression
    from ferengine.results import Face as Face
    from ferengine.results import FrameResult as FrameResult
    from ferengine.results import Ledger as Ledger
    from ferengine.results import Scores as Scores


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
