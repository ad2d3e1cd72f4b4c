"""What is known of a model file: a JSON object beside it."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ferengine.models.settings import PRIOR_TOLERANCE, Precision
from ferengine.results import UNCERTAIN


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Normalisation(NamedTuple):
    """What a network expects of intensities from 0 to 255: (intensity - mean) / std."""

    mean: float
    std: float

    @property
    def scale(self) -> np.float32:
        """What the difference is multiplied by: 1 / std, rounded as the gathering of faces in C++ does."""
        return np.float32(1) / np.float32(self.std)

    def of(self, crops: NDArray[Any]) -> NDArray[np.float32]:
        """Intensities of any shape, normalised: bit for bit what ``FaceRing.gather`` gives of crops."""
        return (crops.astype(np.float32) - np.float32(self.mean)) * self.scale


class InputSpec(_Part):
    """Grey crops of ``size`` x ``size`` pixels, (intensity - mean) / std with intensities from 0 to 255."""

    size: int = Field(ge=8, le=1024)
    channels: Literal[1] = 1
    mean: float
    std: float = Field(gt=0)

    @property
    def normalisation(self) -> Normalisation:
        """The mean and the standard deviation."""
        return Normalisation(self.mean, self.std)


class Training(_Part):
    """How the weights came about.

    ``command``, ``epochs`` and ``seed`` are of the last stage of training. Where that was fine-tuned from other weights
    (``--start``) or distilled from other networks, ``notes`` describe the earlier stages, which are needed to train the model
    again.
    """

    command: str
    dataset: str
    split: str
    epochs: int
    seed: int
    machine: str
    notes: str = ""


class Accuracy(_Part):
    """Fractions of correct labels.

    The model was chosen by ``public`` (UTKFace: validation); ``private`` (UTKFace: test) was looked at once, at the end.
    ``private_without_copies`` leaves out the faces that are also training faces, pixel for pixel. ``ece`` is the expected
    calibration error in 15 bins, on ``private`` at the manifest's temperature. All are under the class frequencies of the
    data set itself, which is ``dataset`` where it is not FER-2013 or UTKFace.
    """

    public: float | None = Field(default=None, ge=0, le=1)
    private: float | None = Field(default=None, ge=0, le=1)
    private_without_copies: float | None = Field(default=None, ge=0, le=1)
    macro_f1: float | None = Field(default=None, ge=0, le=1)
    ece: float | None = Field(default=None, ge=0, le=1)
    dataset: str | None = None
    crops: int = 1
    seeds: int = 1
    command: str = ""


class Manifest(_Part):
    """A model file, its input, its outputs in order, where it comes from and what it is for."""

    name: str
    task: Literal["expression", "gender"] = "expression"
    file: str
    precision: Precision = "fp32"
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source_sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="int8: SHA-256 of the fp32 file that it was made from"
    )
    network: str
    parameters: int
    mmac: float | None = Field(default=None, gt=0, description="millions of multiply-adds a face")
    labels: tuple[str, ...] = Field(min_length=2)
    input: InputSpec
    temperature: float = Field(default=1.0, gt=0)
    priors: dict[str, dict[str, Annotated[float, Field(gt=0, lt=1)]]] = Field(
        default={},
        description="class priors by name: the probability of each label. The logits are those under a uniform prior; "
        "probabilities are softmax(logits / temperature + log prior). Without any, probabilities are "
        "softmax(logits / temperature), under the class frequencies of the training data",
    )
    prior: str | None = Field(default=None, description="the one of ``priors`` that is used where no other is chosen")
    training: Training
    accuracy: Accuracy
    licence: str
    intended_use: str
    self_test: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="logits of ferengine.models.self_test.self_test_crops, before the temperature"
    )

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> Manifest:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be distinct")
        for label in self.labels:
            if not label.strip() or not label.isprintable() or label == UNCERTAIN:
                raise ValueError(f"a label is printable text, other than {UNCERTAIN!r}, not {label!r}")
        return self

    @model_validator(mode="after")
    def _priors_are_of_all_labels(self) -> Manifest:
        for name, values in self.priors.items():
            if set(values) != set(self.labels):
                raise ValueError(f"the prior {name} must give a probability for each of {', '.join(self.labels)}")
            if abs(math.fsum(values.values()) - 1) > PRIOR_TOLERANCE:
                raise ValueError(f"the probabilities of the prior {name} must sum to 1, not to {math.fsum(values.values()):g}")
        if self.prior not in (self.priors or {None}):
            raise ValueError(f"prior must be one of priors ({', '.join(self.priors) or 'there are none'}), not {self.prior!r}")
        return self

    def to_json(self) -> dict[str, Any]:
        """The manifest as it stands in its file: plain values for ``json.dumps``."""
        return self.model_dump(mode="json")
