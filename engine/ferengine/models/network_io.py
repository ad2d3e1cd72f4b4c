"""What goes into a network and what comes out of it, as a manifest says it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ferengine.models.settings import ADAPT, PRIOR_TOLERANCE, Planes, Prior
from ferengine.results import UNCERTAIN, HeadKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=1e-6, allow_inf_nan=False)]
"""What logits are divided by."""
_Three = tuple[_Finite, _Finite, _Finite]
_ThreeDeviations = tuple[_Deviation, _Deviation, _Deviation]


class Part(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CropFormat(NamedTuple):
    """A crop that a network takes: its side in pixels and its planes."""

    size: int
    planes: Planes

    @property
    def channels(self) -> int:
        """How many planes it has."""
        return 1 if self.planes == "grey" else 3

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of a crop: (size, size), in colour (3, size, size)."""
        return self.shape[1:] if self.planes == "grey" else self.shape

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a row of a network's input."""
        return self.channels, self.size, self.size


class Normalisation(NamedTuple):
    """What a network expects of intensities from 0 to 255: (intensity - mean) / std, one number each or one for each plane."""

    mean: float | _Three
    std: float | _ThreeDeviations

    @property
    def scale(self) -> NDArray[np.float32]:
        """What the difference is multiplied by: 1 / std, rounded as the gathering of faces in C++ does."""
        import numpy as np  # here and not above: the help of a command needs manifests, but no arrays

        return np.float32(1) / np.asarray(self.std, np.float32)

    def of(self, crops: NDArray[Any]) -> NDArray[np.float32]:
        """Intensities, normalised: bit for bit what ``FaceRing.gather`` gives of crops.

        Args:
            crops: Of any shape; (..., 3, height, width) where there is a number for each plane.
        """
        import numpy as np

        mean, scale = np.asarray(self.mean, np.float32), self.scale
        if mean.ndim or scale.ndim:
            mean, scale = mean.reshape(-1, 1, 1), scale.reshape(-1, 1, 1)
        normalised: NDArray[np.float32] = (crops.astype(np.float32) - mean) * scale
        return normalised

    def by_plane(self, planes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The means and standard deviations of ``planes`` planes."""
        mean = self.mean if isinstance(self.mean, tuple) else (self.mean,) * planes
        std = self.std if isinstance(self.std, tuple) else (self.std,) * planes
        return mean, std


class InputSpec(Part):
    """Crops of ``size`` x ``size`` pixels, grey (1 channel) or in colour (3 channels, in ``order``), normalised.

    The network gets (value - mean) / std, where a value is an intensity scaled to 0..``white``: 255 as it is, or 1. ``mean``
    and ``std`` are one number, or one for each channel in ``order``.
    """

    size: int = Field(ge=8, le=1024)
    channels: Literal[1, 3] = 1
    order: Literal["rgb", "bgr"] = "rgb"
    white: Literal[255, 1] = 255
    mean: float | tuple[float, float, float]
    std: _Deviation | _ThreeDeviations

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_number_or_three(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(value) != 3:
            raise ValueError(f"one number, or one for each of three channels, not {len(value)}")
        return value

    @model_validator(mode="after")
    def _one_number_for_grey(self) -> Self:
        if self.channels == 1 and (isinstance(self.mean, tuple) or isinstance(self.std, tuple)):
            raise ValueError("mean and std are one number each where channels is 1")
        return self

    @property
    def normalisation(self) -> Normalisation:
        """The mean and the standard deviation of intensities from 0 to 255."""
        scale = 255.0 / self.white
        mean = tuple(value * scale for value in self.mean) if isinstance(self.mean, tuple) else self.mean * scale
        std = tuple(value * scale for value in self.std) if isinstance(self.std, tuple) else self.std * scale
        return Normalisation(mean, std)  # type: ignore[arg-type]  # tuples of three stay such

    @property
    def crop(self) -> CropFormat:
        """What is cropped for it."""
        return CropFormat(self.size, "grey" if self.channels == 1 else self.order)


class Head(Part):
    """One output of a network and what it says of a face.

    - ``classes``: one of ``labels``. The output is logits; probabilities are softmax(logits / temperature + log prior).
    - ``labels``: any of ``labels``, such as action units. The output is logits; probabilities are
      sigmoid(logits / temperature).
    - ``values``: a number for each of ``labels``, such as valence and arousal, or an age, limited to its range.
    """

    name: str = Field(description="its key in Face.heads")
    kind: HeadKind
    labels: tuple[str, ...] = Field(min_length=1, max_length=256)
    output: str = Field(default="", description="the output of the ONNX file; by default that of the head's name")
    ranges: dict[str, tuple[float, float]] = Field(default={}, description="values: the lowest and the highest of each")
    temperature: Temperature = 1.0
    temperatures: dict[str, Temperature] = Field(
        default={}, description="temperatures under some of ``priors``; under the others, and those of files, ``temperature``"
    )
    priors: dict[str, dict[str, Annotated[float, Field(gt=0, lt=1)]]] = {}
    prior: str | None = None
    smoothing: float | None = Field(
        default=None, ge=0, le=60, description="seconds, instead of the setting smoothing: 10 suits what does not change"
    )

    @field_validator("name")
    @classmethod
    def _is_a_key(cls, name: str) -> str:
        if not re.fullmatch("[a-z][a-z0-9_]{0,31}", name):
            raise ValueError(f"up to 32 lower-case letters, digits and underscores, the first a letter, not {name!r}")
        return name

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_labels(self.labels)
        if self.kind == "classes" and len(self.labels) < 2:
            raise ValueError("a head of classes has two labels or more")
        if self.kind != "classes" and (self.priors or self.prior is not None):
            raise ValueError(f"priors belong to heads of classes, not of {self.kind}")
        check_priors(self.labels, self.priors, self.prior, self.temperatures)
        if self.kind == "values":
            if set(self.ranges) != set(self.labels):
                raise ValueError(f"ranges must give [lowest, highest] for each of {', '.join(self.labels)}")
            for label, (lowest, highest) in self.ranges.items():
                if not lowest < highest:
                    raise ValueError(f"the range of {label} must rise, not be {lowest:g} to {highest:g}")
            if self.temperature != 1:
                raise ValueError("a temperature belongs to heads of classes or labels, not of values")
        elif self.ranges:
            raise ValueError(f"ranges belong to heads of values, not of {self.kind}")
        return self

    @property
    def chosen_prior(self) -> Prior | None:
        """The one of ``priors`` that is used where no other is chosen."""
        if self.prior is None:
            return None
        return Prior(self.prior, self.labels, tuple(self.priors[self.prior][label] for label in self.labels))

    def temperature_under(self, prior: str | None) -> float:
        """What the logits are divided by under a prior.

        Args:
            prior: Its name, or the path of its file; None where none is in force.
        """
        return self.temperature if prior is None else self.temperatures.get(prior, self.temperature)


def check_labels(labels: tuple[str, ...]) -> None:
    """ValueError for labels that are not distinct, printable text."""
    if len(set(labels)) != len(labels):
        raise ValueError("labels must be distinct")
    for label in labels:
        if not label.strip() or not label.isprintable() or label == UNCERTAIN:
            raise ValueError(f"a label is printable text, other than {UNCERTAIN!r}, not {label!r}")


def check_priors(
    labels: tuple[str, ...], priors: dict[str, dict[str, float]], chosen: str | None, temperatures: dict[str, float]
) -> None:
    """ValueError for priors that do not give a distribution over the labels, for a choice that is none of them, and for
    temperatures under others."""
    for name, values in priors.items():
        if name == ADAPT:
            raise ValueError(f"a prior cannot be called {ADAPT}, which stands for the estimate of each camera")
        if set(values) != set(labels):
            raise ValueError(f"the prior {name} must give a probability for each of {', '.join(labels)}")
        if abs(math.fsum(values.values()) - 1) > PRIOR_TOLERANCE:
            raise ValueError(f"the probabilities of the prior {name} must sum to 1, not to {math.fsum(values.values()):g}")
    if chosen not in (priors or {None}):
        raise ValueError(f"prior must be one of priors ({', '.join(priors) or 'there are none'}), not {chosen!r}")
    for name in temperatures:
        if name not in priors:
            raise ValueError(f"temperatures names {name}, which is none of priors ({', '.join(priors) or 'there are none'})")
