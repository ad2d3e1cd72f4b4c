"""What a new input shape costs ONNX Runtime's CUDA provider, by how it searches for cuDNN's algorithms.

Every batch size and every pyramid level is a new shape; with the exhaustive search each costs hundreds of milliseconds.
"""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import typer

from ferengine.detection.mtcnn_weights import mtcnn_networks
from ferengine.errors import FerengineError
from ferengine.inference.onnxruntime import OrtProvider, OrtRunner, available_providers
from ferengine.models.registry import DEFAULT, load_model

Shape = tuple[int, int, int, int]

_LEVELS = ((288, 384), (208, 272), (144, 192), (112, 144), (80, 96), (48, 64), (32, 48), (32, 32), (16, 32))
LEVEL_SHAPES: list[Shape] = [(1, 3, height, width) for height, width in _LEVELS]
"""P-Net's: the pyramid of a frame of 640 by 480."""

BATCH_SHAPES: list[Shape] = [(count, 1, 48, 48) for count in (1, 2, 3, 5, 7, 9, 12, 17, 23, 31, 48, 64)]
"""The classifier's: batches as traffic makes them."""

_ROUNDS = 3
SEARCHES = ("HEURISTIC", "DEFAULT", "EXHAUSTIVE")


def measure(name: str, model: bytes, shapes: list[Shape], provider: OrtProvider, search: str | None) -> str:
    """One line: opening, the first and the third time of each shape, in milliseconds.

    Args:
        name: Of the network, for the line.
        model: An ONNX file.
        shapes: Of its input, each a new one.
        provider: Where it runs.
        search: ``cudnn_conv_algo_search``; None for the provider's own options.
    """
    begun = time.perf_counter()
    options = {} if search is None else {"cudnn_conv_algo_search": search}
    runner = OrtRunner(model, provider=provider, provider_options=options)
    opened = time.perf_counter() - begun
    random = np.random.default_rng(0)
    times = np.zeros((_ROUNDS, len(shapes)))
    for part in range(_ROUNDS):
        for index, shape in enumerate(shapes):
            rows = random.normal(size=shape).astype(np.float32)
            begun = time.perf_counter()
            runner.run(rows)
            times[part, index] = 1e3 * (time.perf_counter() - begun)
    runner.close()
    return (
        f"{name}, {search or 'defaults'}: opened in {opened:.1f} s; a new shape {times[0, 1:].mean():.1f} ms (at most "
        f"{times[0].max():.0f}), the third time {times[-1].mean():.2f} ms (at most {times[-1].max():.2f})"
    )


def main(
    model: Annotated[str, typer.Option(help="The classifier.")] = DEFAULT,
    cpu: Annotated[bool, typer.Option("--cpu", help="Run on the CPU instead: tries the script, not the provider.")] = False,
) -> None:
    """Measure ONNX Runtime's CUDA provider on new shapes."""
    provider: OrtProvider = "ort" if cpu else "ort-cuda"
    typer.echo(f"providers: {available_providers()}")
    networks = (("pnet", mtcnn_networks()["pnet"], LEVEL_SHAPES), (model, load_model(model).onnx, BATCH_SHAPES))
    for search in (None,) if cpu else SEARCHES:
        for name, onnx, shapes in networks:
            typer.echo(measure(name, onnx, shapes, provider, search))


if __name__ == "__main__":
    try:
        typer.run(main)
    except FerengineError as error:
        raise SystemExit(f"error: {error}") from None
