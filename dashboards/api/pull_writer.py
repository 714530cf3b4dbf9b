"""Asks a site's gateways for raw samples: checks what is wanted, signs it, writes it to the log."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

import msgspec

from dashboards.api.plan_mistakes import Mistake
from dashboards.api.problems import ProblemError, unknown
from ingest.contract.commands import key_id, sign_command
from ingest.contract.records import event_record
from ingest.contract.requests import LIFE_LIMIT_MS, SampleRequest, request_fault
from ingest.contract.topics import REQUESTS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from dashboards.api.auth import Principal
    from dashboards.api.pulls import PullBook
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/api"
MOST_OPEN = 64
"""Requests of one tenant that may be unanswered at a time."""

_LOGGER = logging.getLogger("tidegate.api")


class NewPull(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wanted: patterns and span as in SampleRequest; the request stands for `expiry_s` seconds."""

    site: str
    start: int
    end: int
    device: str = "*"
    metrics: list[str] = []
    most_samples: int = 5_000_000
    expiry_s: float = 900.0


class PullWriter:
    """Without a key nothing can be asked."""

    def __init__(self, key: Ed25519PrivateKey | None, *, log: Log, clock: Clock, telemetry: Telemetry) -> None:
        self._key, self._log, self._clock, self._telemetry = key, log, clock, telemetry

    async def ask(self, body: bytes, who: Principal, book: PullBook, trace: str | None) -> SampleRequest:
        """A request that is in the log on return. Raises ProblemError, LogUnavailableError."""
        if self._key is None:
            raise ProblemError(
                501, "pulls-not-configured", "set api.signing_key_file, and trust its key at the gateways"
            )
        wanted = _read(body)
        if not book.gateways_of(wanted.site):
            raise unknown("site", wanted.site)
        now = self._clock.now_ms()
        if book.waiting(now) >= MOST_OPEN:
            raise ProblemError(429, "too-many-pulls", f"{MOST_OPEN} requests are not answered yet")
        request = _request(wanted, who, key_id(self._key.public_key()), now)
        if fault := request_fault(request):
            raise ProblemError(422, "bad-pull", "the request has a mistake", [Mistake("$", fault)])
        await self._append(request, self._key, trace)
        book.ask(request)
        # Who asked for what is in the topic as well; the line is for whoever reads the process's log.
        _LOGGER.info(
            "%s asks %s for samples of %s, request %s", who.name, request.site, request.device, request.request
        )
        return request

    async def _append(self, request: SampleRequest, key: Ed25519PrivateKey, trace: str | None) -> None:
        with self._telemetry.span("api.pull", parent=trace, request=request.request) as span:
            record = event_record(
                REQUESTS,
                request.site,
                sign_command(request, key),
                event_id=request.request,
                source=SOURCE,
                time=request.issued,
                trace=span,
            )
            await self._log.append([record])


def _read(body: bytes) -> NewPull:
    try:
        wanted = msgspec.json.decode(body, type=NewPull)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "bad-pull", "the request has a mistake", [Mistake("$", str(error))]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "bad-pull", "not JSON", [Mistake("$", str(error))]) from error
    if not 1 <= wanted.expiry_s <= LIFE_LIMIT_MS / 1000:
        mistake = Mistake("$.expiry_s", f"found {wanted.expiry_s}, expected 1 to {LIFE_LIMIT_MS // 1000} seconds")
        raise ProblemError(422, "bad-pull", "the request has a mistake", [mistake])
    return wanted


def _request(wanted: NewPull, who: Principal, key: str, now: int) -> SampleRequest:
    return SampleRequest(
        request=secrets.token_hex(16),
        kind="samples",
        tenant=who.tenant,
        site=wanted.site,
        device=wanted.device,
        metrics=wanted.metrics,
        start=wanted.start,
        end=wanted.end,
        most_samples=wanted.most_samples,
        asked_by=who.name,
        key=key,
        issued=now,
        expires=now + round(wanted.expiry_s * 1000),
    )
