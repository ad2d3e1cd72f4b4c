"""Networks with their weights, from a checkpoint or from a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ferengine.errors import FerengineError, ModelError, UsageError
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
        state, network = restored(Path(source))
        name, known = str(state["network"]), tuple(state["labels"])
    else:
        manifest = load_model(source).manifest
        name, known = manifest.network, manifest.labels
        if (manifest.input.size, manifest.input.mean, manifest.input.std) != (48, MEAN, STD):
            raise UsageError(f"{source} reads crops of another size, mean or deviation than 48, {MEAN} and {STD}")
        network = load_onnx(source)
    if known != tuple(labels):
        raise UsageError(f"{source} knows {', '.join(known)}, where {', '.join(labels)} are wanted")
    return name, network.eval()


def restored(path: Path, name: str | None = None) -> tuple[dict[str, Any], nn.Module]:
    """A checkpoint and its network with the averaged weights, in ``eval`` mode. Raises ModelError for a damaged one, or one of
    another network than ``name``."""
    state = load_checkpoint(path, name)
    try:
        network = create_network(state["network"], len(state["labels"]))
        network.load_state_dict(state["average"])
    except (KeyError, TypeError, RuntimeError, FerengineError) as error:
        raise ModelError(f"{path} is not a whole checkpoint of ferengine train: {error}") from None
    return state, network.eval()
