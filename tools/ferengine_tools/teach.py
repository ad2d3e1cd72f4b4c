"""``ferengine teach``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ferengine.errors import UsageError
from ferengine_tools.data import LabelSet
from ferengine_tools.networks import NETWORKS
from ferengine_tools.training.config import TrainConfig


def _check_networks(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        if name not in NETWORKS:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(NETWORKS)}")
    return names


def teach(
    data: Annotated[list[Path], typer.Option(help="FER-2013. With --views, repeat it for more sets, as in ferengine train.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the folds and of teacher.npz, or of the views and their answers.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            callback=_check_networks,
            help=f"Network to train: {', '.join(NETWORKS)}. Repeat for an ensemble, whose probabilities are averaged.",
        ),
    ] = None,
    views: Annotated[
        int, typer.Option(help="Make this many augmented views of each training face, and ask the teachers of --distil.")
    ] = 0,
    distil: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="With --views: a checkpoint or model. Repeat it to average several. SET=MODEL is asked about the faces of "
            "that set alone (FER-2013, wild_faces).",
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="With --model: parts of the training faces, at least 2.", show_default="3")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="With --model: epochs of each network.", show_default="30")] = None,
    labels: Annotated[LabelSet, typer.Option(help="As in ferengine train.")] = "fer2013",
    without_copies: Annotated[
        bool,
        typer.Option("--without-copies", help="As in ferengine train. Its --without-copies needs a teacher made with this."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the first fold or view; the others count up from it.")] = 100,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="As in ferengine train.")] = "auto",
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="As in ferengine train.")] = "fp32",
    threads: Annotated[int, typer.Option(help="Threads of torch on the CPU.")] = 1,
) -> None:
    """Compute what teachers say of the training faces, for ferengine train.

    With --model, out of fold, for ferengine train --teacher: the training faces are split into folds. For each fold a network
    is trained on the other folds, and its probabilities on this fold are kept, so that no answer is passed on that a teacher
    has memorised. Folds that are finished are not trained again.

    With --views, for ferengine train --views-from: each training face is augmented that many times, and the mean of what the
    teachers say of each view and of its mirror image is kept beside it.
    """
    if bool(model) == bool(views) or bool(views) != bool(distil):
        raise UsageError("give either --model, or --views with --distil")
    if views and (folds is not None or epochs is not None):
        raise UsageError("--folds and --epochs are for --model: with --views nothing is trained")
    if len(data) > 1 and not views:
        raise UsageError("folds are of one set of --data: several need --views")
    config = TrainConfig(
        "standard", data[0], out, tuple(data[1:]), labels=labels, epochs=30 if epochs is None else epochs,
        without_copies=without_copies, seed=seed, device=device, precision=precision, threads=threads,
    )  # fmt: skip
    if views:
        _write_views(config, tuple(distil or ()), views)
        return
    from ferengine_tools.training.folds import write_teacher

    models = [name for name in NETWORKS if name in (model or ())]
    path, faces, accuracy = write_teacher(config, models, 3 if folds is None else folds)
    print(f"{path}: {faces} faces, out-of-fold accuracy {100 * accuracy:.2f} %")


def _write_views(config: TrainConfig, sources: tuple[str, ...], count: int) -> None:
    import torch

    from ferengine_tools.training.config import portable
    from ferengine_tools.training.dataset import load_training_set
    from ferengine_tools.training.teachers import Teachers
    from ferengine_tools.training.trainer import choose_device
    from ferengine_tools.training.views import write_views

    torch.set_num_threads(config.threads)
    faces = load_training_set(config)
    teachers = Teachers(sources, faces, choose_device(config.device), config.prior, config.precision == "bf16")
    names = tuple(str(portable("distil", source)) for source in sources)
    write_views(config.out, faces, teachers, count, config.seed, names)
    print(f"{config.out}: {count} views of {len(faces.training)} faces, answered by {', '.join(names)}")
