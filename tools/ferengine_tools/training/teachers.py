"""Networks that teach another: their answers to the very crops that it sees."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ferengine.errors import UsageError
from ferengine.models.registry import load_model
from ferengine_tools.networks.registry import deployed
from ferengine_tools.training.config import Prior, TrainConfig, portable, taught_set
from ferengine_tools.training.dataset import TrainingSet
from ferengine_tools.training.origin import answers_under, load_network
from ferengine_tools.training.priors import moved
from ferengine_tools.training.views import RECORD


class Teachers:
    """The mean answer of some networks.

    Args:
        sources: Checkpoints, names of shipped models or ``.onnx`` files; SET=SOURCE is asked about the faces of that set alone.
        faces: What is taught: the classes, and the class frequencies of each set.
        device: Where they run.
        prior: "uniform": they answer under the class frequencies of each face's own set, which the pupil's adjusted logits are
            compared with; "data": under those of the first set.
        bf16: Whether they compute in bfloat16.

    Raises:
        UsageError: A network has other classes, or reads other crops; there is no such set, or one without a teacher.
        ModelError: A file is damaged, or torch cannot rebuild its network.
    """

    def __init__(self, sources: Sequence[str], faces: TrainingSet, device: torch.device, prior: Prior, bf16: bool) -> None:
        self._heads, self._device, self._bf16 = faces.heads, device, bf16
        own = torch.stack([part.prior for part in faces.parts]).log().to(device)
        self._own = own if prior == "uniform" else own[:1].expand_as(own)
        self._part_of = faces.part_of.to(device)
        self._networks = [self._load(taught_set(source)[1], faces, own[0]) for source in sources]
        self._weights = _weights(sources, [part.name for part in faces.parts]).to(device)

    def _load(self, source: str, faces: TrainingSet, first: Tensor) -> tuple[nn.Module, Tensor]:
        """A network and the logarithm of the prior that it answers under, (C,)."""
        network = deployed(load_network(source, faces.labels)[1]).to(self._device, memory_format=torch.channels_last)
        return network.eval(), torch.zeros_like(first) if answers_under(source) == "uniform" else first

    def __len__(self) -> int:
        return len(self._networks)

    @torch.no_grad()
    def __call__(self, batch: Tensor, rows: Tensor) -> Tensor:
        """Return probabilities, float32 (n, C), for crops, float32 (n, 1, S, S), of the faces ``rows``, int64 (n,)."""
        parts = self._part_of[rows.to(self._device)]
        own, batch = self._own[parts], batch.to(self._device)
        answers = torch.zeros(len(rows), sum(self._heads), device=self._device)
        for (network, prior), weights in zip(self._networks, self._weights, strict=True):
            weight = weights[parts]
            # which faces are asked about is known on the host alone; on a GPU all are, as a captured step needs
            asked = torch.arange(len(rows), device=self._device) if self._device.type == "cuda" else weight.nonzero()[:, 0]
            if not len(asked):
                continue
            seen = batch[asked].contiguous(memory_format=torch.channels_last)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16, cache_enabled=False):
                logits = network(seen)
            answers[asked] += weight[asked, None] * moved(logits.float(), prior, own[asked], self._heads).exp()
        return answers


def digests(config: TrainConfig) -> dict[str, str]:
    """Return the SHA-256 of what teaches a run, by its name without the folders of this machine. A run that goes on by the
    answers of other weights is not the one that was started: a teacher may itself still be trained under the same name."""
    sources = [(str(portable("distil", each)), taught_set(each)[1]) for each in config.distil]
    content: dict[str, bytes] = {}
    for name, source in sources:  # two may have one name here
        data = Path(source).read_bytes() if source.endswith(".safetensors") else load_model(source).onnx
        content[name] = content.get(name, b"") + data
    if config.views_from is not None:
        content[config.views_from.name] = (config.views_from / RECORD).read_bytes()
    if config.teacher is not None:
        content[config.teacher.name] = config.teacher.read_bytes()
    return {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}


def _weights(sources: Sequence[str], names: Sequence[str]) -> Tensor:
    """The weight of each teacher for the faces of each set, float32 (teachers, sets): equal among those that are asked."""
    asked = torch.ones(len(sources), len(names))
    for row, source in enumerate(sources):
        name = taught_set(source)[0]
        if name is not None and name not in names:
            raise UsageError(f"--distil {source}: there is no set {name!r} among those of --data: {', '.join(names)}")
        if name is not None:
            asked[row] = torch.tensor([float(name == each) for each in names])
    for name, count in zip(names, asked.sum(0).tolist(), strict=True):
        if sources and not count:
            raise UsageError(f"no teacher of --distil is asked about the faces of {name}: name one for it, or one for all sets")
    return asked / asked.sum(0)
