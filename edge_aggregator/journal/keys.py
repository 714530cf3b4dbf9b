"""The journal's keys: from a file that only its owner can read, or from the environment."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.journal.seal import KEY_BYTES, PLAIN, JournalKey, Keyring
from ingest.runtime.secrets import SecretError, read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "none"
"""As the first line: what is written from now on is not encrypted, what the other keys sealed is still read."""


class KeySource(NamedTuple):
    """Where the keys stand: a file, or a variable of the environment; one key a line (or word), the newest first."""

    file: str
    variable: str


def load_keyring(source: KeySource, owner: tuple[str, ...], environment: Mapping[str, str]) -> Keyring:
    """The keys for the journal of `owner` (tenant, site, gateway); none without a source. Raises SecretError."""
    words = _words(source, environment)
    keys = [_key(word, number) for number, word in enumerate(words, 1) if word != NONE]
    newest = keys[0].id if keys and words[0] != NONE else PLAIN
    if len({key.id for key in keys}) < len(keys):
        raise SecretError("the journal's keys: one of them stands there twice, remove it")
    return Keyring("\0".join(owner).encode(), keys, newest=newest)


def _words(source: KeySource, environment: Mapping[str, str]) -> list[str]:
    if source.file:
        text, where = read_secret(source.file), source.file
    elif source.variable:
        text, where = environment.get(source.variable, ""), f"${source.variable}"
    else:
        return []
    if not text.split():
        raise SecretError(
            f"{where}: expected at least one journal key, found nothing; make one: openssl rand -base64 32"
        )
    return text.split()


def _key(word: str, number: int) -> JournalKey:
    try:
        raw = base64.b64decode(word, validate=True)
    except binascii.Error as error:
        raise SecretError(f"journal key {number}: expected base64 of {KEY_BYTES} bytes: {error}") from error
    if len(raw) != KEY_BYTES:
        raise SecretError(f"journal key {number}: expected base64 of {KEY_BYTES} bytes, found {len(raw)} bytes")
    return JournalKey.from_raw(raw)
