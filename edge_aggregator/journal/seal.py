"""How a block is sealed: a checksum for everybody, and AES-256-GCM for those who have keys.

What is sealed is bound to its place: who owns the journal, the file's first position, and all numbers of the block's row.
So a block cannot be moved to another place, file or gateway, and its numbers cannot be changed, without being noticed.
Without a key that holds against accidents (CRC-32), with one also against intent (GCM, NIST SP 800-38D; the numbers by
themselves: keyed BLAKE2b, RFC 7693).

Nonces are 96 random bits, drawn anew for each block and kept in front of it. They do not come from the position, because
a position can be used twice: what a power cut took back is written again with other content. SP 800-38D (8.3) allows
2^32 random nonces for one key; a gateway that commits ten blocks a second and merges them needs 13 years for that many.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PLAIN = 0
"""The key id of what is not encrypted."""
KEY_BYTES = 32
_NONCE_BYTES = 12


class SealError(ValueError):
    """What was sealed is not what is found; the text says how one knows."""


class UnknownKeyError(SealError):
    """A block was sealed with a key that is not here."""


class JournalKey(NamedTuple):
    """A key by its id, which is derived from it; `raw` has 32 bytes."""

    id: int
    raw: bytes

    @classmethod
    def from_raw(cls, raw: bytes) -> JournalKey:
        """A key of 32 bytes."""
        digest = hashlib.sha256(b"tidegate journal key id" + raw).digest()
        return cls(max(1, int.from_bytes(digest[:4], "big") & 0x7FFFFFFF), raw)


class Keyring:
    """The keys of a journal. `newest` seals what is written from now on, `PLAIN` leaves it readable.

    `owner` names tenant, site and gateway; `random(n)` gives n unpredictable bytes.
    """

    def __init__(
        self,
        owner: bytes = b"",
        keys: Sequence[JournalKey] = (),
        *,
        newest: int = PLAIN,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.newest, self._owner, self._random = newest, owner, random
        self._ciphers = {key.id: AESGCM(key.raw) for key in keys}
        self._sums = {key.id: hashlib.sha256(b"tidegate journal numbers" + key.raw).digest() for key in keys}

    def size(self) -> int:
        """How many keys there are."""
        return len(self._ciphers)

    def has(self, key: int) -> bool:
        """Whether what was sealed with this key can be read."""
        return key == PLAIN or key in self._ciphers

    def sum(self, key: int, numbers: bytes) -> int:
        """A checksum of a row's numbers, as a signed integer of 64 bits. Raises UnknownKeyError."""
        if key == PLAIN:
            return zlib.crc32(self._owner + numbers)
        if key not in self._sums:
            raise UnknownKeyError(f"it is sealed with key {key:08x}, which is not configured")
        digest = hashlib.blake2b(self._owner + numbers, key=self._sums[key], digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True)

    def seal(self, key: int, numbers: bytes, content: bytes) -> bytes:
        """Content bound to its row's numbers. Raises UnknownKeyError."""
        if key == PLAIN:
            return self._checksum(numbers, content) + content
        nonce = self._random(_NONCE_BYTES)
        return nonce + self._cipher(key).encrypt(nonce, content, self._owner + numbers)

    def unseal(self, key: int, numbers: bytes, sealed: bytes) -> bytes:
        """The content of `seal`. Raises SealError."""
        if key == PLAIN:
            if self._checksum(numbers, sealed[4:]) != sealed[:4]:
                raise SealError("the checksum does not match")
            return sealed[4:]
        try:
            return self._cipher(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._owner + numbers)
        except (InvalidTag, ValueError) as error:
            raise SealError(f"it does not open with key {key:08x}: damaged, or moved here") from error

    def _cipher(self, key: int) -> AESGCM:
        if key not in self._ciphers:
            raise UnknownKeyError(f"it is sealed with key {key:08x}, which is not configured")
        return self._ciphers[key]

    def _checksum(self, numbers: bytes, content: bytes) -> bytes:
        return zlib.crc32(content, zlib.crc32(self._owner + numbers)).to_bytes(4, "little")


UNSEALED = Keyring()
"""Checksums only, and no owner."""
