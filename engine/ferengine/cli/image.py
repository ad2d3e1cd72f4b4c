"""``ferengine image``: faces and expressions of still images."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ferengine.cli.options import checked, with_options
from ferengine.cli.run_options import STILL
from ferengine.config import EngineConfig
from ferengine.errors import DeviceError, FerengineError, SourceError
from ferengine.json_text import json_text
from ferengine.results import REASON_WORDS
from ferengine.sources.url import show_path, without_controls

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ferengine.analyzer import Analyzer
    from ferengine.cli.images import CopyFolder
    from ferengine.models.settings import Prior
    from ferengine.results import Expression, Face


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_NAMED = 3
"""Files that are left out and named."""

_PATHS = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="Images, folders of images, globs ('shots/**/*.jpg'), or - for standard input."),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object per image, one per line.")]
_SAVE = Annotated[Path | None, typer.Option("--save", help="Write annotated copies into this folder.")]
_OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Replace copies that exist.")]


@with_options(
    STILL,
    _parameter("paths", _PATHS, inspect.Parameter.empty),
    _parameter("as_json", _JSON, False),
    _parameter("save", _SAVE, None),
    _parameter("overwrite", _OVERWRITE, False),
)
def image(paths: list[str], as_json: bool, save: Path | None, overwrite: bool, **given: Any) -> None:
    """Read faces and expressions in still images.

    An image that cannot be read is reported and the others are still read; the exit code is then 1.
    """
    from ferengine.analyzer import Analyzer
    from ferengine.cli.images import CopyFolder, find_images

    settings = checked(EngineConfig, given)
    copies = CopyFolder(save, overwrite=overwrite) if save is not None else None
    errors = Console(stderr=True)
    read = failures = faces = 0
    left_out: list[Path] = []
    several: list[str] = []
    with Analyzer(**settings.model_dump()) as analyzer:
        for item in find_images(paths, left_out):
            try:
                if isinstance(item, SourceError):
                    raise item
                faces += _read(item, analyzer, copies, as_json, settings, several)
            except DeviceError:
                raise  # of the backend: every further image would fail too
            except FerengineError as error:
                failures += 1
                errors.print(f"error: {error}", highlight=False, markup=False, soft_wrap=True)
            else:
                read += 1
        prior = analyzer.prior
    folders = [path for path in left_out if path.is_dir()]
    notes = _named("left out, because they are not images", [path for path in left_out if not path.is_dir()])
    notes += _named("left out, because they are folders: name them, or a pattern with **", folders)
    if failures and failures + read > 1:
        notes.append(f"{failures} of {failures + read} could not be read")
    if len(several) > _NAMED:
        several[_NAMED:] = [f"of {len(several) - _NAMED} more files with several images, only the first was read"]
    if copies is not None and copies.count:
        images = "image" if copies.count == 1 else "images"
        notes.append(f"written: {show_path(copies.folder)} ({copies.count} {images})")
    if faces and prior is not None and not as_json:
        notes.append(f"class prior: {prior.name}")
    for note in several + notes:
        errors.print(note, highlight=False, markup=False, soft_wrap=True)
    sys.exit(1 if failures else 0)


def _named(reason: str, paths: list[Path]) -> list[str]:
    """The line that names some of ``paths``, none where there are none."""
    if not paths:
        return []
    names = ", ".join(show_path(path.name) for path in paths[:_NAMED]) + (", ..." if len(paths) > _NAMED else "")
    return [f"{reason}: {len(paths)} ({names})"]


def _read(
    path: Path, analyzer: Analyzer, copies: CopyFolder | None, as_json: bool, settings: EngineConfig, several: list[str]
) -> int:
    """Read, report and copy one image; returns how many faces it has."""
    from ferengine.cli.images import read_image
    from ferengine.sinks.blur import blur_faces
    from ferengine.sinks.draw import draw_still

    image = read_image(path, several)
    try:
        faces = analyzer.analyze(image)
    except MemoryError:
        raise SourceError(f"{show_path(path)} cannot be read: out of memory") from None
    _report(path, image, faces, analyzer.prior, as_json)
    if copies is not None:
        if settings.blur:
            blur_faces(image, faces)
        draw_still(image, faces, settings.draw)
        copies.save(image, path)
    return len(faces)


def _report(path: Path, image: NDArray[np.uint8], faces: list[Face], prior: Prior | None, as_json: bool) -> None:
    from ferengine.cli.images import STANDARD_INPUT

    height, width = image.shape[:2]
    if as_json:
        record = {"image": str(path), "width": width, "height": height, "faces": [face.to_dict() for face in faces]}
        if prior is not None:
            record["prior"] = prior.name
        # a lone surrogate stands for a byte of a name that is not UTF-8: it stays an escape, and the line UTF-8
        print(json_text(record, ensure_ascii=False).encode(errors="backslashreplace").decode(), flush=True)
        return
    name = show_path(path) if path == STANDARD_INPUT else without_controls(str(path))  # bytes that are no UTF-8 stay
    print(f"{name}: {len(faces)} {'face' if len(faces) == 1 else 'faces'}", flush=True)
    for face in faces:
        x, y, w, h = face.box
        said = "a face" if face.reason is None else "not classified"
        if face.expression is not None:
            said = _said(face.expression)
        for name, reading in face.heads.items():
            said += f", {name}: {reading.summary()}"
        if face.gender is not None:
            said += f", {_said(face.gender)}"
        print(f"  {said}, {w:.0f}x{h:.0f} at ({x:.0f}, {y:.0f}), detected {100 * face.score:.0f} %", flush=True)


def _said(reading: Expression) -> str:
    """The label of an expression or a gender with its score; of what is uncertain why, and what has the largest score."""
    label = max(reading.scores, key=reading.scores.__getitem__)
    score = f"{label} {100 * reading.scores[label]:.0f} %"
    return score if reading.reason is None else f"{reading.label}, {REASON_WORDS[reading.reason]} ({score})"
