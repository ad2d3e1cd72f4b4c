"""Stream URLs: which are supported, and how to show them without their credentials; how to show paths."""

from __future__ import annotations

import difflib
import os
import re
from itertools import islice
from pathlib import Path

_MAX_NAMES = 1000
"""Names of a folder that are compared with one that is not there: each takes about 20 us."""
_SHOWN = 250
"""Characters of a path that a message shows."""

STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CREDENTIALS = re.compile(r"[^\s=@]*:[^@]*@|[^\s=:@]+//[^@]*@")
"""User, password and @ where no URL can be read: a colon, a slash or the whole scheme is missing."""
_MISTYPED = re.compile(rf"(?<![\w/])(?:{'|'.join(STREAM_SCHEMES)})(?:[:;.]+[/\\]+|//)(?![/\\])", re.IGNORECASE)
"""A scheme whose ``://`` is not right: what is behind it may hold a password anywhere."""
_SECRETS = re.compile(r"[?&;](?:user|usr|login|pass|pwd|psw|token|key|auth|secret|sig)\w*=", re.IGNORECASE)
"""A query that keeps secrets, as those of cameras do, behind what is no URL."""
_STANDARD_INPUT = re.compile(r"/proc/\d+/fd/0|/dev/stdin")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?P<port>:\d{1,5})?")


def url_host(url: str) -> tuple[str, str] | None:
    """Return the host of a URL.

    Args:
        url: The URL, with credentials or without.

    Returns:
        Host and ``:port`` (or an empty string), or None if they cannot be distinguished from a password. An ``@`` behind the
        host is such a case: the password then probably holds a ``/``, ``?`` or ``#`` that should have been percent-encoded,
        and what looks like the host is a part of it.
    """
    authority, _, rest = _split_authority(url)
    found = _HOST.fullmatch(authority.rpartition("@")[2])
    if found is None or "@" in rest:
        return None
    return found["host"], found["port"] or ""


def redact_url(url: str) -> str:
    """Return a URL as it may stand in logs, events and errors: scheme, host and port only.

    Path and query go too, because cameras keep passwords (``?user=..&password=..``), tokens and stream keys there.

    >>> redact_url("rtsp://me:secret@10.0.0.7:554/live?key=secret")
    'rtsp://10.0.0.7:554/...'
    """
    host = url_host(url)
    scheme = url.partition("://")[0].lower()
    return f"{scheme}://{''.join(host) if host else '...'}/..."


def hide_credentials(text: str) -> str:
    """Return ``text`` with everything from its first URL on replaced by that URL as ``redact_url`` gives it.

    A mistyped URL shows nothing behind its credentials either.

    >>> hide_credentials("door=rtsp://me:secret@10.0.0.7/live")
    'door=rtsp://10.0.0.7/...'
    >>> hide_credentials("door=rtsp:/me:secret@10.0.0.7/live")
    'door=...'
    """
    found = _SCHEME.search(text)
    before = len(text) if found is None else found.start()
    hidden = [place.start() for pattern in (_CREDENTIALS, _MISTYPED, _SECRETS) if (place := pattern.search(text, 0, before))]
    if hidden:
        return f"{text[: min(hidden)]}..."
    return text if found is None else text[: found.start()] + redact_url(text[found.start() :])


def _split_authority(url: str) -> tuple[str, str, str]:
    """Authority (user, password, host, port), the separator behind it, and the rest."""
    after = url.partition("://")[2]
    separator = re.search(r"[/?#]", after)
    if separator is None:
        return after, "", ""
    return after[: separator.start()], separator[0], after[separator.end() :]


def show_path(path: str | Path) -> str:
    """Return a path as it may stand in messages: short, and in characters that every log takes."""
    if _STANDARD_INPUT.fullmatch(str(path)):
        return "standard input"
    text = without_controls(str(path).encode(errors="backslashreplace").decode())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"


def no_file(path: str | Path) -> str:
    """Say that a file is not there, with the name beside it that it may have been meant as.

    Args:
        path: Where it was looked for.
    """
    there = f"there is no file {show_path(path)}"
    try:
        with os.scandir(Path(path).parent) as entries:
            names = [entry.name for entry in islice(entries, _MAX_NAMES)]
    except (OSError, ValueError):  # nor is its folder
        return there
    close = difflib.get_close_matches(Path(path).name, names, 1, cutoff=0.75)
    return f"{there}: did you mean {show_path(Path(path).with_name(close[0]))}?" if close else there


def without_controls(text: str) -> str:
    """Return a text as it may stand on a terminal: a line break or an escape sequence in a file's name is spelt out.

    Example:
        >>> print(without_controls("two\\nlines.jpg"))
        two\\nlines.jpg
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
