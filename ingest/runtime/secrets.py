"""Secrets and keys: from files that only their owner can read, never from arguments."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ingest.contract.commands import key_id

if TYPE_CHECKING:
    from collections.abc import Iterable


class SecretError(ValueError):
    """A secret that is missing, readable by others, or not what it should be; the text says what to do."""


def read_secret(path: str | Path) -> str:
    """The content of a secret file without surrounding white space. Raises SecretError."""
    return _private_bytes(Path(path)).decode().strip()


def load_private_key(path: str | Path) -> Ed25519PrivateKey:
    """An Ed25519 private key (PEM, PKCS #8). Raises SecretError."""
    try:
        key = load_pem_private_key(_private_bytes(Path(path)), password=None)
    except ValueError as error:
        raise SecretError(f"{path}: expected an Ed25519 private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SecretError(f"{path}: found a {type(key).__name__}, expected an Ed25519 private key")
    return key


def generate_private_key(path: str | Path) -> Ed25519PrivateKey:
    """Make a key and write it (PEM, mode 0600); an existing file is kept and loaded."""
    target = Path(path)
    if target.exists():
        return load_private_key(target)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(target, pem)
    return key


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read, durably."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def public_key_text(key: Ed25519PublicKey) -> str:
    """How a public key stands in a configuration: base64 of its raw 32 bytes."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def parse_public_key(text: str) -> Ed25519PublicKey:
    """A public key from base64 of its raw 32 bytes. Raises SecretError."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise SecretError(f"public key {text[:12]}…: expected base64 of 32 bytes: {error}") from error


def parse_public_keys(texts: Iterable[str]) -> dict[str, Ed25519PublicKey]:
    """Public keys by key id. Raises SecretError."""
    keys = [parse_public_key(text) for text in texts]
    return {key_id(key): key for key in keys}


def _private_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise SecretError(f"{path}: cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError(f"{path}: mode {stat.S_IMODE(mode):04o} lets others read it; run: chmod 600 {path}")
    return content
