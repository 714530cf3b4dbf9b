"""Who did what about a rollout, and when: topic `rollout.audit.v1`, every entry chained to the one before."""

from __future__ import annotations

import hashlib

import msgspec

GENESIS = "0" * 64


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done. `at` in ms; `who` is a token's name, `gate`, or `site/device`.

    `kind` is plan, refused_plan, verdict, command, order, call, ack or rollback. `what` says it in a few words, `digest` is the SHA-256
    of the record that says it in full, `previous` that of the entry before (as it was appended), 64 zeros before the first.
    """

    seq: int
    at: int
    kind: str
    rollout: str
    tenant: str
    who: str
    what: str
    digest: str
    previous: str


def digest_of(value: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(value).hexdigest()
