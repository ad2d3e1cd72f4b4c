"""Runs commands of ``ferengine`` in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from ferengine.cli.app import app
from ferengine.cli.command import run
from ferengine_tools.training.config import TrainConfig


def command(name: str) -> Callable[[Sequence[str | Path]], None]:
    """Return what runs ``ferengine name`` with arguments; it raises FerengineError, and SystemExit as ``run`` does."""
    return lambda arguments: run(typer.main.get_command(app), "ferengine", [name, *map(str, arguments)])


def read_options(words: list[str], monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """The settings that ``ferengine train`` would train with."""
    read: list[TrainConfig] = []

    def train(config: TrainConfig) -> SimpleNamespace:
        read.append(config)
        return SimpleNamespace(validation_by_head=lambda: [0.5])

    monkeypatch.setattr("ferengine_tools.training.run.train", train)
    command("train")(words)
    return read[0]
