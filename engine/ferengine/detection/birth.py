"""The scores from which a detection is a new face, for each detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # workers need no settings
    from ferengine.config import EngineConfig
    from ferengine.models.settings import DetectorName


@dataclass(frozen=True, slots=True)
class BirthScores:
    """From which scores a detection that continues no track starts one.

    Two thresholds, after Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022:
    a known face is followed from any score that the detector gives, a new one is believed only from a higher one.

    Attributes:
        once: A detection with this score starts a track at once.
        twice: Two detections of one place with this score do.
        mean: If their mean is at least this one.
    """

    once: float = 0.0
    twice: float = 0.0
    mean: float = 0.0


BIRTH_SCORES: Mapping[DetectorName, BirthScores] = MappingProxyType(
    {"mtcnn": BirthScores(0.98, 0.85, 0.9), "retinaface": BirthScores(0.80, 0.70), "haar": BirthScores()}
)
"""Measured on photographs: with these thresholds MTCNN and RetinaFace draw about equally many boxes beside faces, which equal
scores of different networks do not. MTCNN's are a little stricter than that: on clips they start no track on a false box, and
delay three of 2,100 faces by a frame. The cascade's scores are no probabilities: each of its boxes is a face."""


def birth_scores(config: EngineConfig, *, stills: bool) -> BirthScores:
    """From which scores a run believes a new face.

    Args:
        config: The settings of the run.
        stills: Whether the frames are unrelated images, where nothing can be looked at twice: every box is a face then that
            the detector would give for a single image.
    """
    if stills:
        floor = config.mtcnn_thresholds(tracked=False)[2] if config.detector == "mtcnn" else 0.0
        return BirthScores(floor, floor)
    return BIRTH_SCORES[config.detector_name] if config.new_track_scores is None else BirthScores(*config.new_track_scores)
