"""A model's int8 form: which file it is, and on which processors it runs in the model's place.

ONNX Runtime multiplies int8 faster than float32 on every x86 processor with AVX2, but only VNNI's instructions sum without
saturating: without them the answers are others, and the default model loses more than 0.3 points (docs/models.md). And only a
form whose manifest shows that it loses less than that is taken unasked.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

from ferengine.errors import ModelError
from ferengine.inference.tensorrt.engine_file import Precision
from ferengine.models.registry import Model, load_model

WantedPrecision = Literal["auto"] | Precision
"""``auto``: fp16 in TensorRT; on a CPU int8 where it is exact and the model has a form that loses little, else fp32."""

BEARABLE_LOSS = 0.003
"""Share of correct labels on the split to choose on; a form that loses as much or more does not run unasked."""

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
    """What lies beside the model's file as ``NAME-int8.onnx``, with a manifest, if it was made from that very file.

    Raises ModelError where it is damaged, and where it reads other crops or names other classes than the model does.
    """
    path = model.path.with_name(model.path.stem + _SUFFIX)
    if model.manifest.precision != "fp32" or not path.is_file() or not path.with_suffix(".json").is_file():
        return None
    form = load_model(path)
    if form.manifest.source_sha256 != model.manifest.sha256:
        return None
    for what in ("task", "labels", "input"):
        if getattr(form.manifest, what) != getattr(model.manifest, what):
            raise ModelError(f"{path} was made from {model.path.name} and has another {what}: export it again, or remove it")
    if form.manifest.precision != "int8":
        raise ModelError(f"{path} is no int8 model, but {form.manifest.precision}: export it again, or remove it")
    return form


def form_for_cpu(model: Model, precision: WantedPrecision, tell: Callable[[str], None] | None = None) -> Model:
    """What runs on this CPU where ``model`` was asked for in ``precision``; fp16 is for GPUs and stands for fp32.

    ``auto`` takes the int8 form where the processor has VNNI and both manifests show that it loses less than
    ``BEARABLE_LOSS``; ``tell`` is told, in one sentence with the hint, why a form that is there is not taken for its loss.
    ``int8`` takes it in any case. Raises ModelError for int8 where ``model`` has no such form.
    """
    if precision == "int8" or (precision == "auto" and has_vnni()):
        form = int8_form(model)
        if form is not None:
            problem = form_obstacle(model, form) if precision == "auto" else None
            if problem is None:
                return form
            if tell is not None:
                tell(
                    f"{form.path.name} does not run in {model.path.name}'s place: {problem}; "
                    "--precision int8 takes it all the same"
                )
        elif precision == "int8" and model.manifest.precision != "int8":
            raise ModelError(f"{model.manifest.name} has no int8 form: {_hint(model)}")
    return model


def form_obstacle(model: Model, form: Model) -> str | None:
    """Why ``form`` does not run unasked in the place of ``model``, in words that follow a colon; ``None`` where both manifests
    show that it loses less than ``BEARABLE_LOSS``."""
    before, after = model.manifest.accuracy.public, form.manifest.accuracy.public
    if before is None or after is None:
        unmeasured = model if before is None else form
        return f"{unmeasured.path.name} has no accuracy in its manifest (ferengine export-onnx measures it with --data)"
    loss = round(before - after, 6)  # what is left of the subtraction beyond the manifests' digits is no loss
    if loss < BEARABLE_LOSS:
        return None
    return f"it loses {100 * loss:.2f} points of accuracy, and {100 * BEARABLE_LOSS:.1f} are too many"


def _hint(model: Model) -> str:
    if model.ships:
        return "leave the precision at auto"
    data = "UTKFACE" if model.manifest.task == "gender" else "FER2013"
    out = model.path.with_name(model.path.stem + _SUFFIX)
    words = ["ferengine", "export-onnx", "--model", str(model.path), "--precision", "int8", "--data", data, "--out", str(out)]
    return shlex.join(words)
