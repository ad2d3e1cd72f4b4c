"""What ``ferengine build-trt`` builds: its networks, their batches, and the faces that it calibrates them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.detection.mtcnn_engines import engine_networks
from ferengine.errors import UsageError
from ferengine.inference.precision import int8_variant
from ferengine.inference.tensorrt.builder import needs_calibration
from ferengine.inference.tensorrt.networks import Network, classifier_network
from ferengine.models.manifest import Manifest
from ferengine.models.registry import list_models, load_model
from ferengine.models.settings import Precision

_CALIBRATION_FACES = 512


def choose_networks(model: str, precision: Precision) -> list[Network]:
    """The networks that ``--model`` names.

    Args:
        model: ``all``; ``mtcnn`` or one of its networks; a shipped model's name; an ``.onnx`` file, with or without manifest.
        precision: For int8 a model's int8 variant is taken where it has one, as at run time.

    Raises:
        UsageError: There is no such model.
        ModelError: A model is missing or damaged.
        MissingDependencyError: MTCNN's weights are not installed.
    """
    if model == "all":
        names = [manifest.name for manifest in list_models() if manifest.source_sha256 is None]
        return [*(_classifier(name, precision) for name in names), *engine_networks().values()]
    if model in ("mtcnn", "pnet", "rnet", "onet"):
        return [network for network in engine_networks().values() if model in ("mtcnn", network.name)]
    path = Path(model)
    if path.suffix == ".onnx" and path.is_file() and not path.with_suffix(".json").exists():
        return [Network(path.stem, path.read_bytes(), model)]
    return [_classifier(model, precision)]


def _classifier(name: str, precision: Precision) -> Network:
    model = load_model(name)
    if precision == "int8":
        model = int8_variant(model) or model
    return classifier_network(model)


def calibration_batch(network: Network, precision: Precision, data: Path | None) -> NDArray[np.float32] | None:
    """The faces that set the ranges of an int8 network: some of the training split of its task, evenly spread.

    Args:
        network: What is built.
        precision: Of the engine.
        data: FER-2013, or UTKFace for a network that reads gender.

    Returns:
        Normalised crops, float32 (N, 1, S, S); None where the network needs none.

    Raises:
        UsageError: Faces are needed, and there are none or they are of another kind.
    """
    if not needs_calibration(network, precision):
        return None
    if network.manifest is None:
        raise UsageError(f"{network.name} has neither an int8 file nor a manifest, without which it cannot be calibrated")
    if data is None:
        name = "UTKFACE" if network.manifest.task == "gender" else "FER2013"
        raise UsageError(f"{network.name} has no int8 file: name faces to calibrate it with (--calibration {name})")
    if network.manifest.input.channels != 1:
        raise UsageError(f"{network.name} reads colours, and the faces to calibrate with are grey: leave int8 out")
    images, spec = _training_faces(data, network.manifest), network.manifest.input
    crops = images[:: max(1, len(images) // _CALIBRATION_FACES)]
    if crops.shape[1:] != (spec.size, spec.size):
        raise UsageError(f"the network takes crops of {spec.size} pixels, {data} has {crops.shape[1:]}")
    return spec.normalisation.of(crops[:, None])


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


def parse_batches(text: str) -> list[tuple[int, int, int]]:
    """The smallest, best and largest batches in ``--batch``: ``1:32:256`` or several, separated by commas.

    Raises:
        UsageError: The text is something else.
    """
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
