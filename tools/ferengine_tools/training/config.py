"""The settings of a training run, which are also the options of ``ferengine train``, and those of Zhao's paper."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from ferengine.errors import UsageError
from ferengine_tools.data import LabelSet
from ferengine_tools.networks import Init, NetworkName

Augment = Literal["full", "mirror", "none"]
Prior = Literal["uniform", "data"]
BEFORE_PRIORS: dict[str, Prior] = {"prior": "data"}
"""The settings of checkpoints that are older than the setting."""
_RENAMED = {"smoothing": "label_smoothing"}
"""Settings by the names that they had in older checkpoints."""
MAX_SEED = 2**62
"""Torch's generators take 64 bits, and some of a run's are counted up from the seed."""
MAX_THREADS = 1024
"""Where the system refuses a thread, torch's OpenMP ends the process."""
_THIS_MACHINE = ("data", "beside", "gender_data", "out", "cache", "resume", "device", "threads", "precision")
"""Fields that change where and how fast, not what, is trained."""


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run.

    Each field but ``beside`` is an option of ``ferengine train``; the text beside its type is the help of the option.
    """

    model: Annotated[NetworkName, "Network to train."]
    data: Annotated[Path, "FER-2013; with the task gender, UTKFace."]
    out: Annotated[Path, "Folder of the checkpoint, the log and the curves."]
    beside: Annotated[tuple[Path, ...], "Further sets of expressions; an epoch takes every face of each set once."] = ()
    task: Annotated[Literal["expression", "gender", "both"], "both: one trunk with a head for each."] = "expression"
    labels: Annotated[LabelSet, "ferplus8: FER-2013's labels, and contempt where the crowd of FER+ says so."] = "fer2013"
    gender_data: Annotated[Path | None, "UTKFace, for --task both."] = None
    undecided_under: Annotated[
        int,
        "With the task gender: faces younger than this, in years, are given hardly a gender, so that the network learns that "
        "it cannot say.",
    ] = 0
    cache: Annotated[Path | None, "Folder in which UTKFace's crops are kept. Default: the user's cache."] = None
    epochs: Annotated[int, "Number of epochs."] = 45
    batch: Annotated[int, "Faces in a batch."] = 128
    optimiser: Annotated[Literal["adamw", "sgd"], "sgd: with Nesterov momentum 0.9."] = "adamw"
    rate: Annotated[float, "Maximum learning rate."] = 4e-3
    warm_up: Annotated[float, "Epochs of linear warm-up; half a cosine follows."] = 1.5
    restart: Annotated[int, "Start the schedule of the learning rate again after this epoch; 0: never."] = 0
    decay: Annotated[float, "Weight decay."] = 0.05
    augment: Annotated[Augment, "full: affine, blur, light and erasing; mirror: only mirrored."] = "full"
    strength: Annotated[float, "Strength of the full augmentation: 2 is twice as much, 0 only mirrors and blurs."] = 1.0
    label_smoothing: Annotated[float, "Fraction of the label that is drawn at random."] = 0.1
    votes: Annotated[float, "Weight of the FER+ votes in the target, below 1."] = 0.3
    mixup: Annotated[float, "Alpha of the Beta distribution of mixup; 0: no mixup."] = 0.0
    sam: Annotated[float, "Radius of sharpness-aware minimisation, which doubles the time; 0: none."] = 0.0
    prior: Annotated[
        Prior,
        "uniform: the loss knows the class frequencies of each set, so that the network does not learn them; data: the network "
        "learns them.",
    ] = "uniform"
    views: Annotated[int, "Views of each face in a batch, each augmented by itself; the time grows as much."] = 1
    consistency: Annotated[float, "Weight in the loss of the disagreement between the views."] = 0.0
    crowd: Annotated[float, "Weight of a second head that learns the FER+ votes and is dropped at export."] = 0.0
    average: Annotated[float, "Fraction of the averaged weights that each step keeps."] = 0.998
    teacher: Annotated[Path | None, "Probabilities that ferengine teach wrote."] = None
    distil: Annotated[
        tuple[str, ...],
        "Checkpoint or model whose answers to each batch, as it was augmented, are part of the target. Repeat it to average "
        "several. SET=MODEL is asked about the faces of that set alone (FER-2013, wild_faces).",
    ] = ()
    views_from: Annotated[
        Path | None,
        "Folder of ferengine teach --views: its views of the faces replace the augmentation, its answers --distil.",
    ] = None
    teacher_weight: Annotated[float, "Weight of --teacher, --distil or --views-from in the target."] = 0.6
    without_copies: Annotated[bool, "Leave out training faces that are also, exactly or nearly, test faces."] = False
    seed: Annotated[int, "Seed of all random numbers."] = 0
    init: Annotated[Init, "Fresh weights: kaiming, torch's own; gaussian, N(0, 0.04) as in Zhao's paper."] = "kaiming"
    start: Annotated[
        Path | None,
        "Fine-tune this checkpoint (its averaged weights) or model; classes that it does not know get fresh weights.",
    ] = None
    resume: Annotated[bool, "Continue from the checkpoint in --out."] = False
    device: Annotated[Literal["auto", "cpu", "cuda"], "auto: a GPU if there is one."] = "auto"
    precision: Annotated[Literal["fp32", "bf16"], "bf16: convolutions in bfloat16 (CPUs with AVX512-BF16 or AMX, GPUs)."] = (
        "fp32"
    )
    threads: Annotated[int, "Threads of torch on the CPU; two use four times the CPU time of one."] = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise UsageError("epochs must be at least 1, batch at least 2")
        if not 1 <= self.threads <= MAX_THREADS:
            raise UsageError(f"threads must be from 1 to {MAX_THREADS}, not {self.threads}")
        if (self.task == "both") != (self.gender_data is not None):
            raise UsageError("--task both needs --gender-data (UTKFace), and nothing else takes it")
        if self.votes == 1:
            raise UsageError("votes must be below 1: they agree with the labels on two faces of three, and cannot stand alone")
        for name in ("label_smoothing", "votes", "teacher_weight", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if self.beside and (self.task != "expression" or self.prior != "uniform"):
            raise UsageError("several sets of --data need --task expression and --prior uniform")
        if self.beside and self.mixup:
            raise UsageError("mixup would mix faces of sets with different class frequencies: leave it out, or name one --data")
        if self.views_from is not None and (self.distil or self.augment != "full" or self.strength != 1):
            raise UsageError("--views-from brings its own views and answers: leave out --distil, --augment and --strength")
        if self.augment != "full" and self.strength != 1:
            raise UsageError(f"--strength is of the full augmentation: leave it out with --augment {self.augment}")
        taught = self.teacher is not None or self.distil or self.views_from is not None
        if not taught and self.teacher_weight != TrainConfig.teacher_weight:
            raise UsageError("--teacher-weight needs --teacher, --distil or --views-from")
        if self.task == "gender" and (self.labels != "fer2013" or self.without_copies):
            raise UsageError("--labels and --without-copies are of FER-2013: the splits of UTKFace share no copies")
        if self.task == "gender" and self.votes not in (0, TrainConfig.votes):
            raise UsageError("--votes is of FER-2013's faces: UTKFace has no votes")
        if self.undecided_under and self.task != "gender":
            raise UsageError("--undecided-under is for --task gender")
        if self.teacher is not None and self.task == "gender":
            raise UsageError("--teacher is of FER-2013's faces: for --task gender name a network with --distil")
        if self.crowd and self.task != "expression":
            raise UsageError("crowd is for --task expression: UTKFace has no votes")
        if self.views < 1 or (self.views == 1 and self.consistency):
            raise UsageError("views must be at least 1, and with consistency at least 2: it compares views of a face")
        for name in ("mixup", "sam", "decay", "warm_up", "strength", "restart", "consistency", "crowd", "undecided_under"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be a number from 0 on, not {getattr(self, name)}")
        if not 0 < self.rate < math.inf:
            raise UsageError(f"rate must be a number above 0, not {self.rate}")
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"the seed must be from 0 to {MAX_SEED}, not {self.seed}")

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide the weights, by field, as JSON gives them back."""
        fields = {name: value for name, value in asdict(self).items() if name not in _THIS_MACHINE}
        return {name: _plain(value) for name, value in fields.items()}

    def command(self) -> str:
        """Return the command line of these settings: options that are not the defaults, without the folders of this machine."""
        defaults = TrainConfig(self.model, self.data, self.out).settings()
        data = "UTKFACE" if self.task == "gender" else "FER2013"
        data = " --data ".join([data, *(path.resolve().name for path in self.beside)])
        words = [f"ferengine train --model {self.model} --data {data} --out runs/{self.out.name}"]
        for name, value in self.settings().items():
            if name == "model" or (value == defaults[name] and name not in ("epochs", "seed")):
                continue
            option = f"--{name.replace('_', '-')}"
            each = value if isinstance(value, list) else [value]
            words += [option if item is True else f"{option} {shlex.quote(str(portable(name, item)))}" for item in each]
        if self.task == "both":
            words.append("--gender-data UTKFACE")
        if self.precision != "fp32":
            words.append(f"--precision {self.precision}")
        return " ".join(words)


