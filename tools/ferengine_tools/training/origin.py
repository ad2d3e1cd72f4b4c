"""Networks with their weights, from a checkpoint or from a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
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
    name, known, network = _loaded(source)
    if known != tuple(labels):
        raise UsageError(f"{source} knows {', '.join(known)}, where {', '.join(labels)} are wanted")
    return name, network


def load_start(source: str | Path, labels: Sequence[str]) -> tuple[str, nn.Module]:
    """As ``load_network``, for a network of any classes: its last layer then answers with ``labels``, where it keeps the rows
    of those that it knows, and draws those of others anew."""
    name, known, network = _loaded(source)
    if known != tuple(labels):
        head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        fresh = nn.Linear(head.in_features, len(labels))
        with torch.no_grad():
            for row, label in enumerate(labels):
                if label in known:
                    fresh.weight[row] = head.weight[known.index(label)]
                    fresh.bias[row] = head.bias[known.index(label)]
        head.weight, head.bias, head.out_features = fresh.weight, fresh.bias, fresh.out_features
    return name, network


def _loaded(source: str | Path) -> tuple[str, tuple[str, ...], nn.Module]:
    """Name, classes and network."""
    if str(source).endswith(".safetensors"):
        state, network = restored(Path(source))
        return str(state["network"]), tuple(state["labels"]), network
    manifest = load_model(source).manifest
    if (manifest.input.size, manifest.input.mean, manifest.input.std) != (48, MEAN, STD):
        raise UsageError(f"{source} reads crops of another size, mean or deviation than 48, {MEAN} and {STD}")
    return manifest.network, manifest.labels, load_onnx(source).eval()


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
