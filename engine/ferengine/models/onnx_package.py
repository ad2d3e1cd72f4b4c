"""The one place where the package ``onnx`` is imported, so that its absence produces an actionable error.

A run on a CPU needs it for nothing: ONNX Runtime reads the models that ship. What makes or changes networks does.
"""

from __future__ import annotations

from ferengine.errors import MissingDependencyError
from ferengine.pip_hint import install_extra

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ModuleNotFoundError as error:
    if error.name != "onnx":
        raise
    raise MissingDependencyError(
        "making a network (for a GPU, for RetinaFace, or in another precision) needs the package onnx: "
        f"{install_extra('onnx')} (the extras train and trt bring it, too)"
    ) from None

__all__ = ["TensorProto", "helper", "numpy_helper", "onnx"]
