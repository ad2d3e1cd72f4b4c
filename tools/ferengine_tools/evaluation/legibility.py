"""From where on a face is read so badly that it should be ``uncertain``: accuracy by yaw, size, blur, light and score.

``python -m ferengine_tools.evaluation.legibility --data WILD_FACES [--model accurate]`` reads the validation split of
wild_faces: as it is by yaw, which the landmarks of its list give, and by the largest score; and made worse on purpose.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.classification.classifier import Classifier
from ferengine.classification.pose import estimate_pose
from ferengine.cli.command import exit_code, make_command
from ferengine.errors import UsageError
from ferengine.models.registry import DEFAULT
from ferengine.models.settings import FILE_ON_CPU
from ferengine.vision import cv2
from ferengine_tools.evaluation.network import grey_logits
from ferengine_tools.evaluation.sets import wild_faces

Images: TypeAlias = NDArray[np.uint8]

YAWS = (0, 10, 20, 30, 40, 50, 90)
SCORES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WIDTHS = (10, 12, 16, 20, 24, 32, 40)
SIGMAS = (0.0, 1.0, 1.5, 2.0, 3.0)
LIGHTS = (1.0, 0.5, 0.25, 0.1)

_POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def yaws(folder: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """The absolute yaw of faces by the landmarks in ``folder``/labels.csv, degrees (N,); NaN where they give none.

    Raises:
        UsageError: The list cannot be read, or has no landmarks for one of the faces.
    """
    found: dict[str, float] = {}
    try:
        with (folder / "labels.csv").open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                pose = estimate_pose([(float(row[f"{point}_x"]), float(row[f"{point}_y"])) for point in _POINTS])
                found[row["file"]] = np.nan if pose is None else abs(pose.yaw)
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"{folder / 'labels.csv'} has no landmarks that can be read: {error}") from None
    return np.array([found[name] for name in names])


def shrunk(images: Images, width: int) -> Images:
    """Crops as they would be of faces of that width, uint8 (N, S, S)."""
    side = images.shape[1]
    small = (cv2.resize(image, (width, width), interpolation=cv2.INTER_AREA) for image in images)
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR) for image in small])


def blurred(images: Images, sigma: float) -> Images:
    """Crops blurred by a Gaussian of ``sigma`` pixels of a crop of 48, uint8 (N, S, S)."""
    if sigma == 0:
        return images
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma * images.shape[1] / 48) for image in images])


def dimmed(images: Images, light: float) -> Images:
    """Crops with a fraction of the light, uint8 (N, S, S)."""
    return np.asarray(np.rint(images * np.float32(light)), np.uint8)


def by_bin(values: NDArray[np.floating], edges: Sequence[float], right: NDArray[np.bool_]) -> Iterator[tuple[str, int, float]]:
    """Of each bin its name, how many values are in it, and which fraction of them is read right (NaN where there is none)."""
    for low, high in pairwise(edges):
        inside = (values >= low) & ((values < high) | ((values == high) & (high == edges[-1])))
        yield f"{low:g}-{high:g}", int(inside.sum()), float(right[inside].mean()) if inside.any() else float("nan")


def measure(
    data: Annotated[Path, typer.Option(help="The folder of wild_faces.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="A shipped model's name, or a .onnx file.")] = DEFAULT,
) -> None:
    """Measure from where on a face should be uncertain, as tables in Markdown."""
    classifier = Classifier(model, backend=FILE_ON_CPU)
    faces = wild_faces(data, "validation").sized(classifier.input_size).ordered(classifier.labels)

    def read(images: Images) -> NDArray[np.float32]:
        return classifier.probabilities(grey_logits(classifier, images))

    def accuracy(images: Images) -> float:
        return float((read(images).argmax(axis=1) == faces.labels).mean())

    scores = read(faces.images)
    right = scores.argmax(axis=1) == faces.labels
    for name, values, edges in (("yaw, degrees", yaws(data, faces.names), YAWS), ("largest score", scores.max(axis=1), SCORES)):
        rows = list(by_bin(values, edges, right))
        _print([name, *(row[0] for row in rows)], ["faces", *(f"{row[1]:,}" for row in rows)], _correct(row[2] for row in rows))
    worse: tuple[tuple[str, Sequence[float], Callable[[Images, float], Images]], ...] = (
        ("width, pixels", WIDTHS, lambda images, width: shrunk(images, int(width))),
        ("blur, sigma", SIGMAS, blurred),
        ("light", LIGHTS, dimmed),
    )
    for name, steps, change in worse:
        _print([name, *(f"{step:g}" for step in steps)], _correct(accuracy(change(faces.images, step)) for step in steps))


def _correct(fractions: Iterator[float]) -> list[str]:
    return ["correct, %", *("-" if np.isnan(value) else f"{100 * value:.1f}" for value in fractions)]


def _print(header: Sequence[str], *rows: Sequence[str]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|---" * len(header) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(measure), "python -m ferengine_tools.evaluation.legibility", arguments)


if __name__ == "__main__":
    sys.exit(main())
