"""Keeps credentials that were given on the command line out of what ``ps`` shows, and out of messages on wrong usage."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ferengine.errors import UsageError
from ferengine.sources.url import hide_credentials

_TAKES_ADDRESS = ("--source", "-s", "--camera", "-c")
_HINTS = {"run": "give it with --source", "image": "save the image to a file first"}


def refuse_stray_addresses(arguments: Sequence[str]) -> None:
    """Raise UsageError for an address that no option for sources takes: the parser's own message would repeat it."""
    for before, argument in pairwise(["", *arguments]):
        is_value = before in _TAKES_ADDRESS or argument.startswith(tuple(f"{option}=" for option in _TAKES_ADDRESS))
        if "://" in argument and not is_value:
            hint = _HINTS.get(arguments[0], "leave it out")
            raise UsageError(f"{hide_credentials(argument)} stands where no address is expected: {hint}")


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
