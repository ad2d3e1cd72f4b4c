"""The one place where OpenCV is imported, so that a missing system library produces an actionable error."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from ferengine.errors import MissingDependencyError
from ferengine.pip_hint import pip_install

_DEBIAN_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libX11.so.6": "libx11-6",
    "libxcb.so.1": "libxcb1",
}


def explain_import_error(error: ImportError) -> str:
    """Say what to install after ``import cv2`` failed with ``error``."""
    install = pip_install("opencv-contrib-python<5")
    if isinstance(error, ModuleNotFoundError) and error.name == "cv2":
        return f"OpenCV is not installed: {install}"
    text = str(error)
    for library, package in _DEBIAN_PACKAGES.items():
        if library in text:
            packages = " ".join(dict.fromkeys((package, "libgl1", "libglib2.0-0")))
            return f"OpenCV cannot load {library}: install it (Debian and Ubuntu: apt-get install {packages})"
    return f"OpenCV cannot be imported ({text}): reinstall it with {install}"


def headless_package() -> str | None:
    """Return the name of the distribution of OpenCV without windows that is installed, or None if there is none."""
    for name in ("opencv-contrib-python-headless", "opencv-python-headless"):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return name
    return None


try:
    import cv2
except ImportError as error:
    raise MissingDependencyError(explain_import_error(error)) from error

__all__ = ["cv2", "explain_import_error", "headless_package"]
