"""What is known of a model file: a JSON object beside it."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ferengine.models.network_io import (
    CropFormat,
    Head,
    InputSpec,
    Normalisation,
    Part,
    Temperature,
    check_labels,
    check_priors,
)
from ferengine.models.settings import Precision

__all__ = ["Accuracy", "CropFormat", "Head", "InputSpec", "Manifest", "Normalisation", "Training"]

_OF_THE_MAIN_HEAD: dict[str, Any] = {
    "labels": (), "temperature": 1.0, "temperatures": {}, "priors": {}, "prior": None,
}  # fmt: skip
"""What a manifest says of its main head, and the defaults."""


class Training(Part):
    """How the weights came about.

    ``command``, ``epochs`` and ``seed`` are of the last stage of training. Where that was fine-tuned from other weights
    (``--start``) or distilled from other networks, ``notes`` describe the earlier stages, which are needed to train the model
    again.
    """

    command: str = ""
    dataset: str = "not stated"
    split: str = "not stated"
    epochs: int = 0
    seed: int = 0
    machine: str = "not stated"
    notes: str = ""


class Accuracy(Part):
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


class Manifest(Part):
    """A model file, its input, its outputs in order, where it comes from and what it is for."""

    name: str
    task: Literal["expression", "gender"] = "expression"
    file: str
    precision: Precision = "fp32"
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source_sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="int8: SHA-256 of the fp32 file that it was made from"
    )
    network: str = "a network of your own"
    parameters: int | None = None
    mmac: float | None = Field(default=None, gt=0, description="millions of multiply-adds a face")
    labels: tuple[str, ...] = ()
    heads: tuple[Head, ...] = Field(
        default=(),
        max_length=16,
        description="the outputs of a network that has several; one may have the task's name. Without heads the network has "
        "one output, which ``labels``, ``temperature``, ``temperatures`` and ``priors`` describe",
    )
    input: InputSpec
    temperature: Temperature = Field(
        default=1.0, description="what the logits are divided by, under a prior that ``temperatures`` does not name"
    )
    temperatures: dict[str, Temperature] = Field(
        default={},
        description="what the logits are divided by under the priors that faces with labels were there for; ``temperature`` is "
        "their geometric mean",
    )
    priors: dict[str, dict[str, Annotated[float, Field(gt=0, lt=1)]]] = Field(
        default={},
        description="class priors by name: the probability of each label. The logits are those under a uniform prior; "
        "probabilities are softmax(logits / temperature + log prior). Without any, probabilities are "
        "softmax(logits / temperature), under the class frequencies of the training data",
    )
    prior: str | None = Field(default=None, description="the one of ``priors`` that is used where no other is chosen")
    training: Training = Training()
    accuracy: Accuracy = Accuracy()
    licence: str
    intended_use: str
    self_test: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="logits of ferengine.models.self_test.self_test_crops, before the temperature"
    )

    @model_validator(mode="before")
    @classmethod
    def _take_the_main_head(cls, data: Any) -> Any:
        """Labels, temperature and priors are those of the head that has the task's name; written twice, they must agree."""
        heads = data.get("heads") if isinstance(data, dict) else None
        if not heads or not isinstance(heads, (list, tuple)):
            return data
        task = data.get("task", "expression")
        each = [head.model_dump() if isinstance(head, Head) else head for head in heads]
        main = next((head for head in each if isinstance(head, dict) and head.get("name") == task), {})
        for name, default in _OF_THE_MAIN_HEAD.items():
            described = main.get(name, default)
            if name in data and _plain(data[name]) != _plain(described):
                raise ValueError(f"{name} stands beside heads and is not that of a head called {task}: write it there")
            data = {**data, name: described}
        return data

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if not self.heads and not self.labels:
            raise ValueError("name labels, or heads")
        if self.labels:
            check_labels(self.labels)
            if len(self.labels) < 2:
                raise ValueError("there must be two labels or more")
        check_priors(self.labels, self.priors, self.prior, self.temperatures)
        names = [head.name for head in self.heads]
        if len(set(names)) != len(names):
            raise ValueError("heads must have distinct names")
        for head in self.heads:
            if head.name == self.task and head.smoothing is not None:
                raise ValueError(f"the head {self.task} is smoothed as the run's settings say: leave its smoothing out")
            if head.name == self.task and head.kind != "classes":
                raise ValueError(f"the head {self.task} is of the kind classes, not {head.kind}")
        return self

    @property
    def outputs(self) -> tuple[Head, ...]:
        """All heads in the order in which their numbers are delivered: first the one with the task's name, if there is one."""
        return ((self._main,) if self.labels else ()) + self.further_heads

    @property
    def further_heads(self) -> tuple[Head, ...]:
        """All but the main one: those of ``Face.heads``."""
        return tuple(head for head in self.heads if head.name != self.task)

    @property
    def _main(self) -> Head:
        output = next((head.output for head in self.heads if head.name == self.task), "")
        return Head(
            name=self.task, kind="classes", labels=self.labels, output=output, temperature=self.temperature,
            temperatures=self.temperatures, priors=self.priors, prior=self.prior,
        )  # fmt: skip

    def temperature_under(self, prior: str | None) -> float:
        """What the main head's logits are divided by under a prior: see ``Head.temperature_under``.

        Args:
            prior: Its name, or the path of its file; None where none is in force.
        """
        return self.temperatures.get(prior or "", self.temperature)

    def with_temperature(self, temperature: float, prior: str | None = None) -> Manifest:
        """The same with another temperature of the main head.

        Args:
            temperature: The temperature.
            prior: The one of ``priors`` that it was fitted under: the temperatures under the others stay, and those that none
                was fitted for get the geometric mean. None: it holds under all.
        """
        fitted = {} if prior is None else {**self.temperatures, prior: temperature}
        if fitted:
            temperature = round(math.exp(math.fsum(map(math.log, fitted.values())) / len(fitted)), 4)
        update = {"temperature": temperature, "temperatures": fitted}
        heads = [head.model_copy(update=update) if head.name == self.task else head for head in self.heads]
        return self.model_copy(update={**update, "heads": tuple(heads)})

    def to_json(self) -> dict[str, Any]:
        """The manifest as it stands in its file: plain values for ``json.dumps``."""
        return self.model_dump(mode="json")


def _plain(value: Any) -> Any:
    """Tuples as lists, so that what was read and what was made compare."""
    return list(value) if isinstance(value, tuple) else value
