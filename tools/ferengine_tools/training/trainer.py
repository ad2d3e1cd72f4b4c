"""One training run."""

from __future__ import annotations

import copy
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ferengine.errors import ModelError, UsageError
from ferengine_tools.networks.from_onnx import calibrate
from ferengine_tools.networks.registry import create_network
from ferengine_tools.training.augment import augment, mirror
from ferengine_tools.training.captured import CapturedStep
from ferengine_tools.training.checkpoint import load_checkpoint
from ferengine_tools.training.config import BEFORE_PRIORS, TrainConfig, portable, settings_of
from ferengine_tools.training.crowd import CrowdHead
from ferengine_tools.training.dataset import TrainingSet, load_training_set, normalise
from ferengine_tools.training.origin import answers_under, load_start
from ferengine_tools.training.priors import log_softmax
from ferengine_tools.training.teacher import digest
from ferengine_tools.training.teachers import Teachers, digests
from ferengine_tools.training.validation import of_ordinary_faces
from ferengine_tools.training.views import load_views

_CLIP = 5.0
_CALIBRATED = 512
"""Faces that give a network from an ONNX file its statistics."""


@dataclass(frozen=True)
class EpochMetrics:
    """What was measured in an epoch.

    Attributes:
        loss: Of the training batches as they were seen: augmented, with the weights on their way.
        accuracy: Likewise.
        validation_loss: Of the averaged network, single crop, on the first data set under its own class frequencies.
        validation_accuracy: Likewise.
        others: Metrics of the validation faces of the other sets, by their column in the log.
    """

    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    others: dict[str, float] = field(default_factory=dict)


