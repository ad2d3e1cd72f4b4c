"""Redirects of HTTP streams, which are followed only on the host that the user named."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urljoin, urlsplit

from ferengine.errors import SourceError
from ferengine.sources.url import redact_url

_REDIRECTS = (301, 302, 303, 307, 308)


def redirect_target(url: str, timeout: float) -> str | None:
    """Return where a URL redirects to, with the credentials of ``url``.

    FFmpeg would follow a redirect to any host, and report nothing but an input/output error where it may not.

    Args:
        url: An http or https URL.
        timeout: Seconds to wait for the answer.

    Returns:
        The target, or None if the server does not redirect.

    Raises:
        SourceError: If it redirects to another host, or from https to http.
    """
    parts = urlsplit(url)
    location = _location(url, timeout)
    if location is None:
        return None
    target = urlsplit(urljoin(url, location))
    if target.hostname != parts.hostname or target.scheme not in ("https", parts.scheme):
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
            # As FFmpeg, which does not check certificates either: cameras sign their own.
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)
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
