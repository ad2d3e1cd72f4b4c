"""One image at a time, in this process: for stills, notebooks and tests."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self, Unpack

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.classification.heads import HeadReader
from ferengine.classification.labelling import Labeller, gender_confidence
from ferengine.classification.pose import estimate_pose
from ferengine.classification.quality import make_quality, measure_crops
from ferengine.config import EngineSettings, make_config
from ferengine.detection import create_detector
from ferengine.detection.base import Detections
from ferengine.detection.choice import choose_for_images
from ferengine.frames import AnyImage, as_bgr
from ferengine.models.manifest import Head
from ferengine.models.registry import GENDER
from ferengine.models.settings import Prior
from ferengine.results import Face, make_expression, make_gender
from ferengine.tracking.cropper import FaceCropper


class Analyzer:
    """Finds the faces of an image and reads their expressions, with the defaults of ``ferengine run``.

    Not thread-safe: use one analyzer for each thread.

    Args:
        **settings: The fields of ``ferengine.config.EngineConfig`` that concern detection, cropping and classification.

    Attributes:
        detector: The detector, and the reason for it.

    Raises:
        UsageError: A setting is unknown or wrong.
        ModelError: A model is damaged, or the backend cannot work here.

    Example:
        >>> with Analyzer() as analyzer:
        ...     analyzer.analyze(np.zeros((120, 160, 3), np.uint8))
        []
    """

    def __init__(self, /, **settings: Unpack[EngineSettings]) -> None:
        config = make_config(**settings)
        backend = config.backend_settings()
        self.detector = choose_for_images(config)
        with ExitStack() as opened:  # what is open is closed if another cannot be opened
            self._detector = create_detector(
                self.detector.name,
                min_face=config.min_face,
                thresholds=config.mtcnn_thresholds(tracked=False),
                factor=config.pyramid_factor,
                backend=config.detector_settings(),
            )
            opened.callback(self._detector.close)
            self._classifier = opened.enter_context(Classifier(config.model, prior=config.prior, backend=backend))
            self._genders = opened.enter_context(Classifier(GENDER, backend=backend)) if config.gender else None
            self._opened = opened.pop_all()
        self._labeller = Labeller(0.0, config.min_confidence, check_quality=config.check_quality)
        self._gender_labeller = Labeller(0.0, gender_confidence(config.min_confidence))
        self._heads = HeadReader(self._classifier.manifest.further_heads, smoothing=0.0)
        self._align = config.align_eyes

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of the expression head, in the order of its outputs; none for a model that reads no expression."""
        return self._classifier.labels

    @property
    def heads(self) -> tuple[Head, ...]:
        """The further heads of the model, as its manifest describes them: those of ``Face.heads``."""
        return self._classifier.manifest.further_heads

    @property
    def prior(self) -> Prior | None:
        """The class prior that expressions are read under; None for a model that names no priors."""
        return self._classifier.prior

    def analyze(self, image: AnyImage) -> list[Face]:
        """The faces of an image, best first.

        Args:
            image: uint8 (H, W, 3) BGR, (H, W, 4) BGRA (alpha is ignored) or (H, W) grey, of any layout in memory (views and
                slices included), 1 to 16384 pixels on a side.

        Raises:
            UsageError: The image has another dtype (scale floats to 0..255 first) or shape, or is empty.
        """
        frame = as_bgr(image)
        detections = self._detector.detect(frame)
        crops = self._cropped(self._classifier, frame, detections)
        numbers = self._classifier.read(crops)
        genders = None if self._genders is None else self._genders.read(self._cropped(self._genders, frame, detections))
        crop = self._classifier.crop
        measures = measure_crops(crops.reshape(-1, *crop.shape), [0.0] * crop.channels, [1.0] * crop.channels, crop.planes)
        faces = []
        for index, row in enumerate(numbers):
            x, y, w, h = (float(value) for value in detections.boxes[index])
            landmarks = None
            if detections.landmarks is not None:
                a, b, c, d, e = ((float(px), float(py)) for px, py in detections.landmarks[index])
                landmarks = (a, b, c, d, e)
            score = float(detections.scores[index])
            pose = None if landmarks is None else estimate_pose(landmarks)
            quality = make_quality((x, y, w, h), measures[index])
            expression = gender = None
            finite = bool(np.isfinite(row).all() and (genders is None or np.isfinite(genders[index]).all()))
            scores, further = np.split(row, [len(self.labels)])
            if finite and self.labels:
                answer = self._labeller.decide(scores, pose, quality)
                expression = make_expression(self.labels, scores, scores, answer.label, answer.reason)
            heads = self._heads.read(further) if finite else {}
            if finite and self._genders is not None and genders is not None:
                answer = self._gender_labeller.decide(genders[index], None, None)
                gender = make_gender(self._genders.labels, genders[index], genders[index], answer.label, answer.reason)
            reason = None if finite else "not_finite"
            faces.append(
                Face(
                    track=None,
                    box=(x, y, w, h),
                    score=score,
                    track_confidence=1.0,
                    origin="detected",
                    landmarks=landmarks,
                    expression=expression,
                    reason=reason,
                    gender=gender,
                    pose=pose,
                    quality=quality,
                    heads=heads,
                )
            )
        return faces

    def _cropped(self, network: Classifier, frame: NDArray[np.uint8], detections: Detections) -> NDArray[np.uint8]:
        cropper = FaceCropper(network.crop.size, self._align, network.crop.planes)
        return cropper.crop(frame, cropper.regions(detections))

    def close(self) -> None:
        """Release the device that the networks run on."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def analyze(image: AnyImage, **settings: Unpack[EngineSettings]) -> list[Face]:
    """The faces of one image, best first; for more than one keep an ``Analyzer``.

    Args:
        image: As of ``Analyzer.analyze``.
        **settings: As of ``Analyzer``.

    Raises:
        UsageError: As ``Analyzer`` and ``Analyzer.analyze``.
        ModelError: As ``Analyzer``.
    """
    with Analyzer(**settings) as analyzer:
        return analyzer.analyze(image)
