"""Keeps credentials on the command line out of the output of ``ps`` and out of usage errors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ferengine.errors import UsageError
from ferengine.sources.url import hide_credentials

_TAKES_URL = ("--source", "-s", "--camera", "-c", "--mqtt", "--webhook")
_HINTS = {"run": "give it with --source, or before the options", "image": "save the image to a file first"}


def refuse_stray_urls(arguments: Sequence[str]) -> None:
    """Refuse a URL that no option or argument for sources takes: the message of the parser could repeat it.

    Args:
        arguments: The command line, from the subcommand on.

    Raises:
        UsageError: Naming the URL without its credentials.
    """
    for before, argument in pairwise(["", *arguments]):
        is_value = before in _TAKES_URL or argument.startswith(tuple(f"{option}=" for option in _TAKES_URL))
        takes_sources = arguments[0] in ("run", "serve")
        is_source = takes_sources and not argument.startswith("-") and (before == "--" or not before.startswith("-"))
        if hide_credentials(argument) != argument and not is_value and not is_source:
            hint = _HINTS.get(arguments[0], "leave it out")
            raise UsageError(f"{hide_credentials(argument)} is not expected here: {hint}")


def hide_arguments() -> None:
    """Overwrite the URLs among this process's arguments, in place, as ``ps`` and /proc show them.

    Python's own ``sys.argv`` stays as it is. Nothing happens if /proc does not say where the arguments are.
    """
    try:
        start, end = argument_range(Path("/proc/self/stat").read_bytes())
        arguments = Path("/proc/self/cmdline").read_bytes()
    except OSError:
        return
    hidden = b"\0".join(_hidden(argument) for argument in arguments.split(b"\0"))
    if hidden != arguments and start and end - start == len(arguments) and ctypes.string_at(start, len(arguments)) == arguments:
        ctypes.memmove(start, hidden, len(hidden))


def argument_range(stat: bytes) -> tuple[int, int]:
    """Where a process's arguments begin and end in its memory (proc(5): arg_start and arg_end), by its line of /proc.

    Both are 0 without permission, and where the line is shorter: QEMU's emulation of another processor's programs ends before.
    """
    fields = stat.rpartition(b")")[2].split()
    return (int(fields[45]), int(fields[46])) if len(fields) > 46 else (0, 0)


def _hidden(argument: bytes) -> bytes:
    """``argument`` without credentials, padded to its length so that the arguments behind it stay in place."""
    shown = hide_credentials(argument.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    return shown[: len(argument)].ljust(len(argument))
