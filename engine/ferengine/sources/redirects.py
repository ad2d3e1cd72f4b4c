"""Redirects of streams, which are followed only on the host that the user named."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from email import message_from_string
from email.message import Message
from urllib.parse import unquote, urljoin, urlsplit

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.credentials import answer_challenge, refused_credentials
from ferengine.sources.url import redact_url

_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
_MAX_ANSWER = 16384
"""Bytes of an answer's header."""
_UNAUTHORISED = 401
_AGENT = "Lavf"
"""FFmpeg's, so that the server answers alike."""
REDIRECTS = (301, 302, 303, 307, 308)


def redirect_target(url: str, timeout: float) -> str | None:
    """Return where a URL redirects to, with the credentials of ``url``.

    FFmpeg would follow a redirect to any host; where it may not, it reports nothing but an input/output error.

    Args:
        url: An http, https, rtsp or rtsps URL.
        timeout: Seconds to wait for the answer.

    Returns:
        The target, or None if the server does not redirect.

    Raises:
        CredentialsError: If an RTSP server refuses the user name and password.
        SourceError: If it redirects to another host, to another kind of stream, or from an encrypted one to one that is not.
    """
    parts = urlsplit(url)
    is_rtsp = parts.scheme.lower().startswith("rtsp")
    location = (_rtsp_location if is_rtsp else _location)(url, timeout)
    return None if location is None else allowed_target(url, location)


def allowed_target(url: str, location: str) -> str:
    """Return where the header ``Location`` of an answer leads to, with the credentials of ``url``.

    Args:
        url: What was asked for.
        location: The header.

    Raises:
        SourceError: As ``redirect_target``.
    """
    parts = urlsplit(url)
    is_rtsp = parts.scheme.lower().startswith("rtsp")
    target = urlsplit(urljoin(url, location))
    if target.hostname != parts.hostname or target.scheme not in ("rtsps" if is_rtsp else "https", parts.scheme):
        shown = redact_url(target.geturl())
        raise SourceError(f"{redact_url(url)} redirects to {shown}, which is not followed: give that URL if you trust it")
    userinfo, at, _ = parts.netloc.rpartition("@")
    return target._replace(netloc=userinfo + at + target.netloc.rpartition("@")[2]).geturl()


def _location(url: str, timeout: float) -> str | None:
    """The header Location of a redirect; None for any other answer, and where there is none."""
    parts = urlsplit(url)
    try:
        connection = http_connection(url, timeout)
        try:
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            answer = connection.getresponse()
            return answer.getheader("Location") if answer.status in REDIRECTS else None
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None


def http_connection(url: str, timeout: float) -> http.client.HTTPConnection:
    """Return a connection to the host of an http or https URL, which is made by its first request.

    Args:
        url: The URL.
        timeout: Seconds to wait for each answer.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() == "https":
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=_any_certificate())
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)


def _rtsp_location(url: str, timeout: float) -> str | None:
    """The same of RTSP (RFC 2326, sections 10.2 and 11.3), asked as FFmpeg does: without credentials, then, where the server
    wants them, with them.

    Raises:
        CredentialsError: If the server refuses them: asked again by FFmpeg, some would lock the account.
    """
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme.lower()
    asked = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        with socket.create_connection((host, parts.port or _DEFAULT_PORTS[scheme]), timeout) as plain:
            connection = _any_certificate().wrap_socket(plain, server_hostname=host) if scheme == "rtsps" else plain
            code, header = _describe(connection, asked, 1)
            if code == _UNAUTHORISED and parts.username is not None:
                user, password = unquote(parts.username), unquote(parts.password or "")
                challenges = header.get_all("WWW-Authenticate", [])
                authorisation = answer_challenge(challenges, user, password, "DESCRIBE", asked)
                if authorisation is None:
                    return None  # FFmpeg reports it
                code, header = _describe(connection, asked, 2, authorisation)
    except (OSError, ValueError):
        return None
    if code == _UNAUTHORISED and parts.username is not None:
        raise CredentialsError(refused_credentials(redact_url(url), code))
    return header["Location"] if code in REDIRECTS else None


def _describe(connection: socket.socket, url: str, number: int, authorisation: str | None = None) -> tuple[int, Message]:
    """The code and the header of the answer to DESCRIBE; 0 for what is none."""
    extra = f"Authorization: {authorisation}\r\n" if authorisation else ""
    request = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: {number}\r\nAccept: application/sdp\r\nUser-Agent: {_AGENT}\r\n{extra}\r\n"
    connection.sendall(request.encode())
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < _MAX_ANSWER and (more := connection.recv(4096)):
        answer += more
    status, _, header = answer.decode("latin-1").partition("\r\n")
    code = re.fullmatch(r"RTSP/\d\.\d (\d{3}).*", status)
    return int(code[1]) if code else 0, message_from_string(header)


def _any_certificate() -> ssl.SSLContext:
    """As FFmpeg, which does not check certificates either: cameras sign their own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
