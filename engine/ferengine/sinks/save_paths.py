"""The files of the videos of ``--save``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ferengine.errors import UsageError
from ferengine.sinks.files import check_output, is_folder, same_file, shortened
from ferengine.sources import SourceSpec


def save_paths(specs: Sequence[SourceSpec], target: Path, overwrite: bool) -> dict[int, Path]:
    """Choose the video file of each camera.

    Args:
        specs: The cameras.
        target: The file of the only camera, or a folder.
        overwrite: Whether the files may exist.

    Returns:
        The files by the number of the camera: ``target`` itself, or one file each in that folder.

    Raises:
        UsageError: For an unsuitable name, or a file that exists.
        SinkError: For a file that cannot be written.
    """
    if len(specs) == 1 and not is_folder(target):
        paths = {0: _checked(target, overwrite)}
    else:
        paths = {number: save_path(spec, target, overwrite) for number, spec in enumerate(specs)}
    for path in paths.values():
        refuse_source(path, specs)
    return paths


def refuse_source(path: Path, specs: Sequence[SourceSpec]) -> None:
    """Raise UsageError if the output ``path`` is the file of a source: it would be emptied before it is read."""
    for spec in specs:
        if spec.kind in ("file", "images") and same_file(path, Path(spec.value)):
            raise UsageError(f"{path} is the source {spec.name}: choose another name for the output")


def save_path(spec: SourceSpec, folder: Path, overwrite: bool) -> Path:
    """Choose the video file of one camera among several. Raises as ``save_paths``."""
    if not is_folder(folder):
        raise UsageError(f"{shortened(folder)} is not a folder: with several sources --save takes an existing folder")
    return _checked(folder / f"{spec.name}.mp4", overwrite)


def _checked(path: Path, overwrite: bool) -> Path:
    if path.suffix not in (".mp4", ".mkv", ".mov"):
        raise UsageError(f"{shortened(path)}: video files end in .mp4, .mkv or .mov, and there is no folder of that name")
    check_output(path, overwrite=overwrite)
    return path
