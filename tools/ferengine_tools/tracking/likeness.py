"""How alike faces of different people look to the tracker: what its thresholds of similarity let through.

``python -m ferengine_tools.tracking.likeness WILD_FACES`` compares photographs of different people with each other, as MTCNN
frames them, and prints which fraction of the pairs reaches each similarity, as a table in Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ferengine.cli.command import exit_code, make_command
from ferengine.detection import create_detector
from ferengine.errors import UsageError
from ferengine.tracking.appearance import appearance
from ferengine.vision import cv2
from ferengine_tools.tracking.actors import photo_actors

SIMILARITIES = (0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.75, 0.9)


def pair_similarities(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The similarity of each pair of appearances, float32 (n * (n - 1) / 2,), of vectors (n, LENGTH) with norm 1."""
    return np.asarray((vectors @ vectors.T)[np.triu_indices(len(vectors), k=1)], np.float32)


def likeness(
    folder: Annotated[Path, typer.Argument(help="The folder of wild_faces.")],
    people: Annotated[int, typer.Option(min=2, help="How many are compared, one photograph of each.")] = 500,
) -> None:
    """Print how many pairs of different people reach each similarity."""
    cv2.setNumThreads(1)
    actors = photo_actors(folder, create_detector("mtcnn"), people)
    if len(actors) < 2:
        raise UsageError(f"{folder} has no two people whose faces are found")
    pairs = pair_similarities(np.stack([appearance(actor.images[0], actor.boxes[0]) for actor in actors]))
    print(f"{len(pairs):,} pairs of {len(actors)} people")
    print()
    print("| similarity from | " + " | ".join(f"{least:g}" for least in SIMILARITIES) + " |")
    print("|---" * (1 + len(SIMILARITIES)) + "|")
    print("| pairs, % | " + " | ".join(f"{100 * float((pairs >= least).mean()):.2f}" for least in SIMILARITIES) + " |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(likeness), "python -m ferengine_tools.tracking.likeness", arguments)


if __name__ == "__main__":
    sys.exit(main())
