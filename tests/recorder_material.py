"""Requests for raw samples as the centre signs them, and answers as it reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ingest.contract.commands import key_id, sign_command
from ingest.contract.records import Outgoing
from ingest.contract.requests import SampleRequest
from ingest.contract.samples import SAMPLE_COLUMNS, SampleChunk, decode_samples
from ingest.contract.topics import REQUESTS
from tests.edge_bench import SITE, T0, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ingest.contract.samples import Summary


def request(signer: Ed25519PrivateKey, /, **changes: Any) -> SampleRequest:
    settings: dict[str, Any] = {
        "request": "r1",
        "kind": "samples",
        "tenant": "acme",
        "site": SITE,
        "device": "*",
        "metrics": [],
        "start": T0,
        "end": T0 + 3_600_000,
        "most_samples": 10_000_000,
        "asked_by": "ann",
        "key": key_id(signer.public_key()),
        "issued": T0,
        "expires": T0 + 600_000,
    }
    return SampleRequest(**(settings | changes))


def asked(signer: Ed25519PrivateKey, /, **changes: Any) -> Outgoing:
    """A signed request as it stands in the log."""
    envelope = msgspec.json.encode(sign_command(request(signer, **changes), signer))
    return Outgoing(REQUESTS, SITE.encode(), envelope)


class Answer(NamedTuple):
    """All of one gateway's newest attempt; `chunks` in order."""

    samples: list[Sample]
    summary: Summary
    chunks: list[SampleChunk]


def answer(values: Iterable[bytes | None], name: str = "r1") -> Answer | None:
    """What was answered to a request, once the last chunk is there."""
    chunks = [chunk for chunk in (decode_samples(value or b"") for value in values) if chunk.request == name]
    newest = max((chunk.attempt for chunk in chunks), default=0)
    numbered = {chunk.chunk: chunk for chunk in chunks if chunk.attempt == newest}
    ordered = [numbered[number] for number in sorted(numbered)]
    if not ordered or ordered[-1].summary is None:
        return None
    assert sorted(numbered) == list(range(ordered[-1].summary.chunks))
    return Answer([sample for chunk in ordered for sample in rows(chunk)], ordered[-1].summary, ordered)


def rows(chunk: SampleChunk) -> list[Sample]:
    return [
        Sample(chunk.devices[device].device, chunk.metrics[metric].name, ts, value)
        for device, metric, ts, value in zip(*(chunk.columns[name].tolist() for name in SAMPLE_COLUMNS), strict=True)
    ]
