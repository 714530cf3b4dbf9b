"""How the bodies of webhooks are signed."""

from __future__ import annotations

import hashlib
import hmac


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `{timestamp}:{body}`, hexadecimal."""
    return hmac.new(secret, f"{timestamp}:".encode() + body, hashlib.sha256).hexdigest()
