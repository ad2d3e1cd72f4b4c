"""All settings of the engine; the command line, settings files and the Python API use the same names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypedDict, Unpack, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from ferengine.errors import UsageError, describe_invalid, invalid_items, name_hint
from ferengine.models.registry import DEFAULT
from ferengine.models.settings import (
    MIN_FACE,
    MTCNN_FACTOR,
    MTCNN_THRESHOLDS,
    BackendName,
    BackendSettings,
    DetectorName,
    PrecisionSetting,
)
from ferengine.results import DrawExtra

Threshold = Annotated[float, Field(ge=0, lt=1)]

TRACKED_THRESHOLDS = (0.6, 0.7, 0.5)
"""MTCNN's thresholds where faces are tracked: a known face is followed from a score that would not do for a new one."""

MAX_QUEUE = 100_000
"""Results that may wait for a consumer at most."""

DetectorSetting = Literal["auto", "mtcnn", "retinaface", "haar"]
"""A detector, or ``auto``: RetinaFace where it is installed and the machine can afford it, else MTCNN."""


class EngineConfig(BaseModel):
    """Settings of detection, tracking, classification and the runtime. Lengths are in pixels, times in seconds.

    The descriptions are the help of ``ferengine run``, the comments of ``ferengine config --example`` and part of the JSON
    schema.

    Raises:
        UsageError: Naming every wrong value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    if not TYPE_CHECKING:  # where the fields are the parameters

        def __init__(self, /, **values: Any) -> None:
            booleans = _booleans_for_numbers(values, type(self))
            wrong = [f"{name}: input should be a number, not {values.pop(name)}" for name in booleans]
            try:
                super().__init__(**values)
            except ValidationError as error:
                wrong += [_sentence(item, type(self)) for item in invalid_items(error)]
            if wrong:
                raise UsageError("; ".join(wrong))

        __init__.__pydantic_base_init__ = True  # settings files and commands validate it themselves, and name the place

    detector: DetectorSetting = Field(
        "mtcnn",
        description="How faces are found. retinaface finds more small and masked ones; its weights are installed apart. auto: "
        "retinaface where it is installed and this machine has the time for it, measured before the run, else mtcnn.",
    )
    min_face: float = Field(
        MIN_FACE,
        ge=12,
        le=4096,
        description="Minimum size of a face to look for, in pixels. Half the size takes about twice the time and finds many "
        "more people in the background.",
    )
    thresholds: tuple[Threshold, Threshold, Threshold] | None = Field(
        None,
        description="Thresholds of MTCNN's P-, R- and O-Net. If not given, 0.6, 0.7 and 0.5, or 0.7 in single images.",
        examples=[[0.6, 0.7, 0.5]],
    )
    new_track_scores: tuple[Threshold, Threshold] | None = Field(
        None,
        description="Scores from which one detection, or two of one place within a third of a second, start a track. If not "
        "given, 0.98 and 0.85 (0.9 on average) with mtcnn, 0.8 and 0.7 with retinaface, any with haar.",
        examples=[[0.98, 0.85]],
    )
    pyramid_factor: float = Field(MTCNN_FACTOR, gt=0.2, lt=0.96, description="Step between the scales of MTCNN's pyramid.")

    gpu_detectors: int = Field(
        0,
        ge=0,
        le=2,
        description="Run MTCNN on the GPU, in this many workers: 1, or 2 where one does not keep up. 0 keeps detection on the "
        "CPU, also where the classifier runs on a GPU.",
    )

    search: Literal["full", "near"] = Field("full", description="Search the full frame for faces, or only near the tracks.")
    full_scan: float = Field(1.0, ge=0, le=60, description="With search near, search the full frame every N seconds.")

    detect_every: int = Field(6, ge=1, le=120, description="Run detection every N frames; track in between.")
    tracker: Literal["kcf", "opencv"] = Field("kcf", description="Tracker between detections: the native KCF, or OpenCV's.")
    align: Literal["none", "eyes"] = Field(
        "none", description="Rotate faces before classification so that the eyes are level, or leave them."
    )

    model: str = Field(
        DEFAULT,
        description="Expression model: the name of a shipped or added one, or a .onnx file with its manifest beside it.",
    )
    prior: str | None = Field(
        None,
        min_length=1,
        description="Class prior to read expressions under: uniform, fer2013, everyday, or a .json or .toml file with the "
        "probability of each label; adapt, which is not for still images, estimates it for each camera. If not given, the "
        "model's own choice.",
        examples=["uniform"],
    )
    gender: bool = Field(False, description="Also read perceived gender presentation, with a separate network.")
    smoothing: float = Field(
        0.25, ge=0, le=60, description="Time constant of the smoothed scores in seconds; 0 turns smoothing off."
    )
    label_hold: float = Field(
        0.38,
        ge=0,
        le=60,
        description="Seconds of sure evidence for another label that replace a face's label; 0 turns this off.",
    )
    min_confidence: float = Field(
        0.4, ge=0, lt=1, description="Label faces whose largest score is below this as 'uncertain'; 0 turns this off."
    )
    check_quality: bool = Field(True, description="Label faces that are turned away, small, dark or blurred as 'uncertain'.")
    backend: BackendName = Field(
        "auto", description="Backend that runs the networks. auto: TensorRT where it is available, else ONNX Runtime."
    )
    precision: PrecisionSetting = Field(
        "auto",
        description="Precision of the networks. auto: fp16 in TensorRT; int8 on a CPU with AVX2 if the model has an int8 "
        "variant that loses less than 0.3 points; else fp32. Backends other than TensorRT run fp16 as fp32.",
    )
    engines: str | None = Field(
        None, description="With TensorRT, folder of trusted engines in addition to the user's cache.", examples=["engines"]
    )
    build_engines: bool = Field(False, description="With TensorRT, build an engine that is missing or does not fit.")
    max_batch: int = Field(32, ge=1, le=1024, description="Maximum number of faces in one batch of the classifier.")
    batch_deadline: float = Field(0.01, ge=0, le=1, description="Maximum time to wait for a batch to fill, in seconds.")
    deadline: float = Field(
        0.5, gt=0, le=60, description="With live sources, report a face unclassified after this many seconds."
    )

    draw: tuple[DrawExtra, ...] = Field(
        (),
        description="Also draw the landmarks of detected faces, the axes of their pose, or the model's further heads. "
        "Repeat for several.",
        examples=[["landmarks", "pose"]],
    )
    blur: bool = Field(
        False,
        description="Make faces unrecognisable in videos, windows and annotated copies, which then come a little later.",
    )

    max_frames: int | None = Field(None, ge=1, description="Stop each source after N frames.", examples=[1000])
    queue: int = Field(256, ge=1, le=MAX_QUEUE, description="Maximum number of results that wait for each consumer.")
    stuck_after: float = Field(20.0, ge=1, description="Replace a worker that makes no progress for this many seconds.")
    restart_limit: int = Field(5, ge=0, description="Give up a worker that dies more than this many times in a minute.")

    @field_validator("search")
    @classmethod
    def _haar_searches_all(cls, search: str, info: ValidationInfo) -> str:
        if search == "near" and info.data.get("detector") == "haar":
            raise ValueError("only the detectors mtcnn and retinaface can search near tracks; set search to full for haar")
        return search

    @field_validator("new_track_scores")
    @classmethod
    def _second_score_is_not_higher(cls, scores: tuple[float, float] | None) -> tuple[float, float] | None:
        if scores is not None and scores[1] > scores[0]:
            raise ValueError(
                f"the score for two detections must not be higher than that for one, not {scores[0]} and {scores[1]}"
            )
        return scores

    @model_validator(mode="after")
    def _scores_belong_to_a_detector(self) -> Self:
        given = [name for name in ("thresholds", "new_track_scores") if getattr(self, name) is not None]
        if self.detector == "auto" and given:
            raise ValueError(f"{' and '.join(given)} hold for one detector: name it in place of auto")
        return self

    @model_validator(mode="after")
    def _only_mtcnn_runs_on_a_gpu(self) -> Self:
        if self.gpu_detectors and (self.detector != "mtcnn" or self.backend in ("ort", "ort-trt-rtx")):
            raise ValueError(
                "gpu_detectors needs the detector mtcnn and the backend auto, tensorrt or ort-cuda, not "
                f"{self.detector} and {self.backend}"
            )
        return self

    @model_validator(mode="after")
    def _blurs_what_a_scheduled_search_finds(self) -> Self:
        if self.blur and self.search == "near":
            raise ValueError("blur needs search full: near the tracks a new face would be seen for long before it is found")
        return self

    @property
    def blur_frames(self) -> int | None:
        """How many frames are held back at least to blur them; None without blur. A face may be seen from just after one
        scheduled detection until the next has found and confirmed it."""
        return 2 * self.detect_every if self.blur else None

    @property
    def align_eyes(self) -> bool:
        """Whether crops are rotated so that the eyes are level."""
        return self.align == "eyes"

    @property
    def detector_name(self) -> DetectorName:
        """The detector, once it has been chosen."""
        assert self.detector != "auto"
        return self.detector

    def mtcnn_thresholds(self, *, tracked: bool) -> tuple[float, float, float]:
        """The thresholds that were given, or the defaults.

        Args:
            tracked: Whether faces are tracked, for which the defaults differ from those for single images.
        """
        return self.thresholds or (TRACKED_THRESHOLDS if tracked else MTCNN_THRESHOLDS)

    def backend_settings(self) -> BackendSettings:
        """The part that says what runs the classifier's networks."""
        return BackendSettings(self.backend, self.precision, self.engines, self.build_engines)

    def detector_settings(self) -> BackendSettings:
        """The part that says what runs the detector's."""
        return self.backend_settings() if self.gpu_detectors else BackendSettings("ort", self.precision)


