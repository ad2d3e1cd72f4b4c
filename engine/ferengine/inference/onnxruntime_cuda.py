"""ONNX Runtime's CUDA provider: where it finds CUDA's libraries, and how it computes."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout

log = logging.getLogger(__name__)

CUDA = "CUDAExecutionProvider"


def with_options(provider: str) -> tuple[str, dict[str, str]]:
    """What a session's ``providers`` takes for ``provider``. CUDA's computes float32 as such, not with TF32's mantissas of 10
    bits as unasked; its libraries are loaded from their wheels first (``onnxruntime-gpu[cuda,cudnn]``), where they are."""
    if provider != CUDA:
        return provider, {}
    import onnxruntime

    said = io.StringIO()
    with redirect_stdout(said):  # it prints what it does not find, which is not for the standard output
        onnxruntime.preload_dlls()
    if said.getvalue():
        log.debug("ONNX Runtime: %s", said.getvalue().strip())
    return CUDA, {"use_tf32": "0"}
