"""``ferengine train-heads``."""

from __future__ import annotations

import shlex
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ferengine.errors import UsageError
from ferengine_tools.training.config import MAX_SEED, MAX_THREADS


def train_heads(
    data: Annotated[Path, typer.Option(help="FER-2013.")],
    gender_data: Annotated[Path, typer.Option(help="UTKFace: its folder of aligned faces, or the zip file.")],
    out: Annotated[Path, typer.Option(metavar="ONNX", help="The .onnx file. Its manifest is written beside it.")],
    size: Annotated[int, typer.Option(min=16, max=128, help="Side of the crops, pixels.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="How often the training faces of FER-2013 are seen.")] = 4,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of weights and batches.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of torch.")] = 1,
) -> None:
    """Train a small network of three heads in colour: expression, gender presentation and age.

    An example of a model of your own, in a few minutes of one core: one ONNX file with named heads, which ferengine models add
    takes. Needs the train extra.
    """
    if out.suffix != ".onnx":
        raise UsageError(f"{out} must end in .onnx; its manifest is written beside it, as .json")
    import torch

    from ferengine_tools.data.fer2013 import load_fer2013
    from ferengine_tools.data.utkface import load_colours
    from ferengine_tools.evaluation.speed import machine
    from ferengine_tools.exporting.export import check_place
    from ferengine_tools.training import heads

    check_place(out)
    torch.set_num_threads(threads)
    started = time.process_time()
    fer, people = load_fer2013(data), load_colours(gender_data, size)
    network, measured = heads.train_heads(fer, people, size=size, epochs=epochs, seed=seed, report=partial(print, flush=True))
    words = ["ferengine", "train-heads", "--data", "FER2013", "--gender-data", "UTKFACE", "--out", out.name]
    words += ["--size", str(size), "--epochs", str(epochs), "--seed", str(seed)]
    training = {
        "command": shlex.join(words),
        "dataset": f"{fer.name} and UTKFace",
        "split": "training",
        "epochs": epochs,
        "seed": seed,
        "machine": machine(),
    }
    heads.export_heads(network, out, size=size, labels=fer.classes, training=training, measured=measured)
    print(
        f"{out}: expression {100 * measured.expression:.1f} % on PublicTest; on UTKFace's validation split gender presentation "
        f"{100 * measured.gender:.1f} % and age within {measured.age_error:.1f} years; {time.process_time() - started:.0f} s"
    )
