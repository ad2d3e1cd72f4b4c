"""What may be shown of a stream's address: never its credentials, in whatever form they are written."""

from __future__ import annotations

import re

STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?P<port>:\d{1,5})?")


def address_host(url: str) -> tuple[str, str] | None:
    """Host and ``:port`` (or "") of ``url``; ``None`` where they cannot be told from a password.

    An ``@`` behind the host is such a case: the password then probably holds a ``/``, ``?`` or ``#`` that should have
    been percent-encoded, and what looks like the host is a piece of it.
    """
    authority, _, rest = _split_authority(url)
    found = _HOST.fullmatch(authority.rpartition("@")[2])
    if found is None or "@" in rest:
        return None
    return found["host"], found["port"] or ""


def shown_address(url: str) -> str:
    """``url`` for logs, events and errors: scheme, host and port only.

    Path and query go too: cameras keep passwords (``?user=..&password=..``), tokens and stream keys there.
    """
    host = address_host(url)
    scheme = url.partition("://")[0].lower()
    return f"{scheme}://{''.join(host) if host else '...'}/..."


def hide_credentials(text: str) -> str:
    """A command-line argument ``text`` with the address in it, if there is one, as ``shown_address`` gives it."""
    found = re.search(r"[A-Za-z][A-Za-z0-9+.-]*://", text)
    return text if found is None else text[: found.start()] + shown_address(text[found.start() :])


def _split_authority(url: str) -> tuple[str, str, str]:
    """Authority (user, password, host, port), the separator behind it, and the rest."""
    after = url.partition("://")[2]
    separator = re.search(r"[/?#]", after)
    if separator is None:
        return after, "", ""
    return after[: separator.start()], separator[0], after[separator.end() :]
