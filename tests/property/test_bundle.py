"""Bundles of signed commands: a proof vouches for its own envelope, under the key that signed, and for nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.bundle import MOST_TOGETHER, Bundles, bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KEYS: Any = {"ours": KEY.public_key(), "other": OTHER.public_key()}
lengths = st.integers(1, MOST_TOGETHER + 3)


def envelopes(count: int) -> list[bytes]:
    return [b"envelope %d" % number for number in range(count)]


def tree(leaves: Sequence[bytes | None]) -> bytes:
    """The root as the wire format words it: halves, and zeros where no envelope is."""
    if len(leaves) == 1:
        return bytes(32) if leaves[0] is None else hashlib.sha256(b"\0" + leaves[0]).digest()
    half = len(leaves) // 2
    return hashlib.sha256(b"\1" + tree(leaves[:half]) + tree(leaves[half:])).digest()


@settings(max_examples=25)
@given(lengths)
def test_each_proof_carries_the_signed_root_and_vouches_for_its_own_envelope_alone(count: int) -> None:
    given_, size = envelopes(count), 2
    while size < count:
        size *= 2
    proofs = bundle(given_, KEY)
    root = tree([*given_, *[None] * (size - count)])
    for place, proof in enumerate(proofs):
        KEY.public_key().verify(proof[2:66], b"tidegate:bundle:1\0" + root)
        assert Bundles(KEYS).vouches("ours", given_[place], proof)
        assert count == 1 or not Bundles(KEYS).vouches("ours", given_[place - 1], proof)
        assert not Bundles(KEYS).vouches("other", given_[place], proof)
        assert not Bundles(KEYS).vouches("unknown", given_[place], proof)


@given(lengths, st.data())
def test_a_changed_proof_or_envelope_is_not_vouched_for_though_the_bundle_is_known(
    count: int, data: st.DataObject
) -> None:
    given_ = envelopes(count)
    proofs, bundles = bundle(given_, KEY), Bundles(KEYS)
    assert all(bundles.vouches("ours", *pair) for pair in zip(given_, proofs, strict=True))
    place = data.draw(st.integers(0, count - 1))
    at = data.draw(st.integers(0, len(proofs[place]) - 1))
    flipped = bytearray(proofs[place])
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    assert not bundles.vouches("ours", given_[place], bytes(flipped))
    assert not bundles.vouches("ours", given_[place] + b" ", proofs[place])
    assert not bundles.vouches("ours", given_[place], proofs[place][:-32])


@given(st.binary(max_size=700))
def test_any_bytes_may_come_as_a_proof(proof: bytes) -> None:
    assert not Bundles(KEYS).vouches("ours", b"envelope", proof)


def test_an_inner_node_does_not_pass_for_an_envelope() -> None:
    given_ = envelopes(4)
    [first, *_] = bundle(given_, KEY)
    inner = b"".join(hashlib.sha256(b"\0" + one).digest() for one in given_[:2])
    above = (0).to_bytes(2, "little") + first[2:66] + first[98:]
    assert not Bundles(KEYS).vouches("ours", inner, above)


class _Counted:
    """A key that counts how often it is asked."""

    asked = 0

    def verify(self, signature: bytes, data: bytes) -> None:
        self.asked += 1
        KEY.public_key().verify(signature, data)


def test_the_signature_of_a_bundle_is_checked_once() -> None:
    key = _Counted()
    keys: Any = {"ours": key}
    given_, bundles = envelopes(MOST_TOGETHER), Bundles(keys)
    assert all(bundles.vouches("ours", *pair) for pair in zip(given_, bundle(given_, KEY), strict=True))
    assert key.asked == 1


def test_a_bundles_signature_is_none_of_a_command() -> None:
    [proof, _] = bundle(envelopes(2), KEY)
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(proof[2:66], envelopes(2)[0])
