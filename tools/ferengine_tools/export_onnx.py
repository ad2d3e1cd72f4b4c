"""``ferengine export-onnx``: a checkpoint becomes an ONNX file and its manifest."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from ferengine.classify.backend import OrtBackend
from ferengine.classify.classifier import Classifier
from ferengine.errors import ModelError, UsageError
from ferengine.models.manifest import Accuracy, InputSpec, Manifest, Training
from ferengine.models.self_test import self_test_crops
from ferengine_tools.data.fer2013 import Split
from ferengine_tools.evaluate import evaluate
from ferengine_tools.networks import create_network, deployed
from ferengine_tools.training.checkpoint import load_checkpoint
from ferengine_tools.training.dataset import MEAN, STD, normalise

INTENDED_USE = {
    "expression": "Perceived facial expression in video, for research and interaction. It reads what a face shows, not what a "
    "person feels, and must not be used to infer emotions at work or in education (EU AI Act, article 5).",
    "gender": "Perceived gender presentation, for research on groups. It reads how a face looks to others, not who a person "
    "is, knows two classes only, and must not decide anything about a person.",
}
_TOLERANCE = 1e-3


def export(
    checkpoint: Path, out: Path, *, data: Path | None = None, splits: Sequence[Split] = ("public",), notes: str = ""
) -> Manifest:
    """Write ``out`` (opset 17, dynamic batch, batch normalisation folded in) and its manifest beside it.

    How it was trained comes from the checkpoint; with ``data`` (FER-2013) the accuracy on ``splits`` is measured through
    the file itself. Raises ModelError, and leaves what is there, unless ONNX Runtime gives torch's logits within 1e-3.
    """
    state = load_checkpoint(checkpoint)
    network = create_network(state["network"], len(state["labels"]))
    network.load_state_dict(state["average"])
    network = deployed(network.eval())
    onnx = to_onnx(network)
    _compare(network, onnx)
    task = state["settings"]["task"]
    if task == "both":
        raise UsageError(f"{checkpoint} has two heads; the engine runs expression and gender as nets of their own")
    manifest = Manifest(
        name=out.stem,
        task=task,
        file=out.name,
        sha256=hashlib.sha256(onnx).hexdigest(),
        network=state["network"],
        parameters=sum(p.numel() for p in network.parameters()),
        mmac=round(multiply_adds(network) / 1e6, 2),
        labels=tuple(state["labels"]),
        input=InputSpec(size=48, mean=MEAN, std=STD),
        training=Training(
            command=state["command"],
            dataset=state["dataset"],
            split="Training",
            epochs=state["epoch"],
            seed=state["settings"]["seed"],
            machine=state["machine"],
            notes=" ".join(filter(None, (_progress(state["epoch"], state["settings"]["epochs"]), notes))),
        ),
        accuracy=Accuracy(),
        licence=f"MIT (the weights; {state['dataset'].split()[0]}, which they were trained on, is for research)",
        intended_use=INTENDED_USE[task],
        self_test=self_test_logits(onnx),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent) as folder:
        beside = Path(folder) / out.name
        beside.write_bytes(onnx)
        _write(beside, manifest)
        if data is not None:
            manifest = manifest.model_copy(update={"accuracy": _measure(beside, data, splits)})
            _write(beside, manifest)
        beside.replace(out)
        beside.with_suffix(".json").replace(out.with_suffix(".json"))
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


@torch.no_grad()
def multiply_adds(network: torch.nn.Module) -> int:
    """Of the convolutions and linear layers, for one face."""
    counts: list[int] = []

    def count(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        counts.append(output[0].numel() * weight[0].numel())

    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    network(torch.zeros(1, 1, 48, 48))
    for handle in handles:
        handle.remove()
    return sum(counts)


def self_test_logits(onnx: bytes) -> tuple[tuple[float, ...], ...]:
    """What the network says of the built-in synthetic faces, through ONNX Runtime."""
    crops = normalise(torch.from_numpy(self_test_crops(48))).numpy()
    return tuple(tuple(round(float(value), 5) for value in row) for row in OrtBackend(onnx).run(crops))


def _compare(network: torch.nn.Module, onnx: bytes) -> None:
    batch = np.random.default_rng(0).normal(size=(16, 1, 48, 48)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(batch)).numpy()
    difference = float(np.abs(OrtBackend(onnx).run(batch) - expected).max())
    if not difference <= _TOLERANCE:  # nor NaN
        raise ModelError(f"the exported network differs from torch's by {difference:.2g} in its logits: nothing written")


def _progress(done: int, planned: int) -> str:
    return "" if done >= planned else f"Stopped after {done} of {planned} epochs of the schedule."


def _measure(onnx: Path, data: Path, splits: Sequence[Split]) -> Accuracy:
    classifier = Classifier(onnx)
    measured = {split: round(evaluate(classifier, data, split).accuracy, 5) for split in splits}
    command = f"ferengine evaluate --model {onnx.stem} --data FER2013 --split {splits[-1]}"
    return Accuracy(public=measured.get("public"), private=measured.get("private"), command=command)


def _write(onnx: Path, manifest: Manifest) -> None:
    onnx.with_suffix(".json").write_text(json.dumps(manifest.to_json(), indent=2) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine export-onnx", description=__doc__)
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="the .onnx file; its manifest is written beside it")
    parser.add_argument("--data", type=Path, help="FER-2013: measure the accuracy on PublicTest for the manifest")
    parser.add_argument("--private", action="store_true", help="and on PrivateTest: once, for the model that is kept")
    parser.add_argument("--notes", default="", help="for the manifest")
    options = parser.parse_args(arguments)
    if options.private and options.data is None:
        parser.error("--private needs --data")
    splits: tuple[Split, ...] = ("public", "private") if options.private else ("public",)
    manifest = export(options.checkpoint, options.out, data=options.data, splits=splits, notes=options.notes)
    print(f"{options.out}: {manifest.parameters} parameters, sha256 {manifest.sha256}")
    for split, share in (("PublicTest", manifest.accuracy.public), ("PrivateTest", manifest.accuracy.private)):
        if share is not None:
            print(f"  {split}: {100 * share:.2f} %")


if __name__ == "__main__":
    main()
