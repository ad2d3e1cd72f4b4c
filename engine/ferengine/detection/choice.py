"""Which detector runs where the setting ``detector`` is ``auto``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ferengine.detection.retinaface_weights import is_installed
from ferengine.errors import MissingDependencyError

if TYPE_CHECKING:  # workers need no settings
    from ferengine.config import EngineConfig
    from ferengine.models.settings import DetectorName

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DetectorChoice:
    """The detector of a run.

    Attributes:
        name: Its name, which is never ``auto``.
        reason: Why, in one sentence.
    """

    name: DetectorName
    reason: str


AS_SET = "as set"
"""The reason where nothing was to be chosen."""

MISSING = "the weights of retinaface are not installed"


def choose_for_images(config: EngineConfig) -> DetectorChoice:
    """The detector for single images, which nothing has to keep up with: ``auto`` is RetinaFace where it can run.

    Args:
        config: The settings.

    Raises:
        ModelError: RetinaFace is installed, but cannot work here.
    """
    if config.detector != "auto":
        return DetectorChoice(config.detector, AS_SET)
    if not is_installed():
        return mtcnn_instead(MISSING)
    from ferengine.detection.retinaface import network_for  # here: needs ONNX Runtime

    try:
        network_for(config.precision)
    except MissingDependencyError as error:
        return mtcnn_instead(str(error))
    return DetectorChoice("retinaface", "single images have time for it")


def mtcnn_instead(reason: str) -> DetectorChoice:
    """MTCNN, because something that RetinaFace needs is missing; with a warning in the log.

    Args:
        reason: What is missing.
    """
    log.warning("--detector auto is mtcnn here: %s", reason)
    return DetectorChoice("mtcnn", reason)
