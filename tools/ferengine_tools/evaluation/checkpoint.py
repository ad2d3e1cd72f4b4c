"""A checkpoint of ``ferengine train``, run by torch: what it reads before it is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ferengine.errors import UsageError
from ferengine_tools.evaluation.ensemble import Network
from ferengine_tools.training.config import BEFORE_PRIORS
from ferengine_tools.training.dataset import normalise
from ferengine_tools.training.origin import restored, set_prior

_SIDE, _BATCH = 48, 256


def open_checkpoint(path: Path) -> Network:
    """The averaged weights, at a temperature of 1 and under a uniform prior, as its export, on the CPU; named by the run's
    folder and the file. One that was trained before priors were in the loss answers under the class frequencies of its data.

    Raises UsageError for a network of two heads, and what ``restored`` raises.
    """
    state, network = restored(path)
    task = state.get("settings", {}).get("task", "expression")
    if task == "both":
        raise UsageError(f"{path} has two heads: only networks of one task are measured")

    @torch.inference_mode()
    def logits(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [network(normalise(part)) for part in torch.from_numpy(crops).split(_BATCH)]
        answer: NDArray[np.float32] = torch.cat(parts).numpy()
        return answer

    whole = path.resolve()
    trained = "fer2013" if task == "expression" else None
    uniform = "priors" in state or state["settings"].get("prior", BEFORE_PRIORS["prior"]) == "uniform"
    set_prior(network, state, "uniform" if uniform else "data")
    prior = "uniform" if uniform else trained
    return Network(f"{whole.parent.name}/{whole.name}", task, tuple(state["labels"]), _SIDE, 1.0, logits, prior=prior)
