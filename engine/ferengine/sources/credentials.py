"""User names and passwords in requests of HTTP and RTSP, which share their schemes: Basic and Digest."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


def answer_challenge(challenges: list[str], user: str, password: str, method: str, target: str) -> str | None:
    """Return the header Authorization of a request (RFC 7617, RFC 2617 section 3.2.2), None if no challenge is understood.

    Args:
        challenges: The headers WWW-Authenticate of the answer to the request without it.
        user: The user name.
        password: The password.
        method: The request, such as GET.
        target: What is asked for: of RTSP the URL without credentials, of HTTP its path and query.
    """
    known = {scheme.lower(): rest for scheme, _, rest in (challenge.strip().partition(" ") for challenge in challenges)}
    if "digest" in known:
        given = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(known["digest"])}
        if given.get("algorithm", "MD5").upper() != "MD5" or "nonce" not in given:
            return None
        realm, nonce = given.get("realm", ""), given["nonce"]
        secret, asked = _md5(f"{user}:{realm}:{password}"), _md5(f"{method}:{target}")
        answer = f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{target}"'
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
