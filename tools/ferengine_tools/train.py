"""``ferengine train``: a network on FER-2013, chosen on PublicTest."""

from __future__ import annotations

import argparse
import copy
import csv
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional

from ferengine.errors import UsageError
from ferengine_tools.data.fer2013 import LABELS, Fer2013, load_fer2013
from ferengine_tools.networks import NETWORKS, Init, create_network
from ferengine_tools.training.augment import augment
from ferengine_tools.training.checkpoint import load_checkpoint, save_checkpoint

MEAN, STD = 129.5, 65.0
"""Grey levels of FER-2013's training faces."""

_LABEL_WEIGHT, _SMOOTHING = 0.7, 0.1
"""The target is 0.7 of the smoothed label and 0.3 of the FER+ votes: those agree on only 64 % of the images."""
_DECAY, _CLIP, _AVERAGE = 0.05, 5.0, 0.998


@dataclass(frozen=True)
class TrainConfig:
    """``warm_up`` in epochs; ``start`` a checkpoint to begin from; ``device`` auto (a GPU where there is one), cpu or cuda;
    ``threads`` of torch on the CPU."""

    model: str
    data: Path
    out: Path
    epochs: int = 45
    batch: int = 128
    rate: float = 4e-3
    warm_up: float = 1.5
    seed: int = 0
    init: Init = "kaiming"
    start: Path | None = None
    resume: bool = False
    device: str = "auto"
    threads: int = 2

    def settings(self) -> dict[str, Any]:
        """What decides the weights."""
        start = None if self.start is None else str(self.start)
        return {"epochs": self.epochs, "batch": self.batch, "rate": self.rate, "warm_up": self.warm_up, "seed": self.seed,
                "init": self.init, "start": start}  # fmt: skip

    def command(self) -> str:
        """The command line of these settings, without this machine's folders."""
        options = {name: value for name, value in self.settings().items() if value is not None}
        written = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
        return f"ferengine train --model {self.model} --data FER2013 --out runs/{self.model} {written}"


def targets(data: Fer2013) -> Tensor:
    """Soft targets, float32 (N, classes), rows sum to 1."""
    hard = np.eye(len(LABELS), dtype=np.float32)[data.labels]
    smooth = (1 - _SMOOTHING) * hard + _SMOOTHING / len(LABELS)
    if data.votes is None:
        return torch.from_numpy(smooth)
    total = data.votes.sum(axis=1, keepdims=True)
    crowd = np.where(total > 0, data.votes / np.maximum(total, 1), hard)
    return torch.from_numpy((_LABEL_WEIGHT * smooth + (1 - _LABEL_WEIGHT) * crowd).astype(np.float32))


def normalise(images: Tensor) -> Tensor:
    """uint8 (N, 48, 48) -> float32 (N, 1, 48, 48)."""
    return (images.float().unsqueeze(1) - MEAN) / STD


