"""How a model is run: backend, precision, class prior, and what detectors are set to.

A plain module: every worker process reads these in its first message, and most of them need no pydantic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Literal, get_args

from ferengine.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Precision = Literal["fp32", "fp16", "int8"]
"""Of a network's weights and layers; inputs and outputs are float32 in any."""

Planes = Literal["grey", "rgb", "bgr"]
"""What the planes of a crop show, in order."""

BackendName = Literal["auto", "ort", "tensorrt", "ort-cuda", "ort-trt-rtx"]
"""What runs the networks: ONNX Runtime on the CPU (``ort``), by its CUDA or TensorRT-RTX provider, or TensorRT itself."""

PrecisionSetting = Literal["auto", Precision]
"""A precision, or ``auto``: fp16 in TensorRT; on a CPU int8 where it is exact and the model has a variant that loses little,
else fp32."""

DetectorName = Literal["mtcnn", "retinaface", "haar"]

MIN_FACE = 40.0
"""Width of the smallest face to look for, pixels."""

MTCNN_THRESHOLDS = (0.6, 0.7, 0.7)
"""Of P-, R- and O-Net, for single images."""

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
        restarts: Whether a process that CUDA works no more in raises DeviceError and ends, for its successor to use the GPU
            again, rather than going on on the CPU.

    Raises:
        UsageError: The precision is none of ``PrecisionSetting``.
    """

    backend: BackendName = "auto"
    precision: PrecisionSetting = "auto"
    engines: str | None = None
    build: bool = False
    restarts: bool = False

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

PRIOR_TOLERANCE = 1e-3
"""How far from 1 the sum of a prior's probabilities may be."""


ADAPT = "adapt"
"""Stands for the prior that is estimated for each camera."""


@dataclass(frozen=True, slots=True)
class Prior:
    """The prior in force.

    Attributes:
        name: Its name in the manifest, the path of its file, or ``adapt``.
        labels: The classes of the model, in the order of its outputs.
        probabilities: One for each label; above 0, their sum is 1. Of ``adapt`` what every camera starts from.
        start: Of ``adapt`` the name of that prior.

    Raises:
        UsageError: There is not one probability above 0 for each label, they do not sum to 1, or ``name`` is no text.

    Example:
        >>> Prior("mine", ("calm", "loud"), (0.25, 0.75)).by_label()
        {'calm': 0.25, 'loud': 0.75}
    """

    name: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    start: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise UsageError(f"the name of a prior is a text, not {type(self.name).__name__}")
        if not all(isinstance(value, Real) and not isinstance(value, bool) for value in self.probabilities):
            raise UsageError(f"prior {self.name}: its probabilities must be numbers, not {self.probabilities}")
        if len(self.labels) != len(self.probabilities) or len(set(self.labels)) != len(self.labels):
            raise UsageError(f"prior {self.name}: {len(self.probabilities)} probabilities for {', '.join(self.labels)}")
        if not all(0 < value <= 1 for value in self.probabilities) or abs(math.fsum(self.probabilities) - 1) > PRIOR_TOLERANCE:
            raise UsageError(f"prior {self.name}: its probabilities must be above 0 and sum to 1, not {self.probabilities}")

    @property
    def fitted(self) -> str:
        """The name by which a manifest may have a temperature for it."""
        return self.name if self.start is None else self.start

    def by_label(self) -> dict[str, float]:
        """The probabilities by the names of their classes, to five digits."""
        return {label: float(f"{value:.5g}") for label, value in zip(self.labels, self.probabilities, strict=True)}

    def logarithm(self) -> NDArray[np.float64]:
        """The natural logarithm of the probabilities, float64 (classes,)."""
        import numpy as np  # here and not above: the help of a command needs the settings, but no arrays

        return np.array([math.log(value) for value in self.probabilities])
