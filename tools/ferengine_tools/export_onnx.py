"""``ferengine export-onnx``: a checkpoint becomes an ONNX file and its manifest."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch

from ferengine.classify.backend import OrtBackend
from ferengine.errors import ModelError
from ferengine.models.manifest import Accuracy, InputSpec, Manifest, Training
from ferengine_tools.networks import create_network
from ferengine_tools.train import MEAN, STD
from ferengine_tools.training.checkpoint import load_checkpoint

INTENDED_USE = (
    "Perceived facial expression in video, for research and interaction. It reads what a face shows, not what a person "
    "feels, and must not be used to infer emotions at work or in education (EU AI Act, article 5)."
)
_TOLERANCE = 1e-3


def export(checkpoint: Path, out: Path, training: Training, accuracy: Accuracy) -> Manifest:
    """Write ``out`` (opset 17, dynamic batch, batch normalisation folded in) and its manifest beside it.

    The file is kept only if ONNX Runtime gives torch's logits within 1e-3. Raises ModelError otherwise.
    """
    state = load_checkpoint(checkpoint)
    network = create_network(state["network"], len(state["labels"]))
    network.load_state_dict(state["average"])
    network.eval()
    data = to_onnx(network)
    batch = np.random.default_rng(0).normal(size=(16, 1, 48, 48)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(batch)).numpy()
    difference = float(np.abs(OrtBackend(data).run(batch) - expected).max())
    if difference > _TOLERANCE:
        raise ModelError(f"the exported network differs from torch's by {difference:.2g} in its logits: nothing written")
    manifest = Manifest(
        name=out.stem,
        file=out.name,
        sha256=hashlib.sha256(data).hexdigest(),
        network=state["network"],
        parameters=sum(p.numel() for p in network.parameters()),
        labels=tuple(state["labels"]),
        input=InputSpec(size=48, mean=MEAN, std=STD),
        training=training,
        accuracy=accuracy,
        licence="MIT (the weights; FER-2013, which they were trained on, is for research)",
        intended_use=INTENDED_USE,
    )
    out.write_bytes(data)
    out.with_suffix(".json").write_text(json.dumps(manifest.to_json(), indent=2) + "\n")
    return manifest


def to_onnx(network: torch.nn.Module) -> bytes:
    """Input "input" (N, 1, 48, 48), output "logits" (N, classes), float32."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the TorchScript exporter is called deprecated, but needs no further package
        torch.onnx.export(
            network, (torch.zeros(1, 1, 48, 48),), buffer, opset_version=17, input_names=["input"],
            output_names=["logits"], dynamic_axes={"input": {0: "n"}, "logits": {0: "n"}}, dynamo=False,
        )  # fmt: skip
    return buffer.getvalue()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine export-onnx", description=__doc__)
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="the .onnx file; its manifest is written beside it")
    parser.add_argument("--command", required=True, help="the training command, for the manifest")
    parser.add_argument("--epochs", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--machine", default="2 CPU cores")
    parser.add_argument("--notes", default="")
    parser.add_argument("--public", type=float, help="measured accuracy on PublicTest, 0 to 1")
    parser.add_argument("--private", type=float, help="measured accuracy on PrivateTest, 0 to 1")
    options = parser.parse_args(arguments)
    training = Training(command=options.command, dataset="FER-2013 with FER+ votes", split="Training",
                        epochs=options.epochs, seed=options.seed, machine=options.machine, notes=options.notes)  # fmt: skip
    accuracy = Accuracy(public=options.public, private=options.private, command="ferengine evaluate --model dscnn "
                        "--data FER2013 --split private")  # fmt: skip
    manifest = export(options.checkpoint, options.out, training, accuracy)
    print(f"{options.out}: {manifest.parameters} parameters, sha256 {manifest.sha256}")


if __name__ == "__main__":
    main()
