"""A model's int8 form: which file it is, and on which processors it runs in the model's place.

ONNX Runtime multiplies int8 faster than float32 on every x86 processor with AVX2, but only VNNI's instructions sum without
saturating: without them the default model's form is faster too and loses some points of accuracy (docs/models.md).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from ferengine.errors import ModelError
from ferengine.gpu.engine_file import Precision
from ferengine.models.registry import Model, load_model

WantedPrecision = Literal["auto"] | Precision
"""``auto``: fp16 in TensorRT; on a CPU int8 where it is exact and the model has such a form, else fp32."""

_SUFFIX = "-int8.onnx"
_VNNI = {"avx512_vnni", "avx_vnni"}
_CPUINFO = Path("/proc/cpuinfo")


@cache
def has_vnni() -> bool:
    """Whether this processor has VNNI, of AVX-512 or of AVX, and the kernel lets it be used."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _VNNI.isdisjoint(flags)


def int8_form(model: Model) -> Model | None:
    """What lies beside the model's file as ``NAME-int8.onnx``, if it was made from that very file.

    Raises ModelError where it is damaged.
    """
    path = model.path.with_name(model.path.stem + _SUFFIX)
    if model.manifest.precision != "fp32" or not path.is_file():
        return None
    form = load_model(path)
    return form if form.manifest.source_sha256 == model.manifest.sha256 else None


def form_for_cpu(model: Model, precision: WantedPrecision) -> Model:
    """What runs on this CPU where ``model`` was asked for in ``precision``; fp16 is for GPUs and stands for fp32.

    Raises ModelError for int8 where ``model`` has no such form.
    """
    if precision == "int8" or (precision == "auto" and has_vnni()):
        form = int8_form(model)
        if form is not None:
            return form
        if precision == "int8" and model.manifest.precision != "int8":
            name = model.path.stem
            raise ModelError(
                f"{model.manifest.name} has no int8 form made from it beside {model.path.name}: ferengine export-onnx --model "
                f"{model.path} --precision int8 --data FER2013 --out {model.path.with_name(name + _SUFFIX)}"
            )
    return model
