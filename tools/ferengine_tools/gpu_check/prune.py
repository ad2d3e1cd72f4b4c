"""Keeps the device code of one GPU architecture in a CUDA library, so that it packs small for a machine without a network.

The CUDA provider of ONNX Runtime holds kernels for every architecture. Offsets and headers stay as they are, the images of
other architectures become zeros, and the driver never looks at them. Images of the architecture in containers that hold no
other (kernels for language models) are zeroed as well: no convolutional network calls them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

_MAGIC = struct.pack("<I", 0xBA55ED50)
"""Of a container of device code, a "fatbin"."""
_HEADER = 16
_ARCHITECTURE, _PAYLOAD = 28, 8
"""Where an image's header holds its compute capability and the bytes behind the header."""


@dataclass(frozen=True, slots=True)
class Image:
    """Device code for one architecture: ``capability`` (90 for 9.0), and the bytes [``first``, ``end``) of its code."""

    capability: int
    first: int
    end: int


def containers(data: bytes | bytearray) -> list[list[Image]]:
    """The images of each container in a library."""
    found: list[list[Image]] = []
    at = data.find(_MAGIC)
    while at >= 0:
        version, header, size = struct.unpack_from("<HHQ", data, at + 4) if at + _HEADER <= len(data) else (0, 0, 0)
        end = at + header + size
        if version != 1 or header != _HEADER or end > len(data):
            end = at + 4  # by chance the same four bytes
        else:
            found.append(_images(data, at + header, end))
        at = data.find(_MAGIC, end)
    return found


def _images(data: bytes | bytearray, place: int, end: int) -> list[Image]:
    images = []
    while place + _ARCHITECTURE + 4 <= end:
        kind, _, length = struct.unpack_from("<HHI", data, place)
        if kind == 0:
            break
        (payload,) = struct.unpack_from("<Q", data, place + _PAYLOAD)
        (capability,) = struct.unpack_from("<I", data, place + _ARCHITECTURE)
        images.append(Image(capability, place + length, place + length + payload))
        place += length + payload
    return images


def prune(data: bytes, capability: int) -> tuple[bytes, int, int]:
    """A library with the device code of one architecture.

    Args:
        data: The library.
        capability: 90 for compute capability 9.0. Where a container has none of it, the next older of the same major version
            is kept, which such a GPU runs.

    Returns:
        The library, equally long; the bytes of device code that were kept, and that were zeroed.
    """
    pruned, kept, zeroed = bytearray(data), 0, 0
    for images in containers(data):
        capabilities = {image.capability for image in images}
        fitting = [each for each in capabilities if each // 10 == capability // 10 and each <= capability]
        best = None if capabilities == {capability} else max(fitting, default=None)
        for image in images:
            if image.capability == best:
                kept += image.end - image.first
            else:
                pruned[image.first : image.end] = bytes(image.end - image.first)
                zeroed += image.end - image.first
    return bytes(pruned), kept, zeroed


def main(
    library: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Such as libonnxruntime_providers_cuda.so.")],
    out: Annotated[Path, typer.Argument(help="Where to write the smaller one.")],
    capability: Annotated[int, typer.Argument(help="Of the GPU: 90 for an H100, 89 for an RTX 4090.")],
) -> None:
    """Keep one architecture's device code in a CUDA library."""
    pruned, kept, zeroed = prune(library.read_bytes(), capability)
    out.write_bytes(pruned)
    typer.echo(f"kept {kept / 1e6:.1f} MB of device code, zeroed {zeroed / 1e6:.1f} MB: {out} now packs small (xz, zip)")


if __name__ == "__main__":
    typer.run(main)
