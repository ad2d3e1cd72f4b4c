"""Encrypts what Ray stores and shows: sources with their passwords, and the settings of outputs.

Ray keeps the arguments of actors in its task specifications, its tables and its dashboard, where all users of the cluster can
read them. Sources travel sealed: encrypted and signed (Fernet: AES-128 in CBC mode with HMAC-SHA256) with a key made from the
cluster's token, which every node has anyway.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from ferengine.errors import UsageError

MIN_TOKEN = 32
"""Characters of the cluster's token."""


class Sealer:
    """Seals and opens JSON objects.

    Args:
        token: The cluster's token.

    Example:
        >>> sealer = Sealer("0123456789abcdef" * 4)
        >>> sealer.open(sealer.seal({"value": "rtsp://user:secret@camera"}))["value"]
        'rtsp://user:secret@camera'
    """

    def __init__(self, token: str) -> None:
        digest = hashlib.sha256(b"ferengine fleet\0" + token.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(digest))

    def seal(self, record: Mapping[str, Any]) -> bytes:
        """Encrypt a JSON object."""
        sealed: bytes = self._fernet.encrypt(json.dumps(record).encode())
        return sealed

    def open(self, sealed: bytes) -> dict[str, Any]:
        """The object again. Raises UsageError if it was sealed with another token, or changed."""
        try:
            record: dict[str, Any] = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise UsageError("the fleet's settings were sealed with another token: give all nodes the same one") from None
        return record


def cluster_token() -> str | None:
    """The token of Ray's authentication, looked for where Ray itself does; ``None`` if there is none.

    Raises:
        UsageError: It is too short, or its file cannot be read.
    """
    token = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    if not token:
        named = os.environ.get("RAY_AUTH_TOKEN_PATH")
        path = Path(named) if named else Path.home() / ".ray" / "auth_token"
        if not named and not path.exists():
            return None
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the cluster's token cannot be read from {path}: {error}") from None
    if len(token) < MIN_TOKEN:
        raise UsageError(
            f"the cluster's token has {len(token)} characters, and needs at least {MIN_TOKEN}: make one with "
            "ray get-auth-token --generate"
        )
    return token
