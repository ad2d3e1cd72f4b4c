"""The one place where matplotlib is imported: figures without a display."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from ferengine.errors import MissingDependencyError, SinkError, UsageError
from ferengine.pip_hint import install_extra
from ferengine_tools.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, inches.

    Raises:
        MissingDependencyError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(f"a figure needs matplotlib: {install_extra('train')}") from None
    return Figure(figsize=(width, height), layout="constrained")


def check_figure(path: Path) -> None:
    """Refuse a file that no figure can be written to, before what it is to show is measured.

    Raises:
        MissingDependencyError: matplotlib is missing.
        UsageError: The suffix is none of a figure.
    """
    kinds = new_figure(1, 1).canvas.get_supported_filetypes()
    if _kind(path).lower() not in kinds:
        raise UsageError(f"{path} must end in one of {', '.join(f'.{kind}' for kind in sorted(kinds))}")


def _kind(path: Path) -> str:
    return path.suffix.removeprefix(".") or "png"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, or as what the suffix says. What was there stays until the new file is whole.

    Raises:
        SinkError: The suffix or the folder does not do.
        FerengineError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as beside:
            figure.savefig(beside, dpi=DPI, format=_kind(path))
    except (OSError, ValueError) as error:  # ValueError: a suffix that matplotlib does not know
        raise SinkError(f"{path} cannot be written: {error}") from None


def wrapped(title: str, inches: float) -> str:
    """A ``title`` of 10 to 11 points on as many lines as that width needs: several models have a long one."""
    return fill(title, max(20, int(12 * inches)))
