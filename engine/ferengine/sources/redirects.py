"""Redirects of streams, which are followed only on the host that the user named."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import secrets
import socket
import ssl
from email import message_from_string
from email.message import Message
from urllib.parse import unquote, urljoin, urlsplit

from ferengine.errors import CredentialsError, SourceError
from ferengine.sources.url import redact_url

_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
_MAX_ANSWER = 16384
"""Bytes of an answer's header."""
_UNAUTHORISED = 401
_AGENT = "Lavf"
"""FFmpeg's, so that the server answers alike."""
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
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
        CredentialsError: If an RTSP server refuses the user name and password.
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
                authorisation = rtsp_authorisation(header.get_all("WWW-Authenticate", []), user, password, asked)
                if authorisation is None:
                    return None  # FFmpeg reports it
                code, header = _describe(connection, asked, 2, authorisation)
    except (OSError, ValueError):
        return None
    if code == _UNAUTHORISED and parts.username is not None:
        raise CredentialsError(refused_credentials(redact_url(url), code))
    return header["Location"] if code in _REDIRECTS else None


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


def rtsp_authorisation(challenges: list[str], user: str, password: str, url: str) -> str | None:
    """Return the header Authorization of a DESCRIBE (RFC 7617, RFC 2617 section 3.2.2), None if no challenge is understood.

    Args:
        challenges: The headers WWW-Authenticate.
        user: The user name.
        password: The password.
        url: What is asked for, without credentials.
    """
    known = {scheme.lower(): rest for scheme, _, rest in (challenge.strip().partition(" ") for challenge in challenges)}
    if "digest" in known:
        given = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(known["digest"])}
        if given.get("algorithm", "MD5").upper() != "MD5" or "nonce" not in given:
            return None
        realm, nonce = given.get("realm", ""), given["nonce"]
        secret, asked = _md5(f"{user}:{realm}:{password}"), _md5(f"DESCRIBE:{url}")
        answer = f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{url}"'
        if "opaque" in given:
            answer += f', opaque="{given["opaque"]}"'
        if "auth" in re.split(r"[ ,]+", given.get("qop", "")):
            own = secrets.token_hex(8)
            proof = _md5(f"{secret}:{nonce}:00000001:{own}:auth:{asked}")
            return f'{answer}, qop=auth, nc=00000001, cnonce="{own}", response="{proof}"'
        return f'{answer}, response="{_md5(f"{secret}:{nonce}:{asked}")}"'
    if "basic" in known:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    return None


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # what the protocol has


def refused_credentials(where: str, code: int) -> str:
    """Return what is said where a server refuses user name and password with the status ``code``."""
    return (
        f"{where} refuses the user name and password ({code}): write them as USER:PASSWORD@ before the host, "
        "special characters percent-encoded (@ as %40)"
    )


def _any_certificate() -> ssl.SSLContext:
    """As FFmpeg, which does not check certificates either: cameras sign their own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