def settings_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a checkpoint was started with, by the names that they have now."""
    return {_RENAMED.get(name, name): value for name, value in state["settings"].items()}


_FILES = ("teacher", "start", "distil", "views_from")


def _plain(value: Any) -> Any:
    """Return a setting as JSON gives it back."""
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def portable(name: str, value: Any) -> Any:
    """Return a setting without the folders of this machine: a checkpoint is named by the folder of its run.

    Args:
        name: The field of TrainConfig.
        value: Its value, as ``TrainConfig.settings`` gives it.
    """
    if isinstance(value, list):
        return [portable(name, item) for item in value]
    if name not in _FILES or not value:
        return value
    of_set, source = taught_set(value) if name == "distil" else (None, value)
    path = Path(source)
    shown = f"runs/{path.resolve().parent.name}/{path.name}" if path.suffix == ".safetensors" else path.name
    return shown if of_set is None else f"{of_set}={shown}"


def taught_set(teacher: str) -> tuple[str | None, str]:
    """Return the set whose faces a teacher of ``--distil`` is asked about, None for all, and the checkpoint or model."""
    name, equals, source = teacher.partition("=")
    return (name, source) if equals and "/" not in name else (None, teacher)


PAPER_EPOCHS = {"cnn": 17, "vgg": 90, "resnet18": 60, "dscnn": 60}
"""Section IV.C: the plateau of the CNN; 30 epochs of VGG and 60 more. The curves of the others show about as many as the second
stage of training of VGG."""

PAPER_RESTART = {"vgg": 30}
"""The epoch after which the second stage starts."""


def paper_preset(network: str) -> dict[str, Any]:
    """Return the settings of Zhao, "Facial Expression Recognition Based on Various Deep Neural Networks", section IV.

    Weights start from N(0, 0.04), labels are taken as they are, and faces are only mirrored.

    Args:
        network: One of the paper's networks.

    Returns:
        Values by field of TrainConfig.

    Raises:
        UsageError: The paper has no such network.
    """
    if network not in PAPER_EPOCHS:
        raise UsageError(f"Zhao's paper has no network {network!r}: it has {', '.join(PAPER_EPOCHS)}")
    return {
        "epochs": PAPER_EPOCHS[network],
        "restart": PAPER_RESTART.get(network, 0),
        "init": "gaussian",
        "augment": "mirror",
        "label_smoothing": 0.0,
        "votes": 0.0,
        "optimiser": "sgd",
        "rate": 0.02,
        "decay": 5e-4,
        "average": 0.0,
        "prior": "data",
    }
