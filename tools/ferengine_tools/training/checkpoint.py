"""Checkpoints that survive a kill: safetensors, written beside, then moved into place."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ferengine.errors import FerengineError, ModelError

_KEY = "ferengine"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; whatever was there stays until the new one is whole. What a write that was killed left is removed.

    Args:
        path: The file.
        state: Nested dictionaries of tensors, numbers, texts and lists.

    Raises:
        FerengineError: The file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = _take_tensors(state, "", tensors)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()  # a folder, for safetensors writes to a file beside its own, of a name that only it knows
        beside = unfinished / path.name
        beside.touch()
        mode = stat.S_IMODE((path if path.exists() else beside).stat().st_mode)
        save_file(tensors, beside, {_KEY: json.dumps(skeleton)})
        beside.chmod(mode)  # safetensors lets the owner alone read it
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        hint = f"make room in {path.parent}" if path.parent.is_dir() else f"the folder {path.parent} is gone"
        kept = f"; the one of the epoch before is still in {path}" if path.exists() else ""
        raise FerengineError(f"the checkpoint cannot be written: {error}: {hint}{kept}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_checkpoint(path: Path, network: str | None = None) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Args:
        path: The file.
        network: The network that it must be of; any if None.

    Raises:
        ModelError: It is no checkpoint, or of another network.
    """
    if not path.is_file():
        raise ModelError(f"{path} cannot be read: No such file")
    try:
        with safe_open(path, "pt") as file:  # type: ignore[no-untyped-call,unused-ignore]
            state = _put_tensors(json.loads((file.metadata() or {})[_KEY]), file)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path} is not a checkpoint of ferengine train: {error}") from None
    if not isinstance(state, dict) or "network" not in state:
        raise ModelError(f"{path} is not a checkpoint of ferengine train: it names no network")
    if network is not None and state["network"] != network:
        raise ModelError(f"{path} is a checkpoint of {state['network']!r}, not of {network!r}")
    return state


def _take_tensors(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """``value`` with its tensors moved to ``tensors``, by name; what is left fits into JSON."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, _take_tensors(item, f"{name}.{key}".lstrip("."), tensors)] for key, item in value.items()]}
    return {"value": value}


def _put_tensors(value: Any, file: Any) -> Any:
    if "tensor" in value:
        return file.get_tensor(value["tensor"])
    if "items" in value:
        return {key: _put_tensors(item, file) for key, item in value["items"]}
    return value["value"]
