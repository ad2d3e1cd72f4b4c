"""Make a model that was trained without a prior answer under a uniform one, without training.

Its logits are moved by - temperature * log frequencies of its training data, in the bias of the last layer: under the prior of
those frequencies, softmax(logits / temperature + log prior), it then answers exactly as before. Where an int8 model has a
quantised output, the shift is added after that, in float. In such models every hundredth face has two largest logits that are
equal, and the first one wins; the shift is smaller by 0.0002 from one class to the next, so that rounding does not decide
otherwise.

``python -m ferengine_tools.exporting.fold_prior OLD.onnx NEW.onnx --data FER2013 --everyday WILD_FACES`` writes the model with
its manifest.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ferengine.cli.command import exit_code, make_command
from ferengine.errors import ModelError, UsageError
from ferengine.inference.conversion import is_quantised
from ferengine.models.registry import load_model
from ferengine_tools.evaluation.priors import default_prior, known_priors, log_prior
from ferengine_tools.exporting.export import self_test, write_manifest, written_model
from ferengine_tools.exporting.metrics import measured

_TIE = 2e-4


def fold_prior(model: bytes, shift: NDArray[np.float64]) -> bytes:
    """Add ``shift`` to the logits of an ONNX model.

    Args:
        model: The model. It has one output, float32 (N, C).
        shift: (C,).

    Returns:
        The model with another bias of its last layer where that is a Gemm in float, else with an addition at its end.

    Raises:
        ModelError: The model has several outputs.
    """
    proto = onnx.load_from_string(model)
    graph = proto.graph
    if len(graph.output) != 1:
        raise ModelError(f"the model has {len(graph.output)} outputs: a prior is folded into one")
    name, shift32 = graph.output[0].name, shift.astype(np.float32)
    last = next(node for node in graph.node if name in node.output)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = [node for node in graph.node if set(last.input[2:3]) & set(node.input)]
    beta = next((value.f for value in last.attribute if value.name == "beta"), 1.0)
    bias = constants.get(last.input[2]) if last.op_type == "Gemm" and len(last.input) == 3 else None
    if bias is not None and beta == 1 and len(readers) == 1 and bias.data_type == onnx.TensorProto.FLOAT:
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + shift32, bias.name))
    else:
        before = f"{name}_before_prior"
        last.output[list(last.output).index(name)] = before
        graph.initializer.append(numpy_helper.from_array(shift32, "prior_shift"))
        graph.node.append(helper.make_node("Add", [before, "prior_shift"], [name], name="prior"))
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def convert(
    source: Annotated[Path, typer.Argument(metavar="OLD", help="The .onnx file, with its manifest beside it.")],
    out: Annotated[
        Path, typer.Argument(metavar="NEW", help="The .onnx file to write. Of an int8 variant, convert the fp32 file first.")
    ],
    data: Annotated[Path, typer.Option(help="FER-2013; UTKFace for a model of gender.")],
    everyday: Annotated[Path | None, typer.Option(help="wild_faces; not needed for a model of gender.")] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of UTKFace's crops.", show_default="the user's cache")
    ] = None,
) -> None:
    """Make a model that was trained without a prior answer under a uniform one.

    Under the frequencies of its training data it answers as before. The new file and its manifest are written, calibrated and
    measured.
    """
    if out.suffix != ".onnx":
        raise UsageError(f"{out} must end in .onnx; its manifest is written beside it, as .json")
    loaded = load_model(source)
    manifest = loaded.manifest
    if manifest.priors:
        raise UsageError(f"{source} names priors: it answers under a uniform one already")
    if manifest.task == "expression" and everyday is None:
        raise UsageError("--everyday is needed for a model of expression")
    frequencies = log_prior("fer2013" if manifest.task == "expression" else "utkface", manifest.labels)
    shift = -manifest.temperature * (frequencies - frequencies.mean())
    if is_quantised(loaded.onnx):
        shift = shift - _TIE * np.arange(len(shift))
    changed = fold_prior(loaded.onnx, shift)
    manifest = manifest.model_copy(
        update={
            "name": out.stem,
            "file": out.name,
            "sha256": hashlib.sha256(changed).hexdigest(),
            "source_sha256": None if manifest.source_sha256 is None else _digest_of_fp32(out),
            "priors": known_priors(manifest.labels),
            "prior": default_prior(manifest.task),
            "self_test": self_test(changed, manifest),
        }
    )
    with written_model(out) as beside:
        beside.write_bytes(changed)
        write_manifest(beside, manifest)
        write_manifest(beside, measured(beside, manifest, data, private=True, cache=cache, everyday=everyday))


def _digest_of_fp32(variant: Path) -> str:
    """The SHA-256 of the converted model beside an int8 variant."""
    model = variant.with_name(variant.name.replace("-int8", ""))
    if model == variant or not model.is_file():
        raise UsageError(f"{variant} is to be an int8 variant, and {model} is no fp32 model: convert that first")
    return hashlib.sha256(model.read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(convert), "python -m ferengine_tools.exporting.fold_prior", arguments)


if __name__ == "__main__":
    sys.exit(main())
