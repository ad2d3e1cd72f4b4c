"""``ferengine export-onnx``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ferengine.errors import UsageError


def export_onnx(
    out: Annotated[Path, typer.Option(metavar="ONNX", help="The .onnx file. Its manifest is written beside it.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Export the checkpoint.safetensors of ferengine train.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Convert a shipped model, by name, or a .onnx file with its manifest.")
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="Precision of the weights; inputs and outputs are float32. fp16 and int8 need --data."),
    ] = "fp32",
    data: Annotated[
        Path | None,
        typer.Option(
            help="FER-2013, or UTKFace for gender: check the file on real faces, fit the temperature, and measure the "
            "accuracy on PublicTest, or UTKFace's validation split."
        ),
    ] = None,
    everyday: Annotated[
        Path | None,
        typer.Option(help="The folder of wild_faces: fit a temperature under everyday on its validation faces."),
    ] = None,
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Measure also on PrivateTest, or UTKFace's test split: once, for the model that is kept."
        ),
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of UTKFace's crops.", show_default="the user's cache")
    ] = None,
    prior: Annotated[
        Literal["uniform", "data"],
        typer.Option(
            help="Prior that a checkpoint's export answers under: uniform, to which --prior of other commands adds one, or the "
            "class frequencies of its (first) training data."
        ),
    ] = "uniform",
    notes: Annotated[str, typer.Option(help="Notes for the manifest.")] = "",
) -> None:
    """Export a checkpoint to an ONNX file with its manifest.

    Or convert a model to another precision. Give exactly one of --checkpoint and --model. The file is compared with its source
    before it is written.
    """
    if (checkpoint is None) == (model is None):
        raise UsageError("give exactly one of --checkpoint and --model")
    if private and data is None:
        raise UsageError("--private needs --data")
    if checkpoint is not None and checkpoint.suffix != ".safetensors":
        raise UsageError(f"{checkpoint} is not a checkpoint of ferengine train: those end in .safetensors")
    from ferengine_tools.exporting.export import export, int8_loss

    source = checkpoint if model is None else model
    assert source is not None
    manifest, agreement = export(
        source, out, precision=precision, data=data, private=private, notes=notes, cache=cache, everyday=everyday, prior=prior
    )
    print(f"{out}: {manifest.parameters} parameters, {manifest.precision}, sha256 {manifest.sha256}")
    seen = "faces" if data is not None else "images of noise (faces with --data)"
    print(f"  against its source on {agreement.faces} {seen}: largest logit difference {agreement.difference:.2g}, "
          f"same label on {100 * agreement.agreement:.2f} %")  # fmt: skip
    for split, accuracy in (("validation", manifest.accuracy.public), ("final", manifest.accuracy.private)):
        if accuracy is not None:
            print(f"  accuracy on the {split} split: {100 * accuracy:.2f} %")
    loss = int8_loss(manifest, model) if model is not None and manifest.precision == "int8" else None
    if loss is not None:
        print(f"  int8 loses {100 * loss:.2f} points of the validation split")
