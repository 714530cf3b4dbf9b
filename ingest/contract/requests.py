"""Signed requests for raw samples out of a gateway's flight recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from ingest.contract.commands import RefusedCommandError, open_signed
from ingest.contract.reasons import CommandRefusal
from ingest.contract.records import LATEST_MS
from ingest.contract.topics import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PATTERN_LIMIT = 256
"""Characters of one pattern."""

METRICS_LIMIT = 32
"""Patterns of metrics in one request."""

LIFE_LIMIT_MS = 7 * 86_400_000
"""How long a request may stand: an answered one is remembered until it has expired, so that none is answered twice."""


class SampleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `telemetry.requests.v1`, key site, in a `SignedCommand`: which samples a site's gateways are to send.

    `device` and each of `metrics` are shell patterns (`*`, `?`, `[…]`), no metrics are all of them; `start` and `end`
    are the span [start, end) of event time, `issued` and `expires` wall time, all in ms since the epoch. At most
    `most_samples` are sent by each gateway. `asked_by` is who wants it.
    """

    request: str
    kind: Literal["samples"]
    tenant: str
    site: str
    device: str
    metrics: list[str]
    start: int
    end: int
    most_samples: int
    asked_by: str
    key: str
    issued: int
    expires: int


def open_request(envelope: bytes, keys: Mapping[str, Ed25519PublicKey]) -> SampleRequest:
    """Verify, then parse. Raises RefusedCommandError (malformed, unknown_key, bad_signature)."""
    request = open_signed(envelope, keys, SampleRequest)
    if fault := request_fault(request):
        raise RefusedCommandError(CommandRefusal.MALFORMED, fault)
    return request


def request_fault(request: SampleRequest) -> str:
    """What is wrong with a request, whoever signed it; empty when nothing is."""
    named = (request.request, request.tenant, request.site)
    if not all(is_name(name) for name in named):
        return "request, tenant and site must be names"
    patterns = (request.device, *request.metrics, request.asked_by)
    if len(request.metrics) > METRICS_LIMIT or not all(_is_text(text) for text in patterns):
        return f"expected at most {METRICS_LIMIT} patterns, each of 1 to {PATTERN_LIMIT} printable characters"
    if not 0 <= request.start < request.end <= LATEST_MS:
        return "expected 0 <= start < end"
    if not 0 <= request.issued < request.expires <= LATEST_MS:
        return "expected 0 <= issued < expires"
    return "" if request.most_samples > 0 else "most_samples must be above 0"


def _is_text(text: str) -> bool:
    return 0 < len(text) <= PATTERN_LIMIT and text.isprintable()
