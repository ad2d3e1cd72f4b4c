"""A checkpoint of ``ferengine train``, run by torch: what it reads before it is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ferengine.classification.light import lightened
from ferengine.errors import UsageError
from ferengine_tools.evaluation.network import Network
from ferengine_tools.training.config import BEFORE_PRIORS
from ferengine_tools.training.dataset import normalise
from ferengine_tools.training.origin import restored, set_prior

_SIDE, _BATCH = 48, 256


def open_checkpoint(path: Path) -> Network:
    """Load the averaged weights of a checkpoint, on the CPU.

    Args:
        path: The checkpoint.

    Returns:
        The network, named after the folder of the run and the file, at a temperature of 1. It answers under a uniform prior, as
        its export does; one that was trained before priors were in the loss, under the class frequencies of its data.

    Raises:
        UsageError: The network has two heads.
        ModelError: The file is no checkpoint.
    """
    state, network = restored(path)
    task = state.get("settings", {}).get("task", "expression")
    if task == "both":
        raise UsageError(f"{path} has two heads: only networks of one task are measured")

    @torch.inference_mode()
    def logits(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen = torch.from_numpy(lightened(crops))  # as the engine shows them to the export
        parts = [network(normalise(part)) for part in seen.split(_BATCH)]
        answer: NDArray[np.float32] = torch.cat(parts).numpy()
        return answer

    whole = path.resolve()
    trained = "fer2013" if task == "expression" else None
    uniform = "priors" in state or state["settings"].get("prior", BEFORE_PRIORS["prior"]) == "uniform"
    set_prior(network, state, "uniform" if uniform else "data")
    prior = "uniform" if uniform else trained
    return Network(f"{whole.parent.name}/{whole.name}", task, tuple(state["labels"]), _SIDE, 1.0, logits, prior=prior)
