"""The networks that ``ferengine build-trt`` knows: their ONNX, the shapes they are run with, their precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from ferengine.detection.mtcnn_weights import mtcnn_networks
from ferengine.errors import ModelError, UsageError
from ferengine.inference.precision import int8_form
from ferengine.inference.tensorrt.builder import Profile
from ferengine.inference.tensorrt.engine_file import Precision
from ferengine.models.manifest import Manifest
from ferengine.models.registry import list_models, load_model
from ferengine_tools.precision import is_quantised, to_fp16, to_int8

DETECTORS = ("pnet", "rnet", "onet")

_PNET_PROFILES = (
    Profile((1, 3, 12, 12), (8, 3, 108, 192), (16, 3, 272, 480)),
    Profile((1, 3, 12, 12), (1, 3, 216, 384), (1, 3, 1088, 1920)),
)
"""Small pyramid levels of many frames at once, and large ones of one: one profile for both would hold 1.3 GB of scratch."""

_CANDIDATES = (1, 64, 512)
_CALIBRATION_FACES = 512


@dataclass(frozen=True, slots=True)
class Network:
    """``onnx`` is float32, or quantised as a file may be. ``manifest``: of a classifier, where it has one."""

    name: str
    onnx: bytes
    manifest: Manifest | None

    @property
    def is_detector(self) -> bool:
        return self.name in DETECTORS


def choose_networks(model: str, precision: Precision) -> list[Network]:
    """``all``; ``mtcnn`` or one of its networks; a shipped model's name; an ``.onnx`` file, with or without manifest.

    For int8 a model's own int8 form is taken where it has one, as the engine does at run time. Raises what ``load_model``
    and ``mtcnn_networks`` raise.
    """
    if model == "all":
        names = [manifest.name for manifest in list_models() if manifest.source_sha256 is None]
        return [*(_classifier(name, precision) for name in names), *choose_networks("mtcnn", precision)]
    if model == "mtcnn" or model in DETECTORS:
        return [Network(name, data, None) for name, data in mtcnn_networks().items() if model in ("mtcnn", name)]
    path = Path(model)
    if path.suffix == ".onnx" and path.is_file() and not path.with_suffix(".json").exists():
        return [Network(path.stem, path.read_bytes(), None)]
    return [_classifier(model, precision)]


def _classifier(name: str, precision: Precision) -> Network:
    model = load_model(name)
    if precision == "int8":
        model = int8_form(model) or model
    return Network(model.manifest.name, model.onnx, model.manifest)


def in_precision(network: Network, precision: Precision, calibration: Path | None) -> tuple[bytes, Precision]:
    """The network's ONNX in ``precision``, and the precision that it has.

    MTCNN's networks decide by thresholds and are not quantised: where int8 is asked for they are built with fp16.
    ``calibration``: FER-2013, for a network that reads gender UTKFace. Raises UsageError when int8 needs calibration and there
    is none, or none of that kind, ModelError when the conversion fails.
    """
    if is_quantised(network.onnx):
        if precision != "int8":
            raise UsageError(f"{network.name} is quantised already: build it with --precision int8")
        return network.onnx, "int8"
    if precision == "fp32":
        return network.onnx, "fp32"
    if precision == "fp16" or network.is_detector:
        return to_fp16(network.onnx), "fp16"
    if network.manifest is None:
        raise UsageError(f"{network.name} has neither an int8 file nor a manifest, without which it cannot be calibrated")
    if calibration is None:
        data = "UTKFACE" if network.manifest.task == "gender" else "FER2013"
        raise UsageError(f"{network.name} has no int8 file: name faces to calibrate it with (--calibration {data})")
    return to_int8(network.onnx, _calibration_batch(calibration, network.manifest)), "int8"


def _calibration_batch(data: Path, manifest: Manifest) -> NDArray[np.float32]:
    """Faces of the training split that the network's task has, evenly spread, normalised, float32 (N, 1, S, S)."""
    images, spec = _training_faces(data, manifest), manifest.input
    crops = images[:: max(1, len(images) // _CALIBRATION_FACES)]
    if crops.shape[1:] != (spec.size, spec.size):
        raise UsageError(f"the network takes crops of {spec.size} pixels, {data} has {crops.shape[1:]}")
    return (crops[:, None].astype(np.float32) - np.float32(spec.mean)) / np.float32(spec.std)


def _training_faces(data: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """uint8 (N, S, S)."""
    from ferengine_tools.data.fer2013 import load_fer2013
    from ferengine_tools.data.utkface import is_utkface, load_utkface, user_cache

    gender = manifest.task == "gender"
    if is_utkface(data) != gender:
        needed = "UTKFace (--calibration UTKFACE, its folder or zip file)" if gender else "FER-2013 (--calibration FER2013)"
        found = "does not look like it" if gender else "looks like UTKFace"
        raise UsageError(f"{manifest.name} reads {manifest.task} and is calibrated on {needed}; {data} {found}")
    if gender:
        people = load_utkface(data, user_cache())
        faces = people.images[people.indices("training")]
    else:
        fer = load_fer2013(data)
        faces = fer.images[fer.indices("training")]
    if not len(faces):
        raise UsageError(f"{data} has no training faces to calibrate {manifest.name} with")
    return faces


def choose_profiles(network: Network, batches: Sequence[tuple[int, int, int]]) -> list[Profile]:
    """Shapes of the input, one profile for each (smallest, best, largest) batch; MTCNN's have their own."""
    if network.name == "pnet":
        return list(_PNET_PROFILES)
    _, *rest = input_shape(network.onnx)
    if any(side < 1 for side in rest):
        raise ModelError(f"{network.name}: only the batch may be open in the network's input, which is (n, {rest})")
    chosen = [_CANDIDATES] if network.is_detector else batches
    return [Profile((low, *rest), (best, *rest), (high, *rest)) for low, best, high in chosen]


def input_shape(model: bytes) -> tuple[int, ...]:
    """The shape of a network's first input, -1 where it is open. Raises ModelError for a file that is no network."""
    try:
        graph = onnx.load_from_string(model).graph
        return tuple(d.dim_value or -1 for d in graph.input[0].type.tensor_type.shape.dim)
    except Exception as error:  # protobuf's classes differ between versions
        raise ModelError(f"the network is not an ONNX file: {error}") from None


def parse_batches(text: str) -> list[tuple[int, int, int]]:
    """``1:32:256`` or several, separated by commas. Raises UsageError for anything else."""
    batches = []
    for part in text.split(","):
        try:
            low, best, high = map(int, part.split(":"))
        except ValueError:
            raise UsageError(f"--batch is SMALLEST:BEST:LARGEST, such as 1:32:256, not {part!r}") from None
        if not 1 <= low <= best <= high <= 4096:
            raise UsageError(f"--batch {part}: three numbers from 1 to 4096 in ascending order")
        batches.append((low, best, high))
    return batches


def is_buildable(onnx_model: bytes, precision: Precision) -> bool:
    """Whether an engine can be built without calibration."""
    return precision != "int8" or is_quantised(onnx_model)
