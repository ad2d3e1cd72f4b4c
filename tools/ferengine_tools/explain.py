"""``ferengine explain``: what the network looked at in each face of a picture."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from ferengine.errors import UsageError
from ferengine.models.registry import DEFAULT, load_model
from ferengine_tools.evaluation.metrics import softmax
from ferengine_tools.explanation.attribution import explain
from ferengine_tools.explanation.faces import cut_face, find_faces
from ferengine_tools.explanation.picture import draw_explanation
from ferengine_tools.networks.from_onnx import load_onnx
from ferengine_tools.training.dataset import MEAN, STD
from ferengine_tools.training.origin import restored


@dataclass(frozen=True)
class _Subject:
    network: nn.Module
    labels: tuple[str, ...]
    size: int
    mean: float
    std: float
    temperature: float


def from_model(model: str) -> _Subject:
    """A shipped model or a ``.onnx`` file. Raises what ``load_onnx`` raises."""
    manifest = load_model(model).manifest
    spec = manifest.input
    return _Subject(load_onnx(model), manifest.labels, spec.size, spec.mean, spec.std, manifest.temperature)


def from_checkpoint(path: Path, network: str | None) -> _Subject:
    """A checkpoint of ``ferengine train``; of another ``network`` it is refused with a ModelError."""
    state, module = restored(path, network)
    if state["settings"]["task"] == "both":
        raise UsageError(f"{path} has two heads: train expression or gender alone to have it explained")
    return _Subject(module, tuple(state["labels"]), 48, MEAN, STD, 1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.checkpoint is None:
        subject = from_model(options.model or DEFAULT)
    else:
        subject = from_checkpoint(options.checkpoint, options.model)
    if options.label is not None and options.label not in subject.labels:
        raise UsageError(f"--label {options.label!r} is none of the model's: {', '.join(subject.labels)}")
    target = None if options.label is None else subject.labels.index(options.label)
    if options.crop:
        faces = cut_face(options.image, subject.size)
    else:
        faces = find_faces(options.image, subject.size, min_face=options.min_face, most=options.most)
    batch = (faces.crops[:, None].astype(np.float32) - np.float32(subject.mean)) / np.float32(subject.std)
    attribution = explain(subject.network, batch, target)
    scores = softmax(attribution.logits, subject.temperature)
    named = [
        f"{subject.labels[label]} {100 * scores[row, label]:.0f} %" for row, label in enumerate(attribution.targets.tolist())
    ]
    titles = named if len(named) == 1 else [f"{number}: {name}" for number, name in enumerate(named, 1)]
    out = options.out or Path(f"{options.image.stem}_explained.png")
    draw_explanation(out, faces, attribution, titles)
    print("\n".join([*titles, f"written to {out}"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferengine explain",
        description="Grad-CAM and guided back-propagation for each face of a picture, as overlays.",
    )
    add = parser.add_argument
    add("image", type=Path, help="a photograph, or with --crop a face that is cut already")
    add("--model", help=f"a shipped model's name, or a .onnx file with its manifest (default {DEFAULT})")
    add("--checkpoint", type=Path, help="weights of ferengine train instead; --model then names the network it must be of")
    add("--out", type=Path, metavar="PNG", help="the picture to write (default IMAGE_explained.png, in this folder)")
    add("--crop", action="store_true", help="the picture is one face, cut square as FER-2013's are")
    add("--label", help="the class to explain (default: the one that the network chose for each face)")
    add("--min-face", type=float, default=40.0, help="smallest face to look for, pixels (default 40)")
    add("--most", type=int, default=8, metavar="N", help="explain the N surest faces (default 8)")
    return parser


if __name__ == "__main__":
    main()
