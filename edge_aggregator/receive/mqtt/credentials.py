"""Passwords of devices, and the comparison that tells nothing by the time it takes."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from ingest.contract.topics import is_name
from ingest.runtime.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOBODY = hashlib.sha256(b"nobody").digest()


class Credentials:
    """Who may connect: passwords by device, kept as digests."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._digests = {device: _digest(password.encode()) for device, password in passwords.items()}

    def admit(self, device: str, username: str | None, password: bytes | None) -> bool:
        """Whether `device` may connect: its own name as user name, its own password. Constant time."""
        expected = self._digests.get(device, _NOBODY)
        right = hmac.compare_digest(expected, _digest(password or b""))
        return right and device in self._digests and username == device


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()


def read_credentials(path: str) -> dict[str, str]:
    """Read `device:password` lines; empty lines and those that begin with # are passed over.

    Raises ValueError where a line is none of these, and SecretError (a ValueError) where the file is missing or readable
    by others; no password is ever part of the text.
    """
    found: dict[str, str] = {}
    for place, line in enumerate(read_secret(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        device, colon, password = line.partition(":")
        if not (is_name(device) and colon and password):
            raise ValueError(f"{path}, line {place}: expected device:password, the device a name without spaces")
        if device in found:
            raise ValueError(f"{path}, line {place}: {device} has a password already")
        found[device] = password
    return found
