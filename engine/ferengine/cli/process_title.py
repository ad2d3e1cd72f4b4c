"""Keeps credentials that were given on the command line out of what ``ps`` shows to every user."""

from __future__ import annotations

import ctypes
from pathlib import Path

from ferengine.sources.address import hide_credentials


def hide_arguments() -> None:
    """Write over the addresses among this process's arguments, in place, as ``ps`` and /proc show them.

    Python's own ``sys.argv`` stays as it is. Nothing happens where /proc does not tell where the arguments lie.
    """
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        arguments = Path("/proc/self/cmdline").read_bytes()
    except OSError:
        return
    start, end = int(fields[45]), int(fields[46])  # proc(5): arg_start and arg_end, 0 without permission
    hidden = b"\0".join(_hidden(argument) for argument in arguments.split(b"\0"))
    if hidden != arguments and start and end - start == len(arguments) and ctypes.string_at(start, len(arguments)) == arguments:
        ctypes.memmove(start, hidden, len(hidden))


def _hidden(argument: bytes) -> bytes:
    """``argument`` without credentials, padded to its length: the arguments behind it stay where they are."""
    if b"://" not in argument:
        return argument
    shown = hide_credentials(argument.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    return shown[: len(argument)].ljust(len(argument))
