"""Commands that were signed one by one, vouched for together: whoever reads many of them checks one signature instead of many.

The envelopes are the leaves of a Merkle tree, hashed as in RFC 9162, section 2.1 (0x00 before a leaf, 0x01 before two nodes, so that
neither passes for the other), filled up with zeros to a power of two; its root is signed with the key of the commands. A command's
proof is its place, that signature, and the nodes beside its way up: with the envelope they give the root, and none but the signed
envelopes do. No command is signed that way: the signed bytes are no JSON.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

BUNDLE_HEADER = "tidegate_bundle"
MOST_TOGETHER = 64
"""A proof has six nodes then: 258 bytes."""
_MOST_HEIGHT = 16
_Node = tuple[str, bytes, int, bytes, bytes]
"""Whose signature, the signature, where in its row, the hash, and what a proof says of the way up from there."""
_TEXT = b"tidegate:bundle:1\0"
_HEAD = struct.Struct("<H64s")
_NODE = 32


def bundle(envelopes: Sequence[bytes], key: Ed25519PrivateKey) -> list[bytes]:
    """One proof per envelope, of at most 2^16: place (u2, little-endian), signature (64 bytes), nodes from the leaf up (32 bytes each)."""
    height = max(1, (len(envelopes) - 1).bit_length())
    leaves = [_leaf(envelope) for envelope in envelopes]
    levels = [leaves + [bytes(_NODE)] * ((1 << height) - len(leaves))]
    while len(levels) <= height:
        below = levels[-1]
        levels.append([_above(left, right) for left, right in zip(below[::2], below[1::2], strict=True)])
    signature = key.sign(_TEXT + levels[-1][0])
    return [
        _HEAD.pack(place, signature) + b"".join(levels[up][place >> up ^ 1] for up in range(height))
        for place in range(len(envelopes))
    ]


class Bundles:
    """Checks proofs: the signature of each root once, and each node on the way up to it once. Not for several threads at once."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = keys
        self._good: set[_Node] = set()

    def vouches(self, key: str, envelope: bytes, proof: bytes) -> bool:
        """Whether whoever holds `key` has signed a bundle with this very envelope; `proof` may be anything."""
        height, rest = divmod(len(proof) - _HEAD.size, _NODE)
        if rest or not 0 < height <= _MOST_HEIGHT:
            return False
        place, signature = _HEAD.unpack_from(proof)
        return place >> height == 0 and self._is_signed(key, envelope, place, signature, proof)

    def _is_signed(self, key: str, envelope: bytes, place: int, signature: bytes, proof: bytes) -> bool:
        # From one node and the same rest of a proof, the way up is the same: it was gone before.
        node, passed = _leaf(envelope), list[_Node]()
        for at in range(_HEAD.size, len(proof), _NODE):
            beside = proof[at : at + _NODE]
            node = _above(beside, node) if place & 1 else _above(node, beside)
            place >>= 1
            here = (key, signature, place, node, proof[at + _NODE :])
            if here in self._good:
                break
            passed.append(here)
        else:
            if not self._has_signed(key, node, signature):
                return False
        self._good.update(passed)
        return True

    def _has_signed(self, key: str, root: bytes, signature: bytes) -> bool:
        public_key = self._keys.get(key)
        if public_key is None:
            return False
        try:
            public_key.verify(signature, _TEXT + root)
        except InvalidSignature:
            return False
        return True


def _leaf(envelope: bytes) -> bytes:
    return sha256(b"\0" + envelope).digest()


def _above(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()