def choose_device(name: str) -> torch.device:
    """Return the device called "auto", "cpu" or "cuda".

    Raises:
        UsageError: torch sees no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"torch {torch.__version__} finds no CUDA device: choose --device cpu, or install torch for CUDA")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


class Trainer:
    """A run: the network, its averaged copy, the optimiser and the random state, all of which a checkpoint holds.

    The whole data set lies on the device.

    Args:
        config: The settings.
        faces: What to train on; the faces of ``config`` if None.

    Raises:
        UsageError: Data or settings do not fit together.
        ModelError: A network to start from or to learn from does not fit.
    """

    def __init__(self, config: TrainConfig, faces: TrainingSet | None = None) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config = config
        self.device = choose_device(config.device)
        self.faces = faces or load_training_set(config)
        self._digest, self._labelled = digest(self.faces.images.numpy()), self.faces.digest_of_labels()
        self._images, self._classes, self._targets = (
            tensor.to(self.device) for tensor in (self.faces.images, self.faces.classes, self.faces.targets)
        )
        self._heads = _heads(self.faces).to(self.device)
        own = torch.stack([part.prior for part in self.faces.parts]).log()
        self._first_prior = own[0].to(self.device)
        self._log_priors = (own if config.prior == "uniform" else torch.zeros_like(own)).to(self.device)
        self._part_of = self.faces.part_of.to(self.device)
        self.network = self._started().to(self.device, memory_format=torch.channels_last)
        self._teachers = Teachers(config.distil, self.faces, self.device, config.prior, config.precision == "bf16")
        self._views = None if config.views_from is None else load_views(config.views_from, self.faces).to(self.device)
        self._taught_by = digests(config)
        self._position = torch.full((len(self.faces.images),), -1)  # of each face among the training faces
        self._position[self.faces.training] = torch.arange(len(self.faces.training))
        self._position = self._position.to(self.device)
        self.average = copy.deepcopy(self.network).eval()
        self.crowd = None if self.faces.crowd is None else CrowdHead(self.network, self.faces.crowd, self.device)
        self.optimiser = _optimiser(self.network, config, self.crowd)
        self._pairs = _floating_pairs(self.average, self.network)
        self.generator = torch.Generator().manual_seed(config.seed + 1)
        self._augmenting, self._captured = self.generator, None
        if self.device.type == "cuda":
            self._augmenting = torch.Generator(self.device).manual_seed(config.seed + 1)
            if not (config.mixup or config.sam):  # these two take numbers from the host in each step
                self._captured = CapturedStep(self._learn, self._augmenting)
        self.steps = max(1, len(self.faces.training) // config.batch)
        self.epoch = 0

    def _started(self) -> nn.Module:
        """The network as training starts."""
        config, labels = self.config, self.faces.labels
        if config.start is None:
            return create_network(config.model, len(labels), config.init)
        shift = {"uniform": 0, "data": 1}[answers_under(config.start)] - {"uniform": 0, "data": 1}[config.prior]
        name, network = load_start(config.start, labels, shift * (self._first_prior.mean() - self._first_prior).cpu())
        if name != config.model:
            raise ModelError(f"{config.start} holds {name!r}, not {config.model!r}: start from one of its own kind")
        if config.start.suffix != ".safetensors":  # the export folded the normalisations away
            calibrate(network, normalise(self.faces.images[self.faces.training[:_CALIBRATED]], self.faces.margin))
        return network

    @property
    def checkpoint(self) -> Path:
        """The file of the checkpoint."""
        return self.config.out / "checkpoint.safetensors"

    def state(self) -> dict[str, Any]:
        """Return all that a checkpoint holds."""
        extra = {} if self.crowd is None else {"crowd": self.crowd.state_dict()}
        return {"network": self.config.model, "epoch": self.epoch, "labels": list(self.faces.labels), **extra,
                "priors": {part.name: part.prior.tolist() for part in self.faces.parts},
                "settings": self.config.settings(), "command": self.config.command(), "dataset": self.faces.name,
                "faces": self._digest, "labelled": self._labelled, "taught_by": self._taught_by,
                "machine": f"{platform.machine()}, {self.device}, {self.config.threads} threads, torch {torch.__version__}, "
                           f"{self.config.precision}",
                "model": self.network.state_dict(), "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict()["state"], "generator": self.generator.get_state(),
                "random": torch.get_rng_state(), **self._device_random()}  # fmt: skip

    def _device_random(self) -> dict[str, Any]:
        if self.device.type == "cpu":
            return {}
        return {"device_generator": self._augmenting.get_state(), "device_random": torch.cuda.get_rng_state(self.device)}

    def restore(self) -> None:
        """Continue from the checkpoint.

        Raises:
            UsageError: It was started with other settings or faces.
            ModelError: It is damaged.
        """
        state = load_checkpoint(self.checkpoint, self.config.model)
        usual = {**TrainConfig(self.config.model, self.config.data, self.config.out).settings(), **BEFORE_PRIORS}
        if state.get("faces", self._digest) != self._digest:  # a checkpoint of before this was kept is believed
            raise UsageError(f"{self.checkpoint} was started on other faces than those of {self.config.data}")
        settings = settings_of(state)
        for name, value in self.config.settings().items():
            started = settings.get(name, usual[name])  # a setting that is newer than the checkpoint
            if portable(name, started) != portable(name, value):
                raise UsageError(
                    f"{self.checkpoint} was started with {name} {started}, not {value}: "
                    f"resume it with its own settings ({state['command']})"
                )
        if state.get("labelled", self._labelled) != self._labelled:  # after the settings, which have their part in it
            raise UsageError(
                f"{self.checkpoint} was started with other labels, votes, splits or folds of these faces: "
                "train anew in another --out"
            )
        for name, started in state.get("taught_by", self._taught_by).items():
            if started != self._taught_by[name]:
                raise UsageError(f"{name} is not what it was when {self.checkpoint} was started: train anew in another --out")
        self.network.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        if self.crowd is not None:
            self.crowd.load_state_dict(state["crowd"])
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state["optimiser"], "param_groups": groups})
        _as_laid_out(self.optimiser)
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and "device_generator" in state:
            self._augmenting.set_state(state["device_generator"])
            torch.cuda.set_rng_state(state["device_random"], self.device)
        self.epoch = int(state["epoch"])

    def rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine to zero; from ``restart`` on, once more."""
        total, first = self.config.epochs * self.steps, self.config.restart * self.steps
        if step < first:
            total = min(total, first)
        else:
            step, total = step - first, total - first
        warm = min(1.0, (step + 1) / max(1.0, self.config.warm_up * self.steps))
        return self.config.rate * warm * 0.5 * (1 + math.cos(math.pi * step / total)) + 1e-6

    def train_epoch(self, after_step: Callable[[], None] = lambda: None) -> EpochMetrics:
        """One pass over the training faces; ``after_step`` is called after each of the ``steps``."""
        self.network.train()
        rows = self.faces.training
        order = rows[torch.randperm(len(rows), generator=self.generator)]
        loss_sum, right = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for index in range(self.steps):
            step = self.epoch * self.steps + index
            _set_rate(self.optimiser, self.rate(step))
            chosen = order[index * self.config.batch : (index + 1) * self.config.batch].to(self.device)
            loss, correct = (self._captured or self._learn)(chosen.repeat(self.config.views))
            self._follow(min(self.config.average, (1 + step) / (10 + step)))
            loss_sum += loss
            right += correct
            after_step()
        self.epoch += 1
        validation_loss, validation_accuracy = self.validate()
        return EpochMetrics(
            float(loss_sum) / self.steps, float(right) / self.steps, validation_loss, validation_accuracy, self.others()
        )

    def _learn(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """One step on rows of the faces: the loss, and the fraction that was answered rightly."""
        batch, target = self._batch(seen)
        loss, logits = self._step(batch, target, seen)
        return loss, self._right(logits + self._log_priors[self._part_of[seen]], self._classes[seen]).float().mean()

    def _batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented faces, each occurrence in ``chosen`` by itself, and their targets under their own sets' priors."""
        target = self._targets[chosen]
        if self._views is not None:
            drawn = torch.randint(len(self._views.images), (len(chosen),), generator=self._augmenting, device=self.device)
            batch, answers = self._views.take(drawn, self._position[chosen])
            target = torch.lerp(target, answers, self.config.teacher_weight)
        else:
            batch = self._augmented(self._images[chosen])
        if self.config.mixup > 0:
            # H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018
            fraction = float(torch.distributions.Beta(self.config.mixup, self.config.mixup).sample())
            batch, target = torch.lerp(batch.flip(0), batch, fraction), torch.lerp(target.flip(0), target, fraction)
        batch = batch.contiguous(memory_format=torch.channels_last)
        if self._teachers:
            target = torch.lerp(target, self._teachers(batch, chosen), self.config.teacher_weight)
        return batch, target

    def _augmented(self, images: Tensor) -> Tensor:
        margin = self.faces.margin
        if self.config.augment == "full":
            return augment(normalise(images, 0), self._augmenting, self.config.strength, margin)
        batch = normalise(images, margin)
        return mirror(batch, self._augmenting) if self.config.augment == "mirror" else batch

    def _step(self, batch: Tensor, target: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = self._gradients(batch, target, chosen)
        if self.config.sam > 0:
            climbed = self._climb()
            self._gradients(batch, target, chosen)
            with torch.no_grad():
                for parameter, step in climbed:
                    parameter.sub_(step)
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimiser.step()
        return loss.detach(), logits.detach()

    def _gradients(self, batch: Tensor, target: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and the logits, as the network gives them: under a uniform prior, where ``prior`` is that."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16", cache_enabled=False):
            logits = self.network(batch)
        logits = logits.float()
        log_probabilities = log_softmax(logits + self._log_priors[self._part_of[chosen]], self.faces.heads)
        loss = -(target * log_probabilities).sum(1).mean()
        if self.config.consistency > 0:
            loss = loss + self.config.consistency * disagreement(log_probabilities, self.config.views)
        if self.crowd is not None:
            loss = loss + self.config.crowd * self.crowd.loss(chosen)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        return loss, logits

    @torch.no_grad()
    def _climb(self) -> list[tuple[Tensor, Tensor]]:
        """To the highest loss within ``sam`` of the weights: P. Foret et al., "Sharpness-Aware Minimization", ICLR 2021."""
        pairs = [(p, p.grad) for p in self.network.parameters() if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for _, gradient in pairs]))
        moved = [(parameter, gradient * (self.config.sam / (norm + 1e-12))) for parameter, gradient in pairs]
        for parameter, step in moved:
            parameter.add_(step)
        return moved

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        """Exponential average of all weights and running statistics."""
        torch._foreach_lerp_(*self._pairs, 1 - keep)
        for mean, new in zip(self.average.buffers(), self.network.buffers(), strict=True):
            if not mean.dtype.is_floating_point:
                mean.copy_(new)

    def _right(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Whether the face's own head names its class, bool (n,)."""
        return logits.masked_fill(~self._heads[classes].to(logits.device), -math.inf).argmax(1) == classes

    def validate(self) -> tuple[float, float]:
        """Loss (against the labels) and accuracy of the averaged network on the validation faces, single crop, under the
        class frequencies of the faces' own set."""
        rows = self.faces.validation
        logits, classes = self.answers(rows), self.faces.classes[rows]
        loss = functional.nll_loss(log_softmax(logits, self.faces.heads), classes)
        return float(loss), float(self._right(logits, classes).float().mean())

    def others(self) -> dict[str, float]:
        """What ``of_ordinary_faces`` says of the averaged network on the validation faces of each set beside the first, by set
        and metric; nothing where they belong to other heads."""
        found: dict[str, float] = {}
        for part, prior in zip(self.faces.parts[1:], self._log_priors[1:].cpu(), strict=True):
            if len(part.validation) and len(self.faces.heads) == 1:
                scores = log_softmax(self.logits(part.validation), self.faces.heads)
                metrics = of_ordinary_faces(scores, prior, self.faces.classes[part.validation], self.faces.labels)
                found |= {f"{part.name}_{name}": value for name, value in metrics.items()}
        return found

    def validation_by_head(self) -> list[float]:
        """The accuracy of each head on its own validation faces."""
        rows = self.faces.validation
        logits, classes = self.answers(rows), self.faces.classes[rows]
        right, own = self._right(logits, classes), self._heads[classes].cpu()
        firsts = [sum(self.faces.heads[:head]) for head in range(len(self.faces.heads))]
        return [float(right[own[:, first]].float().mean()) for first in firsts]

    def answers(self, rows: Tensor) -> Tensor:
        """``logits``, and the logarithm of the class frequencies of each face's own set: what its labels were drawn by."""
        return self.logits(rows) + self._log_priors[self._part_of[rows.to(self.device)]].cpu()

    @torch.no_grad()
    def logits(self, rows: Tensor) -> Tensor:
        """Of the averaged network on ``rows`` of the faces, single crop, fp32: float32 (n, classes) on the CPU."""
        crops = (normalise(self._images[part.to(self.device)], self.faces.margin) for part in rows.split(256))
        parts = [self.average(crop.contiguous(memory_format=torch.channels_last)).cpu() for crop in crops]
        return torch.cat(parts)


def _heads(faces: TrainingSet) -> Tensor:
    """Which classes share a head with each, bool (C, C)."""
    head = torch.repeat_interleave(torch.arange(len(faces.heads)), torch.tensor(faces.heads))
    return head[:, None] == head[None, :]


def _as_laid_out(optimiser: torch.optim.Optimizer) -> None:
    """Moments in the memory layout of their weights: fused steps pair the two as they lie, and a checkpoint keeps none."""
    for parameter, moments in optimiser.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(value)


def disagreement(log_probabilities: Tensor, views: int) -> Tensor:
    """Mean over the faces of the symmetric Kullback-Leibler divergence, nats, between consecutive views of the same face.

    Args:
        log_probabilities: float32 (views * n, C), all faces in one view after all in another.
        views: 2 or more.
    """
    first = log_probabilities.view(views, -1, log_probabilities.shape[1])
    second = first.roll(1, 0)
    pairs = 1 if views == 2 else views
    return 0.5 * ((first - second) * (first.exp() - second.exp()))[:pairs].sum(2).mean()


def _floating_pairs(average: nn.Module, network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The weights and running statistics of both, which share the memory of the modules."""
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    kept = [(mean, new) for mean, new in pairs if mean.dtype.is_floating_point]
    return [mean for mean, _ in kept], [new for _, new in kept]


def _optimiser(network: nn.Module, config: TrainConfig, crowd: nn.Module | None = None) -> torch.optim.Optimizer:
    """Biases and the scales of normalisation are not decayed."""
    parameters = [*network.parameters(), *(crowd.parameters() if crowd is not None else ())]
    decayed = [p for p in parameters if p.ndim > 1]
    free = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.decay}, {"params": free, "weight_decay": 0.0}]
    on_gpu = parameters[0].is_cuda
    rate: Any = torch.tensor(config.rate, device=parameters[0].device) if on_gpu else config.rate
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=rate, fused=True, capturable=on_gpu)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """A captured step reads the rate where it lies on the device."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
