"""Everything that can be set, in one typed place; the command line and the Python API use the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ferengine.errors import UsageError
from ferengine.models.manifest import Precision
from ferengine.models.registry import DEFAULT

Threshold = Annotated[float, Field(ge=0, lt=1)]

BackendName = Literal["auto", "ort", "tensorrt", "ort-cuda", "ort-trt-rtx"]
"""What runs the networks: ONNX Runtime on the CPU (``ort``), by its CUDA or TensorRT-RTX provider, or TensorRT itself."""

PrecisionSetting = Literal["auto", Precision]
"""A precision, or ``auto``: fp16 in TensorRT; on a CPU int8 where it is exact and the model has a variant that loses little,
else fp32."""

MIN_FACE = 40.0
"""Width of the smallest face to look for, pixels."""

MTCNN_THRESHOLDS = (0.6, 0.7, 0.7)
"""Of P-, R- and O-Net."""

MTCNN_FACTOR = 0.709
"""Step from one level of MTCNN's image pyramid to the next: about the square root of one half."""


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """What runs the networks.

    Attributes:
        backend: The backend, or ``auto`` for the best that this machine has.
        precision: Of the networks; see ``PrecisionSetting``.
        engines: For TensorRT: a folder of engines to trust besides the user's cache.
        build: For TensorRT: whether to build an engine that is missing or does not fit.

    Raises:
        UsageError: The precision is none of ``PrecisionSetting``.
    """

    backend: BackendName = "auto"
    precision: PrecisionSetting = "auto"
    engines: str | None = None
    build: bool = False

    def __post_init__(self) -> None:
        known = get_args(PrecisionSetting)
        if self.precision not in known:
            raise UsageError(f"the precision is {', '.join(known)}, not {self.precision}")

    @property
    def engine_precision(self) -> Precision:
        """Of TensorRT's engines."""
        return "fp16" if self.precision == "auto" else self.precision


FILE_ON_CPU = BackendSettings("ort", "fp32")
"""Runs the very file that was named, on the CPU: what accuracy is measured with."""


class EngineConfig(BaseModel):
    """Settings of detection, tracking, classification and the runtime. Lengths in pixels, times in seconds.

    The descriptions are the help of ``ferengine run``, the comments of ``ferengine config --example`` and part of
    the JSON schema.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    detector: Literal["mtcnn", "haar"] = Field("mtcnn", description="how faces are found")
    min_face: float = Field(
        MIN_FACE,
        ge=12,
        le=4096,
        description="smallest face to look for, pixels; half costs about twice, and finds far more people who stand back",
    )
    thresholds: tuple[Threshold, Threshold, Threshold] = Field(
        MTCNN_THRESHOLDS, description="MTCNN's thresholds of P-, R- and O-Net"
    )
    pyramid_factor: float = Field(MTCNN_FACTOR, gt=0.2, lt=0.96, description="MTCNN's step between scales")

    search: Literal["full", "near"] = Field("full", description="where detection looks: everywhere, or near tracks")
    full_scan: float = Field(1.0, ge=0, le=60, description="with search near: seconds from one full scan to the next")

    detect_every: int = Field(6, ge=1, le=120, description="one frame in so many is searched, the rest tracked")
    tracker: Literal["kcf", "opencv"] = Field("kcf", description="between detections: the native KCF, or OpenCV's")
    align: Literal["none", "eyes"] = Field("none", description="eyes: level the eyes before classifying")

    model: str = Field(DEFAULT, description="expression model: a name, or a .onnx file with its manifest beside it")
    gender: bool = Field(False, description="read perceived gender presentation too, with a network of its own")
    smoothing: float = Field(0.5, ge=0, le=60, description="time constant of the smoothed scores, seconds; 0 is off")
    min_confidence: float = Field(0.0, ge=0, lt=1, description="below this smoothed score the label is 'uncertain'; 0 is off")
    backend: BackendName = Field("auto", description="what runs the networks; auto: TensorRT where it can, else ONNX Runtime")
    precision: PrecisionSetting = Field(
        "auto",
        description="of the networks; auto: fp16 in TensorRT, int8 on a CPU with VNNI if the model has such a variant that "
        "loses less than 0.3 points, else fp32; fp16 is for TensorRT, elsewhere it is fp32",
    )
    engines: str | None = Field(
        None, description="TensorRT: folder of engines to trust besides the user's cache", examples=["engines"]
    )
    build_engines: bool = Field(False, description="TensorRT: build an engine that is missing or does not fit")
    max_batch: int = Field(32, ge=1, le=1024, description="faces in one batch of the classifier, at most")
    batch_deadline: float = Field(0.01, ge=0, le=1, description="longest wait for a batch to fill, seconds")
    deadline: float = Field(0.5, gt=0, le=60, description="live: a face this old goes out unclassified, seconds")

    max_frames: int | None = Field(None, ge=1, description="stop each camera after so many frames", examples=[1000])
    queue: int = Field(256, ge=1, le=100_000, description="results that may wait for each consumer")
    stuck_after: float = Field(20.0, ge=1, description="a worker silent for so long is replaced, seconds")
    restart_limit: int = Field(5, ge=0, description="deaths of one worker in a minute before it is given up")

    @field_validator("search")
    @classmethod
    def _only_mtcnn_searches_near(cls, search: str, info: ValidationInfo) -> str:
        if search == "near" and info.data.get("detector") == "haar":
            raise ValueError("only the detector mtcnn can search near tracks: leave search at full for haar")
        return search

    @property
    def align_eyes(self) -> bool:
        """Whether crops are rotated so that the eyes are level."""
        return self.align == "eyes"

    def backend_settings(self) -> BackendSettings:
        """The part that says what runs the networks."""
        return BackendSettings(self.backend, self.precision, self.engines, self.build_engines)


def make_config(**values: Any) -> EngineConfig:
    """An EngineConfig, or one UsageError that names every wrong value."""
    try:
        return EngineConfig(**values)
    except ValidationError as error:
        raise UsageError("; ".join(_sentence(item) for item in error.errors())) from None


def _sentence(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"]) or "settings"
    if item["type"] == "extra_forbidden":
        return f"unknown setting {name!r}: known are {', '.join(EngineConfig.model_fields)}"
    return f"{name}: {item['msg'].lower()}, not {item['input']!r}"