class EngineSettings(TypedDict, total=False):
    """The keywords of ``Engine``, ``Analyzer`` and ``make_config``, as type checkers and editors know them.

    They are the fields of ``EngineConfig``, which checks them and holds their defaults and limits.
    """

    detector: DetectorSetting
    min_face: float
    thresholds: tuple[float, float, float] | None
    new_track_scores: tuple[float, float] | None
    pyramid_factor: float
    gpu_detectors: int
    search: Literal["full", "near"]
    full_scan: float
    detect_every: int
    tracker: Literal["kcf", "opencv"]
    align: Literal["none", "eyes"]
    model: str | Path
    prior: str | Path | None
    gender: bool
    smoothing: float
    label_hold: float
    min_confidence: float
    check_quality: bool
    backend: BackendName
    precision: PrecisionSetting
    engines: str | Path | None
    build_engines: bool
    max_batch: int
    batch_deadline: float
    deadline: float
    draw: tuple[DrawExtra, ...]
    blur: bool
    max_frames: int | None
    queue: int
    stuck_after: float
    restart_limit: int


def make_config(**values: Unpack[EngineSettings]) -> EngineConfig:
    """Make an EngineConfig.

    Args:
        values: The settings that differ from the defaults.

    Raises:
        UsageError: Naming every wrong value.

    Example:
        >>> make_config(detect_every=3).detect_every
        3
    """
    texts: dict[str, Any] = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in values.items()
    }
    return EngineConfig(**texts)


def _booleans_for_numbers(values: dict[str, Any], model: type[EngineConfig]) -> list[str]:
    """The settings that would pass as 0 or 1; files and commands are read strictly."""
    # by name: NumPy, whose boolean is called bool or bool_, takes time to import
    booleans = [name for name, value in values.items() if type(value).__name__ in ("bool", "bool_")]
    kinds = {name: model.model_fields[name].annotation for name in booleans if name in model.model_fields}
    return [name for name, kind in kinds.items() if {int, float} & {kind, *get_args(kind)}]


def _sentence(item: Any, model: type[EngineConfig]) -> str:
    name = ".".join(str(part) for part in item["loc"]) or ("" if item["type"] == "value_error" else "settings")
    if item["type"] == "extra_forbidden":
        return f"unknown setting {name!r}: {name_hint(name, model.model_fields)}"
    if item["type"] == "missing" and isinstance(item["loc"][-1], int):
        return f"{'.'.join(map(str, item['loc'][:-1]))}: number {item['loc'][-1] + 1} is missing"
    return describe_invalid(item, name)
