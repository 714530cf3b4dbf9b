"""Signed commands to devices: the signed bytes travel verbatim, and are verified before they are parsed."""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature

from ingest.contract.reasons import CommandRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

INSTALL = "install"
"""Install `version` (also the way back: an old image under a higher counter)."""


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device is told to do. `counter` rises per device for ever; `issued` and `expires` are ms since the epoch.

    `downgrade`: `version` may be older than what the device runs.
    """

    command: str
    kind: str
    tenant: str
    site: str
    device: str
    rollout: str
    key: str
    counter: int
    issued: int
    expires: int
    version: str
    digest: str
    downgrade: bool = False


class SignedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.commands.v1` and the device's MQTT topic, JSON: base64 of the signed bytes and of the signature."""

    key: str
    payload: str
    signature: str

    def signed_bytes(self) -> bytes:
        """The bytes that the signature covers. Raises binascii.Error when they are not base64."""
        return binascii.a2b_base64(self.payload, strict_mode=True)


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


T = TypeVar("T", bound=_Keyed)


class RefusedCommandError(ValueError):
    """Something signed that must not be obeyed, and why."""

    def __init__(self, reason: CommandRefusal, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason


def key_id(public_key: Ed25519PublicKey) -> str:
    """A key's name: the first 16 hexadecimal digits of the SHA-256 of its raw 32 bytes."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]


def sign_command(command: _Keyed, private_key: Ed25519PrivateKey) -> SignedCommand:
    """Sign a command, or a request for samples, with Ed25519 (RFC 8032); `command.key` must name the key."""
    payload = msgspec.json.encode(command)
    return SignedCommand(
        key=command.key,
        payload=_base64(payload),
        signature=_base64(private_key.sign(payload)),
    )


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def open_command(
    envelope: bytes, keys: Mapping[str, Ed25519PublicKey], vouched: Callable[[str], bool] | None = None
) -> Command:
    """Verify, then parse. Raises RefusedCommandError (malformed, unknown_key, bad_signature).

    `vouched` says whether the holder of a key has vouched for this very envelope: then its own signature is not checked.
    """
    return open_signed(envelope, keys, Command, vouched)


def open_signed(
    envelope: bytes,
    keys: Mapping[str, Ed25519PublicKey],
    kind: type[T],
    vouched: Callable[[str], bool] | None = None,
) -> T:
    """Verify, then parse as `kind`, as `open_command` does. Raises RefusedCommandError (malformed, unknown_key, bad_signature)."""
    try:
        signed = msgspec.json.decode(envelope, type=SignedCommand)
        payload, signature = signed.signed_bytes(), binascii.a2b_base64(signed.signature, strict_mode=True)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise RefusedCommandError(CommandRefusal.MALFORMED, str(error)[:200]) from error
    if vouched is None or not vouched(signed.key):
        _verify(signed.key, payload, signature, keys)
    try:
        opened = msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedCommandError(CommandRefusal.MALFORMED, str(error)[:200]) from error
    if opened.key != signed.key:
        raise RefusedCommandError(CommandRefusal.UNKNOWN_KEY, "the envelope names another key")
    return opened


def _verify(key: str, payload: bytes, signature: bytes, keys: Mapping[str, Ed25519PublicKey]) -> None:
    public_key = keys.get(key)
    if public_key is None:
        raise RefusedCommandError(CommandRefusal.UNKNOWN_KEY, key[:64])
    try:
        public_key.verify(signature, payload)
    except InvalidSignature as error:
        raise RefusedCommandError(CommandRefusal.BAD_SIGNATURE) from error
