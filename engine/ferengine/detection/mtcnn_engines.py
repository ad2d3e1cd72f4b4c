"""MTCNN's networks in TensorRT: the shapes that they are run with, and their engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ferengine.detection.mtcnn_weights import mtcnn_networks
from ferengine.inference.tensorrt.load import open_engine
from ferengine.inference.tensorrt.networks import Network, Profile
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.models.settings import BackendSettings

if TYPE_CHECKING:
    from ferengine.detection.mtcnn_graphs import NetworkName

_PROFILES: dict[NetworkName, tuple[Profile, ...]] = {
    # small pyramid levels of many frames at once, and large ones of one: one profile for both would hold 1.3 GB of scratch
    "pnet": (
        Profile((1, 3, 12, 12), (8, 3, 108, 192), (16, 3, 272, 480)),
        Profile((1, 3, 12, 12), (1, 3, 216, 384), (1, 3, 1088, 1920)),
    ),
    "rnet": (Profile((1, 3, 24, 24), (64, 3, 24, 24), (512, 3, 24, 24)),),
    "onet": (Profile((1, 3, 48, 48), (64, 3, 48, 48), (512, 3, 48, 48)),),
}


def engine_networks() -> dict[NetworkName, Network]:
    """The three networks as engines are built of them. They decide by thresholds and are not quantised.

    Raises:
        MissingDependencyError: As ``mtcnn_networks``.
        ModelError: As ``mtcnn_networks``.
    """
    return {
        name: Network(name, onnx, name, profiles=_PROFILES[name], quantisable=False) for name, onnx in mtcnn_networks().items()
    }


def open_engines(settings: BackendSettings) -> dict[NetworkName, EngineRunner]:
    """The engines of the three networks.

    Args:
        settings: The precision, and what TensorRT may use.

    Raises:
        ModelError: As ``open_engine``.
        MissingDependencyError: As ``open_engine``.
        DeviceError: As ``open_engine``.
    """
    folder = Path(settings.engines) if settings.engines else None
    runners: dict[NetworkName, EngineRunner] = {}
    try:
        for name, network in engine_networks().items():
            depth = 2 if name == "pnet" else 1  # one level is copied and queued while another is computed
            runners[name] = open_engine(
                network, settings.engine_precision, 1, folder, build=settings.build, depth=depth, blocking=True
            )
    except BaseException:
        for runner in runners.values():
            runner.close()
        raise
    return runners
