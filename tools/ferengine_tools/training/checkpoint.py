"""Checkpoints that survive a kill: written beside, then moved into place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ferengine.errors import ModelError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, texts) to ``path``; whatever was there stays until the new one is whole."""
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    beside.replace(path)


def load_checkpoint(path: Path, network: str | None = None) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed. Raises ModelError when it is none, or of another ``network``."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # torch raises many kinds for damaged files
        raise ModelError(f"{path} is not a checkpoint of ferengine train: {error}") from None
    if not isinstance(state, dict) or "network" not in state:
        raise ModelError(f"{path} is not a checkpoint of ferengine train: it names no network")
    if network is not None and state["network"] != network:
        raise ModelError(f"{path} is a checkpoint of {state['network']!r}, not of {network!r}")
    return state
