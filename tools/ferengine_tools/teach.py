"""``ferengine teach``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ferengine_tools.data.fer2013 import LabelSet
from ferengine_tools.networks import NETWORKS
from ferengine_tools.training.config import TrainConfig


def _check_networks(names: list[str]) -> list[str]:
    for name in names:
        if name not in NETWORKS:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(NETWORKS)}")
    return names


def teach(
    model: Annotated[
        list[str],
        typer.Option(
            metavar="NETWORK",
            callback=_check_networks,
            help=f"Network to train: {', '.join(NETWORKS)}. Repeat for an ensemble, whose probabilities are averaged.",
        ),
    ],
    data: Annotated[Path, typer.Option(help="FER-2013.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the folds. The file teacher.npz is written there.")],
    folds: Annotated[int, typer.Option(help="Parts that the training faces are split into, at least 2.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of each network.")] = 30,
    labels: Annotated[LabelSet, typer.Option(help="As in ferengine train.")] = "fer2013",
    without_copies: Annotated[
        bool,
        typer.Option("--without-copies", help="As in ferengine train. Its --without-copies needs a teacher made with this."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the first fold; the others count up from it.")] = 100,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="As in ferengine train.")] = "auto",
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="As in ferengine train.")] = "fp32",
    threads: Annotated[int, typer.Option(help="Threads of torch on the CPU.")] = 1,
) -> None:
    """Compute out-of-fold probabilities of a teacher ensemble, for ferengine train --teacher.

    The training faces are split into folds. For each fold a network is trained on the other folds, and its probabilities on
    this fold are kept, so that no answer is passed on that a teacher has memorised. Folds that are finished are not trained
    again.
    """
    from ferengine_tools.training.folds import write_teacher

    models = [name for name in NETWORKS if name in model]
    config = TrainConfig(
        models[0], data, out, labels=labels, epochs=epochs, without_copies=without_copies, seed=seed, device=device,
        precision=precision, threads=threads,
    )  # fmt: skip
    path, faces, accuracy = write_teacher(config, models, folds)
    print(f"{path}: {faces} faces, out-of-fold accuracy {100 * accuracy:.2f} %")
