"""``ferengine explain``: what the network looked at in each face of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferengine.errors import ModelError, UsageError
from ferengine.models.manifest import Normalisation
from ferengine.models.priors import choose_prior
from ferengine.models.registry import DEFAULT, load_model
from ferengine.models.settings import Prior

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class _Subject:
    network: nn.Module
    labels: tuple[str, ...]
    size: int
    normalisation: Normalisation
    temperature: float
    prior: Prior | None


def from_model(model: str, prior: str | None = None) -> _Subject:
    """Load a shipped model or a ``.onnx`` file, under a class prior.

    Raises:
        ModelError: torch cannot rebuild it, or it has several heads or reads colours.
    """
    from ferengine_tools.networks.from_onnx import load_onnx

    manifest = load_model(model).manifest
    spec = manifest.input
    chosen = choose_prior(manifest, prior)
    if manifest.heads or spec.channels != 1:
        raise ModelError(
            f"{model} has named heads or reads colours: explain is for the networks of ferengine train, with one output and "
            "grey crops"
        )
    temperature = manifest.temperature_under(None if chosen is None else chosen.name)
    return _Subject(load_onnx(model), manifest.labels, spec.size, spec.normalisation, temperature, chosen)


def from_checkpoint(path: Path, network: str | None) -> _Subject:
    """Load a checkpoint of ``ferengine train``.

    Raises:
        ModelError: It is damaged, or of another network than ``network``.
        UsageError: It has two heads.
    """
    from ferengine_tools.training.dataset import MEAN, STD
    from ferengine_tools.training.origin import restored

    state, module = restored(path, network)
    if state["settings"]["task"] == "both":
        raise UsageError(f"{path} has two heads: train expression or gender alone to have it explained")
    return _Subject(module, tuple(state["labels"]), 48, Normalisation(MEAN, STD), 1.0, None)


def explain(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="A photograph or, with --crop, a face that is cropped already.")
    ],
    model: Annotated[
        str | None, typer.Option(help="A shipped model's name, or a .onnx file with its manifest.", show_default=DEFAULT)
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Explain weights of ferengine train instead; --model then names the network that they must be of."),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Class prior of the model: uniform, fer2013, everyday, or a .json or .toml file with the probability of each "
            "label.",
            show_default="the model's own choice",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Write this image.", show_default="IMAGE_explained.png, in this folder")
    ] = None,
    crop: Annotated[bool, typer.Option("--crop", help="The image is one face, cropped square as those of FER-2013.")] = False,
    label: Annotated[
        str | None, typer.Option(help="Explain this class.", show_default="the one that the network chose for each face")
    ] = None,
    min_face: Annotated[float, typer.Option(help="Minimum size of a face, pixels.")] = 40.0,
    max_faces: Annotated[int, typer.Option(metavar="N", help="Explain the N most confident faces.")] = 8,
) -> None:
    """Show what the network looked at in each face of an image.

    The image is overlaid with Grad-CAM and guided back-propagation. Needs the train extra.
    """
    from ferengine.classification.light import lightened
    from ferengine_tools.evaluation.metrics import softmax
    from ferengine_tools.explanation.attribution import explain as attribute
    from ferengine_tools.explanation.faces import cut_face, find_faces
    from ferengine_tools.explanation.figure import draw_explanation

    if checkpoint is not None and prior is not None:
        raise UsageError("--prior is for models: a checkpoint is explained as its network answers")
    subject = from_model(model or DEFAULT, prior) if checkpoint is None else from_checkpoint(checkpoint, model)
    if label is not None and label not in subject.labels:
        raise UsageError(f"--label {label!r} is not a class of the model: {', '.join(subject.labels)}")
    target = None if label is None else subject.labels.index(label)
    size = subject.size
    faces = cut_face(image, size) if crop else find_faces(image, size, min_face=min_face, max_faces=max_faces)
    faces = replace(faces, crops=lightened(faces.crops))
    batch = subject.normalisation.of(faces.crops[:, None])
    log_prior = None if subject.prior is None else subject.prior.logarithm()
    shift = None if log_prior is None else subject.temperature * log_prior
    attribution = attribute(subject.network, batch, target, shift)
    scores = softmax(attribution.logits, subject.temperature, log_prior)
    named = [f"{subject.labels[each]} {100 * scores[row, each]:.0f} %" for row, each in enumerate(attribution.targets.tolist())]
    titles = named if len(named) == 1 else [f"{number}: {name}" for number, name in enumerate(named, 1)]
    out = out or Path(f"{image.stem}_explained.png")
    draw_explanation(out, faces, attribution, titles)
    under = [] if subject.prior is None else [f"class prior: {subject.prior.name}"]
    print("\n".join([*titles, *under, f"written to {out}"]))
