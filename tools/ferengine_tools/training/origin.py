"""Networks with their weights, from a checkpoint or from a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ferengine.errors import UsageError
from ferengine.models.registry import load_model
from ferengine_tools.networks import create_network
from ferengine_tools.networks.from_onnx import load_onnx
from ferengine_tools.training.checkpoint import load_checkpoint


def load_network(source: str | Path, labels: Sequence[str]) -> tuple[str, nn.Module]:
    """Name and network, in ``eval`` mode, of a checkpoint (``.safetensors``: its averaged weights), of a shipped model or of an
    ``.onnx`` file.

    Raises UsageError where its classes are not ``labels``, and what ``load_checkpoint`` and ``load_onnx`` raise.
    """
    if str(source).endswith(".safetensors"):
        state = load_checkpoint(Path(source))
        name, known = str(state["network"]), tuple(state["labels"])
        network = create_network(name, len(known))
        network.load_state_dict(state["average"])
    else:
        manifest = load_model(source).manifest
        name, known = manifest.network, manifest.labels
        network = load_onnx(source)
    if known != tuple(labels):
        raise UsageError(f"{source} knows {', '.join(known)}, and is not to be trained on {', '.join(labels)}")
    return name, network.eval()