def choose_device(name: str) -> torch.device:
    """Raises UsageError for a GPU that torch does not see."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"torch {torch.__version__} finds no CUDA device: choose --device cpu, or install torch for CUDA")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


class Trainer:
    """One run: network, its averaged copy, optimiser and the random state, all of which a checkpoint holds."""

    def __init__(self, config: TrainConfig) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config = config
        data = load_fer2013(config.data)
        self.dataset = "FER-2013" if data.votes is None else "FER-2013 with FER+ votes"
        self.device = choose_device(config.device)
        self.images = torch.from_numpy(data.images).to(self.device)
        self.labels = torch.from_numpy(data.labels).to(self.device)
        self.targets = targets(data).to(self.device)
        self.rows = {split: torch.from_numpy(data.indices(split)) for split in ("training", "public")}
        for split, rows in self.rows.items():
            if not len(rows):
                raise UsageError(f"{config.data} has no faces of the split {split}")
        self.network = create_network(config.model, len(LABELS), config.init)
        if config.start is not None:
            self.network.load_state_dict(load_checkpoint(config.start, config.model)["average"])
        self.network = self.network.to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval()
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        free = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": _DECAY}, {"params": free, "weight_decay": 0.0}], lr=config.rate
        )
        self.generator = torch.Generator().manual_seed(config.seed + 1)
        self.steps = max(1, len(self.rows["training"]) // config.batch)
        self.epoch = 0

    @property
    def checkpoint(self) -> Path:
        return self.config.out / "checkpoint.pt"

    def state(self) -> dict[str, Any]:
        return {"network": self.config.model, "epoch": self.epoch, "labels": list(LABELS),
                "settings": self.config.settings(), "command": self.config.command(), "dataset": self.dataset,
                "machine": f"{platform.machine()}, {self.device}, {self.config.threads} threads, torch {torch.__version__}",
                "model": self.network.state_dict(), "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state(),
                "random": torch.get_rng_state()}  # fmt: skip

    def restore(self) -> None:
        state = load_checkpoint(self.checkpoint, self.config.model)
        for name, value in self.config.settings().items():
            if state["settings"][name] != value:
                raise UsageError(
                    f"{self.checkpoint} was begun with {name} {state['settings'][name]}, not {value}: "
                    f"resume it with its own settings ({state['command']})"
                )
        self.network.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        self.epoch = int(state["epoch"])

    def rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine to zero."""
        total = self.config.epochs * self.steps
        warm = min(1.0, (step + 1) / max(1.0, self.config.warm_up * self.steps))
        return self.config.rate * warm * 0.5 * (1 + math.cos(math.pi * step / total)) + 1e-6

    def train_epoch(self) -> float:
        """One pass over the training faces; the mean loss."""
        self.network.train()
        rows = self.rows["training"]
        order = rows[torch.randperm(len(rows), generator=self.generator)]
        total = 0.0
        for index in range(self.steps):
            step = self.epoch * self.steps + index
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate(step)
            chosen = order[index * self.config.batch : (index + 1) * self.config.batch].to(self.device)
            batch = augment(normalise(self.images[chosen]), self.generator)
            logits = self.network(batch.contiguous(memory_format=torch.channels_last))
            loss = -(self.targets[chosen] * functional.log_softmax(logits, 1)).sum(1).mean()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
            self.optimiser.step()
            self._follow(min(_AVERAGE, (1 + step) / (10 + step)))
            total += loss.item()
        self.epoch += 1
        return total / self.steps

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        """Exponential average of all weights and running statistics."""
        for mean, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(new, 1 - keep)
            else:
                mean.copy_(new)

    @torch.no_grad()
    def accuracy(self) -> float:
        """Of the averaged network on PublicTest, single crop."""
        right = 0
        for rows in self.rows["public"].split(256):
            batch = normalise(self.images[rows]).contiguous(memory_format=torch.channels_last)
            right += int((self.average(batch).argmax(1) == self.labels[rows]).sum())
        return right / len(self.rows["public"])


def train(config: TrainConfig) -> float:
    """Run it; the last PublicTest accuracy. Checkpoint and log are written after each epoch."""
    config.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config)
    if config.resume:
        trainer.restore()
    elif trainer.checkpoint.exists():
        raise UsageError(f"{trainer.checkpoint} exists already: pass --resume, or choose another --out")
    accuracy = trainer.accuracy() if trainer.epoch else 0.0  # resumed, perhaps with nothing left to do
    with (config.out / "log.csv").open("a", newline="") as handle, Progress() as progress:
        log = csv.writer(handle)
        if handle.tell() == 0:
            log.writerow(["epoch", "loss", "public_accuracy", "seconds"])
        bar = progress.add_task("training", total=config.epochs, completed=trainer.epoch)
        while trainer.epoch < config.epochs:
            begun = time.monotonic()
            loss, accuracy = trainer.train_epoch(), trainer.accuracy()
            log.writerow([trainer.epoch, f"{loss:.5f}", f"{accuracy:.5f}", f"{time.monotonic() - begun:.1f}"])
            handle.flush()
            save_checkpoint(trainer.checkpoint, trainer.state())
            progress.update(bar, advance=1, description=f"loss {loss:.3f}, PublicTest {100 * accuracy:.2f} %")
    return accuracy


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ferengine train", description=__doc__)
    parser.add_argument("--model", required=True, choices=sorted(NETWORKS))
    parser.add_argument("--data", required=True, type=Path, help="fer2013.csv, the image folders, or the tiles")
    parser.add_argument("--out", required=True, type=Path, help="folder of checkpoint and log")
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate")
    parser.add_argument("--warm-up", type=float, default=1.5, help="epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", choices=("kaiming", "gaussian"), default="kaiming")
    parser.add_argument("--start", type=Path, help="checkpoint whose weights to begin from")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=2)
    config = TrainConfig(**vars(parser.parse_args(arguments)))
    if config.epochs < 1 or config.batch < 1 or config.threads < 1:
        raise UsageError("--epochs, --batch and --threads must be at least 1")
    print(f"PublicTest accuracy {100 * train(config):.2f} % (single crop)")


if __name__ == "__main__":
    main()
