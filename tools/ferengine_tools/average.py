"""Averages the weights of checkpoints, and measures their batch normalisation anew.

    python -m ferengine_tools.average a/checkpoint.safetensors=0.9 b/checkpoint.safetensors=0.1 \\
        --data FER-2013 [--data wild_faces] --out mean.safetensors

Checkpoints that were fine-tuned from one another lie in one basin, where the mean of their weights often generalises better
than each (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, section 3.2 on the
statistics of the batch normalisation; Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). One checkpoint
alone is measured anew, too: on the faces as they are, not as they were augmented.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from ferengine.cli.command import exit_code, make_command
from ferengine.errors import UsageError
from ferengine_tools.files import make_folder
from ferengine_tools.training.checkpoint import save_checkpoint
from ferengine_tools.training.config import BEFORE_PRIORS, MAX_THREADS, TrainConfig, portable
from ferengine_tools.training.dataset import load_training_set, normalise
from ferengine_tools.training.origin import restored

_ALIKE = ("network", "labels", "priors")
_SETTINGS: dict[str, Any] = {"task": "expression", "labels": "fer2013", **BEFORE_PRIORS}
"""What checkpoints must have in common; of settings the values in those that are older than the setting."""

_BATCH = 256


def average(checkpoints: Sequence[tuple[Path, float]]) -> tuple[dict[str, Any], nn.Module]:
    """Average the (already averaged) weights of checkpoints.

    Args:
        checkpoints: Files and their weights, above 0; only their ratios count.

    Returns:
        The state of the first checkpoint with the mean for its weights, and the network.

    Raises:
        ModelError: One is damaged.
        UsageError: They are of different networks, tasks, labels or class frequencies, or have these in them or not.
    """
    (first, _), *_ = checkpoints
    state, network = restored(first)
    total = sum(weight for _, weight in checkpoints)
    mean = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in network.state_dict().items()}
    for path, weight in checkpoints:
        other, loaded = restored(path)
        for name in _ALIKE:
            if other.get(name) != state.get(name):
                raise UsageError(f"{path} and {first} cannot be averaged: they differ in their {name}")
        for name, usual in _SETTINGS.items():
            if other["settings"].get(name, usual) != state["settings"].get(name, usual):
                raise UsageError(f"{path} and {first} cannot be averaged: they were trained with another {name}")
        for key, value in loaded.state_dict().items():
            mean[key] += weight / total * value
    network.load_state_dict({key: mean[key].to(value.dtype) for key, value in network.state_dict().items()})
    return {**state, "average": network.state_dict()}, network


def measure_normalisation(network: nn.Module, images: Tensor, margin: int = 0) -> None:
    """Give every batch normalisation the mean and variance that its inputs have over a set of images.

    Args:
        network: What is changed; it is left in ``eval`` mode.
        images: uint8 (N, 48 + 2 ``margin``, 48 + 2 ``margin``).
        margin: Pixels around the crop.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    with torch.inference_mode():
        for batch in images.split(_BATCH):
            network(normalise(batch, margin))
    network.eval()


def _weighted(text: str) -> tuple[Path, float]:
    path, _, weight = text.rpartition("=")
    try:
        number = float(weight) if path else 1.0
    except ValueError:
        path, number = text, 1.0
    if not 0 < number < float("inf"):
        raise UsageError(f"{text}: a weight is a number above 0")
    return Path(path or text), number


def average_checkpoints(
    checkpoint: Annotated[list[str], typer.Argument(metavar="CHECKPOINT[=WEIGHT]...", help="What ferengine train wrote.")],
    data: Annotated[list[Path], typer.Option(help="The data that they were trained on, as for ferengine train.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The new checkpoint, a .safetensors file.")],
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of torch.")] = 1,
) -> None:
    """Average the weights of checkpoints, and measure their batch normalisation anew."""
    if out.suffix != ".safetensors":
        raise UsageError(f"{out} must end in .safetensors")
    if out.exists():
        raise UsageError(f"{out} exists: name another file")
    torch.set_num_threads(threads)
    weighted = [_weighted(text) for text in checkpoint]
    state, network = average(weighted)
    if state["settings"].get("task") == "both":
        raise UsageError(f"{checkpoint[0]} has two heads: only networks of one task are averaged")
    alike = {name: state["settings"][name] for name in ("task", "labels", "without_copies") if name in state["settings"]}
    faces = load_training_set(TrainConfig(state["network"], data[0], out.parent, tuple(data[1:]), **alike))
    if list(faces.labels) != list(state["labels"]):
        raise UsageError(f"{checkpoint[0]} knows {', '.join(state['labels'])}, and the data {', '.join(faces.labels)}")
    order = torch.randperm(len(faces.training), generator=torch.Generator().manual_seed(0))  # so that batches are alike
    measure_normalisation(network, faces.images[faces.training[order]], faces.margin)
    make_folder(out.parent)
    notes = " ".join(filter(None, (state.get("notes"), _notes(weighted, len(order)))))
    save_checkpoint(out, {**state, "average": network.state_dict(), "notes": notes})
    counted = "1 checkpoint" if len(checkpoint) == 1 else f"{len(checkpoint)} checkpoints"
    print(f"{out}: {state['network']}, {counted}, normalised over {len(order)} faces")


def _notes(weighted: Sequence[tuple[Path, float]], faces: int) -> str:
    """How the weights came about, for the manifest of their export, whose command is that of the first checkpoint."""
    total = sum(weight for _, weight in weighted)
    parts = [f"{portable('start', str(path))} ({weight / total:.3g})" for path, weight in weighted]
    mean = f"The weights are the mean of {', '.join(parts)}. " if len(parts) > 1 else ""
    return f"{mean}The batch normalisation was measured anew on {faces} faces (python -m ferengine_tools.average)."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(average_checkpoints), "python -m ferengine_tools.average", arguments)


if __name__ == "__main__":
    sys.exit(main())
