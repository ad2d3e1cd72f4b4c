"""The scores from which a detection is a new face, for each detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ferengine.config import DetectorName


@dataclass(frozen=True, slots=True)
class BirthScores:
    """From which scores a detection that continues no track starts one.

    Two thresholds, after Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022:
    a known face is followed from any score that the detector gives, a new one is believed only from a higher one.

    Attributes:
        once: A detection with this score starts a track at once.
        twice: Two detections of one place with this score do.
    """

    once: float = 0.0
    twice: float = 0.0


BIRTH_SCORES: Mapping[DetectorName, BirthScores] = MappingProxyType(
    {"mtcnn": BirthScores(0.95, 0.85), "retinaface": BirthScores(0.80, 0.70), "haar": BirthScores()}
)
"""Measured on photographs: with these thresholds MTCNN and RetinaFace draw about equally many boxes beside faces, which equal
scores of different networks do not. The cascade's scores are no probabilities: each of its boxes is a face."""
