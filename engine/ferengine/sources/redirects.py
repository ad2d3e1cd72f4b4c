"""Redirects of streams, which are followed only on the host that the user named."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from urllib.parse import urljoin, urlsplit

from ferengine.errors import SourceError
from ferengine.sources.url import redact_url

_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
_MAX_ANSWER = 16384
"""Bytes of an answer's header."""
_REDIRECTS = (301, 302, 303, 307, 308)


def redirect_target(url: str, timeout: float) -> str | None:
    """Return where a URL redirects to, with the credentials of ``url``.

    FFmpeg would follow a redirect to any host; where it may not, it reports nothing but an input/output error.

    Args:
        url: An http, https, rtsp or rtsps URL.
        timeout: Seconds to wait for the answer.

    Returns:
        The target, or None if the server does not redirect.

    Raises:
        SourceError: If it redirects to another host, to another kind of stream, or from an encrypted one to one that is not.
    """
    parts = urlsplit(url)
    is_rtsp = parts.scheme.lower().startswith("rtsp")
    location = (_rtsp_location if is_rtsp else _location)(url, timeout)
    if location is None:
        return None
    target = urlsplit(urljoin(url, location))
    if target.hostname != parts.hostname or target.scheme not in ("rtsps" if is_rtsp else "https", parts.scheme):
        shown = redact_url(target.geturl())
        raise SourceError(f"{redact_url(url)} redirects to {shown}, which is not followed: give that URL if you trust it")
    userinfo, at, _ = parts.netloc.rpartition("@")
    return target._replace(netloc=userinfo + at + target.netloc.rpartition("@")[2]).geturl()


def _location(url: str, timeout: float) -> str | None:
    """The header Location of a redirect; None for any other answer, and where there is none."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    try:
        if parts.scheme.lower() == "https":
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=timeout, context=_any_certificate()
            )
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            answer = connection.getresponse()
            return answer.getheader("Location") if answer.status in _REDIRECTS else None
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _rtsp_location(url: str, timeout: float) -> str | None:
    """The same of RTSP (RFC 2326, sections 10.2 and 11.3), asked with the request that FFmpeg sends, without credentials."""
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme.lower()
    asked = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = f"DESCRIBE {asked} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\nUser-Agent: ferengine\r\n\r\n"
    answer = b""
    try:
        with socket.create_connection((host, parts.port or _DEFAULT_PORTS[scheme]), timeout) as plain:
            connection = _any_certificate().wrap_socket(plain, server_hostname=host) if scheme == "rtsps" else plain
            connection.sendall(request.encode())
            while b"\r\n\r\n" not in answer and len(answer) < _MAX_ANSWER and (more := connection.recv(4096)):
                answer += more
    except (OSError, ValueError):
        return None
    status, _, header = answer.decode("latin-1").partition("\r\n")
    code = re.fullmatch(r"RTSP/\d\.\d (\d{3}).*", status)
    location = re.search(r"^Location:[ \t]*(\S+)", header, re.IGNORECASE | re.MULTILINE)
    return location[1] if code and int(code[1]) in _REDIRECTS and location else None


def _any_certificate() -> ssl.SSLContext:
    """As FFmpeg, which does not check certificates either: cameras sign their own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
