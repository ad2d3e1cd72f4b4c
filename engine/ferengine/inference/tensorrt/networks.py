"""Networks that engines are built of and found for."""

from __future__ import annotations

from dataclasses import dataclass

from ferengine.inference.base import Shape
from ferengine.models.manifest import Manifest, Normalisation
from ferengine.models.registry import Model


@dataclass(frozen=True, slots=True)
class Profile:
    """The smallest, the best and the largest shape of a network's input that an engine serves."""

    low: Shape
    best: Shape
    high: Shape


@dataclass(frozen=True, slots=True)
class Network:
    """A network that TensorRT may run.

    Attributes:
        name: Its name, which engine files begin with.
        onnx: The ONNX file, in float32 or quantised.
        argument: What ``ferengine build-trt --model`` calls it.
        manifest: Of a model; other networks have none.
        profiles: The shapes that it is run with, where these do not follow from the size of its batches.
        normalisation: Of the crops that it reads: its engine takes them as they are, uint8; without it float32.
        quantisable: Whether it may be computed in int8; where it may not, fp16 takes its place.
    """

    name: str
    onnx: bytes
    argument: str
    manifest: Manifest | None = None
    profiles: tuple[Profile, ...] = ()
    normalisation: Normalisation | None = None
    quantisable: bool = True


def classifier_network(model: Model) -> Network:
    """The network of a model."""
    manifest = model.manifest
    return Network(manifest.name, model.onnx, model.called, manifest, normalisation=manifest.input.normalisation)
