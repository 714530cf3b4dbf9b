"""Secrets come from files that only their owner can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.runtime.secrets import (
    SecretError,
    generate_private_key,
    load_private_key,
    parse_public_key,
    public_key_text,
    read_secret,
    write_secret,
)


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "gateway.pem"
    first = generate_private_key(path)
    assert generate_private_key(path).private_bytes_raw() == first.private_bytes_raw()
    assert path.stat().st_mode & 0o777 == 0o600
    assert parse_public_key(public_key_text(first.public_key())) == first.public_key()


def test_a_secret_that_others_can_read_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write_secret(path, b"s3cret\n")
    assert read_secret(path) == "s3cret"
    path.chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        read_secret(path)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    write_secret(path, content)
    with pytest.raises(SecretError, match="expected an Ed25519 private key"):
        load_private_key(path)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "é"])
def test_a_bad_public_key_is_said(text: str) -> None:
    with pytest.raises(SecretError, match="expected base64 of 32 bytes"):
        parse_public_key(text)
