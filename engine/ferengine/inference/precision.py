"""A model's int8 variant: which file it is, and on which processors it runs in the model's place.

ONNX Runtime multiplies int8 faster than float32 on x86 processors with AVX2 (the page "Models" of the documentation). Only a
variant whose manifest shows that it loses less than 0.3 points of accuracy is taken unasked.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from ferengine.errors import ModelError
from ferengine.models.manifest import Manifest
from ferengine.models.registry import Model, load_model
from ferengine.models.settings import PrecisionSetting

MAX_ACCURACY_LOSS = 0.003
"""Fraction of correct labels, on the split that models are chosen on; a variant that loses as much does not run unasked."""

_SUFFIX = "-int8.onnx"
_CPUINFO = Path("/proc/cpuinfo")


@cache
def int8_is_faster() -> bool:
    """Whether int8 is known to run faster than float32 on this processor: with AVX2, with and without VNNI."""
    return "avx2" in _processor_flags()


def _processor_flags() -> Sequence[str]:
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return ()
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ())


def int8_variant(model: Model) -> Model | None:
    """The int8 variant of a model: ``NAME-int8.onnx`` beside its file, with a manifest, made from that very file.

    Args:
        model: A model in fp32; one of another precision has no variant.

    Returns:
        The variant, or None where there is none.

    Raises:
        ModelError: The variant is damaged, takes other crops than the model or has other classes.
    """
    path = model.path.with_name(model.path.stem + _SUFFIX)
    if model.manifest.precision != "fp32" or not path.is_file() or not path.with_suffix(".json").is_file():
        return None
    variant = load_model(path)
    if variant.manifest.source_sha256 != model.manifest.sha256:
        return None
    described, expected = _besides_temperatures(variant.manifest), _besides_temperatures(model.manifest)
    for what in ("task", "labels", "heads", "input", "priors", "prior"):
        if getattr(described, what) != getattr(expected, what):
            raise ModelError(f"{path} was made from {model.path.name}, but its {what} differs: export it again, or remove it")
    if variant.manifest.precision != "int8":
        raise ModelError(f"{path} is no int8 model, but {variant.manifest.precision}: export it again, or remove it")
    return variant


def _besides_temperatures(manifest: Manifest) -> Manifest:
    """The same with no temperatures in its heads: each file has its own, which are fitted on what it gives."""
    heads = tuple(head.model_copy(update={"temperature": 1.0, "temperatures": {}}) for head in manifest.heads)
    return manifest.model_copy(update={"heads": heads})


def variant_for_cpu(model: Model, precision: PrecisionSetting, report: Callable[[str], None] | None = None) -> Model:
    """What runs on this CPU in the place of a model.

    Args:
        model: The model that was requested.
        precision: ``int8`` takes the int8 variant. ``auto`` does so where ``int8_is_faster`` and both manifests show that the
            variant loses less than ``MAX_ACCURACY_LOSS``. ``fp32`` and ``fp16``, which is for GPUs, take the model.
        report: Called with one sentence, which holds the hint, where ``auto`` does not take a variant for its loss.

    Returns:
        The model or its variant.

    Raises:
        ModelError: ``int8`` is requested and the model has no such variant, or ``int8_variant`` raises.
    """
    if precision == "int8" or (precision == "auto" and int8_is_faster()):
        variant = int8_variant(model)
        if variant is not None:
            reason = unavailable_reason(model, variant) if precision == "auto" else None
            if reason is None:
                return variant
            if report is not None:
                report(
                    f"{variant.path.name} does not run in {model.path.name}'s place: {reason}; --precision int8 takes it anyway"
                )
        elif precision == "int8" and model.manifest.precision != "int8":
            raise ModelError(f"{model.manifest.name} has no int8 variant: {_hint(model)}")
    return model


def unavailable_reason(model: Model, variant: Model) -> str | None:
    """Why a variant does not run unasked in the place of its model.

    Returns:
        Words that follow a colon; None where both manifests show that it loses less than ``MAX_ACCURACY_LOSS``.
    """
    before, after = model.manifest.accuracy.public, variant.manifest.accuracy.public
    if before is None or after is None:
        unmeasured = model if before is None else variant
        return f"{unmeasured.path.name} has no accuracy in its manifest (ferengine export-onnx measures it with --data)"
    loss = round(before - after, 6)  # what is left of the subtraction beyond the manifests' digits is no loss
    if loss < MAX_ACCURACY_LOSS:
        return None
    return f"it loses {100 * loss:.2f} points of accuracy, and {100 * MAX_ACCURACY_LOSS:.1f} are too many"


def _hint(model: Model) -> str:
    if model.ships:
        return "leave the precision at auto"
    data = "UTKFACE" if model.manifest.task == "gender" else "FER2013"
    out = model.path.with_name(model.path.stem + _SUFFIX)
    words = ["ferengine", "export-onnx", "--model", str(model.path), "--precision", "int8", "--data", data, "--out", str(out)]
    return shlex.join(words)
