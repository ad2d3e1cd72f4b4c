"""Networks with their weights, from a checkpoint or from a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ferengine.errors import FerengineError, ModelError, UsageError
from ferengine.models.registry import load_model
from ferengine_tools.networks.from_onnx import load_onnx
from ferengine_tools.networks.registry import create_network
from ferengine_tools.training.checkpoint import load_checkpoint
from ferengine_tools.training.config import BEFORE_PRIORS, Prior
from ferengine_tools.training.dataset import MEAN, STD


def load_network(source: str | Path, labels: Sequence[str]) -> tuple[str, nn.Module]:
    """Load a network.

    Args:
        source: A checkpoint (``.safetensors``: its averaged weights), the name of a shipped model, or a ``.onnx`` file.
        labels: The classes that it must have.

    Returns:
        The name of the network, and the network in ``eval`` mode.

    Raises:
        UsageError: Its classes are others, or it reads other crops than training gives.
        ModelError: The file is damaged, or torch cannot rebuild it.
    """
    name, known, network = _loaded(source)
    if known != tuple(labels):
        raise UsageError(f"{source} knows {', '.join(known)}, where {', '.join(labels)} are wanted")
    return name, network


def load_start(source: str | Path, labels: Sequence[str], shift: Tensor | None = None) -> tuple[str, nn.Module]:
    """Load a network of any classes to be fine-tuned.

    Its last layer then answers with ``labels``: it keeps the rows of those that it knows and draws the others anew.

    Args:
        source: As for ``load_network``.
        labels: The classes that it is to answer with.
        shift: Added to the logits of a network that knows these very classes, float32 (C,): the logarithm of the prior that it
            is to answer under by that of the one it does.

    Returns:
        The name of the network, and the network.

    Raises:
        UsageError: It reads other crops than training gives.
        ModelError: The file is damaged, or torch cannot rebuild it.
    """
    name, known, network = _loaded(source)
    head = last_layer(network)
    if known == tuple(labels):
        if shift is not None:
            with torch.no_grad():
                head.bias += shift
    else:
        fresh = nn.Linear(head.in_features, len(labels))
        with torch.no_grad():
            for row, label in enumerate(labels):
                if label in known:
                    fresh.weight[row] = head.weight[known.index(label)]
                    fresh.bias[row] = head.bias[known.index(label)]
        head.weight, head.bias, head.out_features = fresh.weight, fresh.bias, fresh.out_features
    return name, network


def last_layer(network: nn.Module) -> nn.Linear:
    """The layer that gives the logits."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def answers_under(source: str | Path) -> Prior:
    """The prior that a checkpoint (``.safetensors``) or model answers under: the uniform one, or the class frequencies of the
    data that it was trained on, FER-2013's for every model that ships. Raises ModelError for a damaged checkpoint."""
    if not str(source).endswith(".safetensors"):
        return "data"
    prior: Prior = load_checkpoint(Path(source)).get("settings", {}).get("prior", BEFORE_PRIORS["prior"])
    return prior


def set_prior(network: nn.Module, state: dict[str, Any], prior: Prior) -> None:
    """Make the network of a checkpoint answer under a prior.

    Args:
        network: What is changed.
        state: The checkpoint.
        prior: "uniform", or "data" for the class frequencies of the data that it was trained on, of several sets the first.

    Raises:
        UsageError: A uniform prior is asked for, and the checkpoint does not hold its frequencies.
    """
    trained: Prior = state["settings"].get("prior", BEFORE_PRIORS["prior"])
    if trained == prior:
        return
    if "priors" not in state:
        raise UsageError("the checkpoint does not hold the class frequencies of its data: train it anew")
    log_prior = torch.tensor(next(iter(state["priors"].values()))).log()
    with torch.no_grad():
        last_layer(network).bias += (log_prior - log_prior.mean()) * (1 if prior == "data" else -1)


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
    """Load a checkpoint and its network with the averaged weights, in ``eval`` mode.

    Args:
        path: The checkpoint.
        name: The network that it must be of; any if None.

    Raises:
        ModelError: It is damaged, or of another network.
    """
    state = load_checkpoint(path, name)
    try:
        network = create_network(state["network"], len(state["labels"]))
        network.load_state_dict(state["average"])
    except (KeyError, TypeError, RuntimeError, FerengineError) as error:
        raise ModelError(f"{path} is not a whole checkpoint of ferengine train: {error}") from None
    return state, network.eval()
