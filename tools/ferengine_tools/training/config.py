"""What decides a training run: one flat record, the command line's options, and the document's own schedules."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ferengine.errors import UsageError
from ferengine_tools.data.fer2013 import LabelSet
from ferengine_tools.networks import Init

Augment = Literal["full", "mirror", "none"]
Prior = Literal["uniform", "data"]
BEFORE_PRIORS: dict[str, Prior] = {"prior": "data"}
"""Of checkpoints that do not say it."""
_THIS_MACHINE = ("data", "beside", "gender_data", "out", "cache", "resume", "device", "threads", "precision")
"""Fields that change where and how fast, not what, is trained."""


@dataclass(frozen=True)
class TrainConfig:
    """``task`` both: one trunk with two heads, on ``data`` (FER-2013) and ``gender_data`` (UTKFace); ``cache`` a folder for
    UTKFace's cut faces. ``warm_up`` in epochs; ``restart`` the epoch after which the schedule of the rate begins anew (0:
    never); ``start`` a checkpoint or model to begin from; ``strength`` of the full augmentation; ``votes`` the share of the
    FER+ votes in the target and ``teacher_weight`` that of the ``teacher`` file's probabilities in the rest, and of what the
    checkpoints or models ``distil`` say, on average, of the very batch, as it was augmented; ``mixup`` the alpha of its Beta
    distribution; ``sam`` the radius rho of sharpness-aware minimisation (0: off); ``average`` what the averaged weights keep at
    each step; ``labels`` ferplus8 adds contempt; ``without_copies`` leaves out training faces that are also, exactly or nearly,
    test faces. ``beside``: further sets of expressions, wild_faces or faces in FER-2013's layout, of which an epoch takes every
    face once, as of ``data``; ``prior`` uniform: the loss knows each set's own class frequencies, so that the network does not
    (see ``priors``), data: the network learns them; ``views`` of each face in a batch, each augmented by itself (E. Hoffer et
    al., "Augment your batch", CVPR 2020), and ``consistency`` the weight in the loss of how much they are read differently;
    ``crowd`` the weight of a second head, dropped at export, that says how FER+'s crowd voted. ``device`` auto (a GPU where
    there is one), cpu or cuda; ``precision`` of the convolutions; ``threads`` of torch on the CPU."""

    model: str
    data: Path
    out: Path
    beside: tuple[Path, ...] = ()
    task: Literal["expression", "gender", "both"] = "expression"
    labels: LabelSet = "fer2013"
    gender_data: Path | None = None
    cache: Path | None = None
    epochs: int = 45
    batch: int = 128
    optimiser: Literal["adamw", "sgd"] = "adamw"
    rate: float = 4e-3
    warm_up: float = 1.5
    restart: int = 0
    decay: float = 0.05
    augment: Augment = "full"
    strength: float = 1.0
    smoothing: float = 0.1
    votes: float = 0.3
    mixup: float = 0.0
    sam: float = 0.0
    prior: Prior = "uniform"
    views: int = 1
    consistency: float = 0.0
    crowd: float = 0.0
    average: float = 0.998
    teacher: Path | None = None
    distil: tuple[str, ...] = ()
    teacher_weight: float = 0.6
    without_copies: bool = False
    seed: int = 0
    init: Init = "kaiming"
    start: Path | None = None
    resume: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2 or self.threads < 1:
            raise UsageError("epochs and threads must be at least 1, batch at least 2")
        if (self.task == "both") != (self.gender_data is not None):
            raise UsageError("--task both needs --gender-data (UTKFace), and nothing else takes it")
        if self.votes == 1:
            raise UsageError("votes must be below 1: they agree with the labels on two faces of three, and cannot stand alone")
        for name in ("smoothing", "votes", "teacher_weight", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is a share between 0 and 1, not {getattr(self, name)}")
        if self.beside and (self.task != "expression" or self.prior != "uniform"):
            raise UsageError("several sets of --data need --task expression and --prior uniform")
        if self.crowd and self.task != "expression":
            raise UsageError("crowd is for --task expression: UTKFace has no votes")
        if self.views < 1 or (self.views == 1 and self.consistency):
            raise UsageError("views must be at least 1, and with consistency at least 2: it compares views of a face")
        for name in ("mixup", "sam", "decay", "warm_up", "strength", "restart", "consistency", "crowd"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not self.rate > 0:
            raise UsageError(f"rate must be above 0, not {self.rate}")

    def settings(self) -> dict[str, Any]:
        """What decides the weights."""
        fields = {name: value for name, value in asdict(self).items() if name not in _THIS_MACHINE}
        return {name: _plain(value) for name, value in fields.items()}

    def command(self) -> str:
        """The command line of these settings, without this machine's folders: options that are not the defaults."""
        defaults = TrainConfig(self.model, self.data, self.out).settings()
        data = "UTKFACE" if self.task == "gender" else "FER2013"
        data = " --data ".join([data, *(path.resolve().name for path in self.beside)])
        words = [f"ferengine train --model {self.model} --data {data} --out runs/{self.out.name}"]
        for name, value in self.settings().items():
            if name == "model" or (value == defaults[name] and name not in ("epochs", "seed")):
                continue
            option = f"--{name.replace('_', '-')}"
            words.append(option if value is True else f"{option} {portable(name, value)}")
        if self.task == "both":
            words.append("--gender-data UTKFACE")
        if self.precision != "fp32":
            words.append(f"--precision {self.precision}")
        return " ".join(words)


_FILES = ("teacher", "start", "distil")


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def portable(name: str, value: Any) -> Any:
    """The setting ``name``; files without this machine's folders: a checkpoint by its run's."""
    if name not in _FILES or not value:
        return value
    paths = [Path(item) for item in ([value] if isinstance(value, str) else value)]
    kept = [f"runs/{path.resolve().parent.name}/{path.name}" if path.suffix == ".safetensors" else path.name for path in paths]
    return shlex.join(kept)


DOCUMENT_EPOCHS = {"cnn": 17, "vgg": 90, "resnet18": 60, "dscnn": 60}
"""Section IV.C: the CNN's plateau; VGG's 30 epochs and 60 more; the others' figures show about as many as VGG's second leg."""

DOCUMENT_RESTART = {"vgg": 30}
"""Where its second leg begins."""


def document_preset(network: str) -> dict[str, Any]:
    """TrainConfig's fields in the document's own way: weights from N(0, 0.04), labels as they are, mirrored faces only.

    Raises UsageError for a network that is not the document's.
    """
    if network not in DOCUMENT_EPOCHS:
        raise UsageError(f"the document has no network {network!r}: its own are {', '.join(DOCUMENT_EPOCHS)}")
    return {
        "epochs": DOCUMENT_EPOCHS[network],
        "restart": DOCUMENT_RESTART.get(network, 0),
        "init": "gaussian",
        "augment": "mirror",
        "smoothing": 0.0,
        "votes": 0.0,
        "optimiser": "sgd",
        "rate": 0.02,
        "decay": 5e-4,
        "average": 0.0,
        "prior": "data",
    }
