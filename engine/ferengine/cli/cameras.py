"""``ferengine cameras``: the cameras of this machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ferengine.json_text import json_text
from ferengine.sources.v4l2 import CameraDevice, FrameSize, list_cameras


def cameras(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array, with all sizes and rates.")] = False,
) -> None:
    """List the cameras of this machine with their formats and frame rates.

    Pass the number or the device to ferengine run --camera.
    """
    found = list_cameras()
    if as_json:
        print(json_text([camera.to_dict() for camera in found], indent=2))
        return
    if not found:
        Console(stderr=True).print(
            "no camera: no /dev/video* gives images. In a container, pass the device (docker run --device /dev/video0)",
            highlight=False,
            soft_wrap=True,
        )
    for camera in found:
        _print(camera, Console())


def _print(camera: CameraDevice, console: Console) -> None:
    names = f"{camera.path}  {camera.card}" + (f"  ({camera.bus})" if camera.bus else "")
    console.print(names, highlight=False, markup=False, style="bold", soft_wrap=True)
    for name in camera.stable:
        console.print(f"  {name}", highlight=False, markup=False, soft_wrap=True)
    if camera.unavailable_reason is not None:
        console.print(f"  {camera.unavailable_reason}", highlight=False, markup=False, soft_wrap=True)
        return
    table = Table("format", "sizes and frames/s", box=None, padding=(0, 2))
    for pixel_format in camera.formats:
        sizes = ", ".join(map(_size, pixel_format.sizes)) or "not listed by the driver"
        table.add_row(f"{pixel_format.code} ({pixel_format.description})", sizes)
    console.print(table)


def _size(size: FrameSize) -> str:
    rates = "/".join(f"{rate:g}" for rate in size.fps)
    return f"{size.width}x{size.height}" + (f" ({rates})" if rates else "")
