"""The models of the published table: what is trained, in which order, and with what settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ferengine_tools.networks import NetworkName


@dataclass(frozen=True)
class Run:
    """One model of the table.

    Attributes:
        name: The model.
        network: Its network.
        epochs: How many epochs; those of the preset where ``as_in_paper`` is set.
        seeds: How many runs there are, each with a seed of its own.
        task: What it reads.
        taught: Whether the out-of-fold teachers teach it.
        as_in_paper: Whether it is trained as in Zhao's paper.
        after: The run, of the same seed, whose averaged weights are fine-tuned.
        distil: The run, of the same seed, that reads each batch as well.
        without_copies: Whether copies of test faces are left out.
    """

    name: str
    network: NetworkName
    epochs: int
    seeds: int = 1
    task: Literal["expression", "gender", "both"] = "expression"
    taught: bool = False
    as_in_paper: bool = False
    after: str | None = None
    distil: str | None = None
    without_copies: bool = False


TABLE = (
    Run("cnn-paper", "cnn", 0, as_in_paper=True),
    Run("vgg-paper", "vgg", 0, as_in_paper=True),
    Run("resnet18-paper", "resnet18", 0, as_in_paper=True),
    Run("dscnn-paper", "dscnn", 0, as_in_paper=True),
    Run("cnn", "cnn", 60, taught=True),
    Run("vgg", "vgg", 90, taught=True),
    Run("resnet18", "resnet18", 90, taught=True),
    Run("dscnn", "dscnn", 120, seeds=2, taught=True),
    Run("fast", "fast", 120, seeds=2, taught=True),
    Run("standard-first", "standard", 120, seeds=2, taught=True),
    Run("accurate-first", "accurate", 120, seeds=2, taught=True),
    Run("standard", "standard", 40, seeds=2, after="standard-first", distil="accurate-first"),
    Run("accurate", "accurate", 40, seeds=2, after="accurate-first", distil="standard-first"),
    Run("standard-without-copies", "standard", 120, without_copies=True),
    Run("gender-standard", "standard", 48, seeds=2, task="gender", after="standard"),
    Run("gender", "fast", 32, seeds=2, task="gender", after="fast", distil="gender-standard"),
    Run("both", "fast", 40, task="both"),
)
INT8 = ("fast", "standard", "accurate")
"""Networks that int8 makes faster on a CPU; depthwise convolutions become slower."""
LATER_STAGE: dict[str, Any] = {"rate": 2e-3, "warm_up": 0.5, "decay": 0.1}
"""Settings of a run that fine-tunes another run of its task."""
DISTIL_WEIGHT = 0.4
"""Weight of ``distil`` in the target."""
TEACHERS: tuple[NetworkName, ...] = ("resnet18", "standard", "accurate")
FOLDS, TEACHER_EPOCHS = 5, 60
