"""What people say is no anomaly: written to the log, listed, undone."""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import FeedbackEvent, FeedbackScope
from ingest.contract.events.feedback import MOST_FEEDBACK
from ingest.contract.records import event_record, read_event
from ingest.contract.topics import FEEDBACK

if TYPE_CHECKING:
    from dashboards.api.anomalies import Seen
    from dashboards.api.projection import Projection
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/api"
MARGIN = 1.1
"""What is normal from now on may be so many times as rare (by its logarithm) as the rarest moment of what was looked at."""


class NewFeedback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`anomaly`: the `episode` that `GET /v1/anomalies` names. `scope`: for its series, or for all devices with its hardware."""

    anomaly: str
    reason: str
    scope: FeedbackScope = FeedbackScope.SERIES


class FullError(ValueError):
    """Too much holds already."""


class FeedbackBook:
    """All that people of one tenant said, the newest of each."""

    def __init__(self) -> None:
        self._said: dict[str, FeedbackEvent] = {}

    def put(self, event: FeedbackEvent) -> str:
        """Take what was said or undone: taken or stale."""
        before = self._said.get(event.id)
        if before is not None and before.undone_at and not event.undone_at:
            return "stale"
        self._said[event.id] = event
        return "taken"

    def get(self, name: str) -> FeedbackEvent | None:
        """One of them."""
        return self._said.get(name)

    def holding(self) -> int:
        """How much holds."""
        return sum(not one.undone_at for one in self._said.values())

    def list(self, *, undone: bool, limit: int, after: tuple[int, str] | None = None) -> list[FeedbackEvent]:
        """What holds, or also what was undone; the newest first, behind `after` (-at, id)."""
        chosen = [one for one in self._said.values() if undone or not one.undone_at]
        ordered = sorted(chosen, key=lambda one: (-one.at, one.id))
        return [one for one in ordered if after is None or (-one.at, one.id) > after][:limit]


class FeedbackWriter:
    """Writes to the topic what people say."""

    def __init__(self, log: Log, projection: Projection, telemetry: Telemetry) -> None:
        self._log, self._projection, self._telemetry = log, projection, telemetry
        self._writing = asyncio.Lock()

    async def say(self, seen: Seen, new: NewFeedback, by: str, at: int, trace: str | None) -> FeedbackEvent:
        """`seen` is normal from `at` (ms) on. Raises FullError, LogUnavailableError."""
        event = seen.event
        rarest = -math.log(max(seen.least_probability, 1e-300))
        identity = msgspec.json.encode((event.tenant, new.anomaly, new.scope, at, by))
        said = FeedbackEvent(
            id=f"fb-{hashlib.sha256(identity).hexdigest()[:12]}",
            tenant=event.tenant,
            scope=new.scope,
            anomaly=new.anomaly,
            site=event.site,
            device=event.device,
            metric=event.metric,
            labels=event.labels,
            hardware=event.hardware,
            detector=event.detector,
            since=event.since,
            seen=float(f"{rarest:.9g}"),
            rarity=float(f"{MARGIN * rarest:.9g}"),
            by=by,
            at=at,
            reason=new.reason,
        )
        async with self._writing:
            if self._projection.view(event.tenant).feedback.holding() >= MOST_FEEDBACK:
                raise FullError(f"{MOST_FEEDBACK} hold already: undo some that nobody needs any more")
            await self._append(said, trace)
        return said

    async def undo(
        self, tenant: str, name: str, *, by: str, at: int, reason: str, trace: str | None
    ) -> FeedbackEvent | None:
        """It holds no more; None when there is none. Undoing twice changes nothing. Raises LogUnavailableError."""
        async with self._writing:
            record = (await self._log.read_compacted(FEEDBACK)).get(name.encode())
            said = read_event(record, FeedbackEvent) if record else None
            if said is None or said.tenant != tenant:
                return None
            if not said.undone_at:
                said = msgspec.structs.replace(said, undone_by=by, undone_at=at, undone_reason=reason)
                await self._append(said, trace)
        return said

    async def _append(self, said: FeedbackEvent, trace: str | None) -> None:
        with self._telemetry.span("api.feedback", parent=trace) as span:
            event_id = f"{said.id}:{said.undone_at}"
            record = event_record(
                FEEDBACK, said.id, said, event_id=event_id, source=SOURCE, time=said.undone_at or said.at, trace=span
            )
            await self._log.append([record])
        # Who wrote it sees it at once; the topic says the same a moment later.
        self._projection.view(said.tenant).feedback.put(said)
