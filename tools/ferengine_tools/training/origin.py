"""Networks with their weights, from a checkpoint or from a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ferengine.errors import ModelError, UsageError
from ferengine.models.registry import load_model
from ferengine_tools.networks import create_network
from ferengine_tools.networks.from_onnx import load_onnx
from ferengine_tools.training.checkpoint import load_checkpoint
from ferengine_tools.training.dataset import MEAN, STD


def load_network(source: str | Path, labels: Sequence[str]) -> tuple[str, nn.Module]:
    """Name and network, in ``eval`` mode, of a checkpoint (``.safetensors``: its averaged weights), of a shipped model or of an
    ``.onnx`` file.

    Raises UsageError where its classes are not ``labels`` or it reads other crops than training gives, ModelError for a damaged
    checkpoint, and what ``load_checkpoint`` and ``load_onnx`` raise.
    """
    if str(source).endswith(".safetensors"):
        name, known, network = _of_checkpoint(Path(source))
    else:
        manifest = load_model(source).manifest
        name, known = manifest.network, manifest.labels
        if (manifest.input.size, manifest.input.mean, manifest.input.std) != (48, MEAN, STD):
            raise UsageError(f"{source} reads crops of another size, mean or deviation than 48, {MEAN} and {STD}")
        network = load_onnx(source)
    if known != tuple(labels):
        raise UsageError(f"{source} knows {', '.join(known)}, where {', '.join(labels)} are wanted")
    return name, network.eval()


def _of_checkpoint(path: Path) -> tuple[str, tuple[str, ...], nn.Module]:
    state = load_checkpoint(path)
    try:
        name, known = str(state["network"]), tuple(state["labels"])
        network = create_network(name, len(known))
        network.load_state_dict(state["average"])
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"{path} is not a whole checkpoint of ferengine train: {error}") from None
    return name, known, network
