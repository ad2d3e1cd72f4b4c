"""MTCNN's three networks as ONNX, made once from the weight files of the ``mtcnn`` package (MIT licence).

The files are read without importing that package, whose import needs TensorFlow. They are pickles of joblib, which can
run code when read: their SHA-256 is pinned and checked before anything is unpickled, and only arrays are.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ferengine.detection import network_cache
from ferengine.detection.joblib_arrays import JoblibArrays
from ferengine.errors import MissingDependencyError, ModelError
from ferengine.pip_hint import pip_install

if TYPE_CHECKING:
    from ferengine.detection.mtcnn_graphs import NetworkName

PACKAGE, VERSION = "mtcnn", "1.0.0"
SHA256: dict[NetworkName, str] = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
_REVISION = 2  # raised whenever the graphs that mtcnn_graphs makes change


def mtcnn_networks() -> dict[NetworkName, bytes]:
    """The ONNX files of "pnet", "rnet" and "onet", from the user's cache or made now.

    Their input "input" is float32 (n, 3, H, W), RGB, (intensity - 127.5) / 128; H and W are free for P-Net (12 and more), 24
    for R-Net, 48 for O-Net. Their outputs are "probabilities" of a face, (n, 1, rows, columns) for P-Net, else (n,); "boxes",
    what to add to x1, y1, x2, y2 in units of the window, (n, 4, rows, columns) or (n, 4); of O-Net alone "landmarks",
    (n, 10), five x then five y in units of the window.

    Raises:
        MissingDependencyError: The package is not installed.
        ModelError: Its files are not the pinned ones.
    """
    return {name: _network(name) for name in SHA256}


def cache_folder() -> Path | None:
    """Where the networks are kept in the user's cache; None where there is no home."""
    return network_cache.cache_folder("mtcnn", str(_REVISION), *SHA256.values())


def read_weights(name: NetworkName) -> list[NDArray[np.float32]]:
    """The arrays of one network, float32, in the order of its layers.

    Raises:
        MissingDependencyError: As ``mtcnn_networks``.
        ModelError: As ``mtcnn_networks``.
    """
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"MTCNN's weights come with the package {PACKAGE}: {pip_install(f'{PACKAGE}=={VERSION}')}"
        ) from None
    path = Path(str(package.locate_file(f"{PACKAGE}/assets/weights/{name}.lz4")))
    hint = pip_install("--force-reinstall", "--no-deps", f"{PACKAGE}=={VERSION}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} of {PACKAGE} {package.version} cannot be read ({error.strerror}): {hint}") from None
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise ModelError(
            f"{path} of {PACKAGE} {package.version} is not the file of version {VERSION} (its SHA-256 differs) and was "
            f"not opened: {hint}"
        )
    import lz4.frame

    return [np.asarray(array, np.float32) for array in JoblibArrays(lz4.frame.decompress(data)).load()]


def _network(name: NetworkName) -> bytes:
    def build() -> bytes:
        from ferengine.detection.mtcnn_graphs import build_network

        return build_network(name, read_weights(name))

    return network_cache.cached_network(cache_folder(), name, build)
