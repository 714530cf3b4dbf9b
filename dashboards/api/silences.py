"""What people do about alerts: they silence some for a time, and say that they look after one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from dashboards.api.plan_mistakes import Mistake
from dashboards.api.problems import ProblemError, unknown
from ingest.contract.events import Acknowledgement, AlertEvent, Matcher, Silence, SilenceKind
from ingest.contract.events.alarms import MOST_SILENCES
from ingest.contract.records import event_record
from ingest.contract.topics import ACKNOWLEDGEMENTS, SILENCES

if TYPE_CHECKING:
    from dashboards.api.auth import Principal
    from dashboards.api.projection import Projection
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/api"
MOST_MATCHERS = 20
MOST_TEXT = 500
LONGEST_MS = 366 * 86_400_000


class NewSilence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alerts that match all of `matchers` tell nobody from `starts_at` (ms; left out: now) to `ends_at` (ms)."""

    matchers: list[Matcher]
    ends_at: int
    starts_at: int = 0
    comment: str = ""
    kind: SilenceKind = SilenceKind.SILENCE


class NewAcknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody looks after an alert; `withdrawn`: no more."""

    comment: str = ""
    withdrawn: bool = False


class SilenceBook:
    """The silences of one tenant, the newest state of each."""

    def __init__(self) -> None:
        self._silences: dict[str, Silence] = {}

    def put(self, silence: Silence) -> str:
        """Take a silence as it was made, changed or ended: taken or stale."""
        before = self._silences.get(silence.id)
        if before is not None and silence.at < before.at:
            return "stale"
        self._silences[silence.id] = silence
        if len(self._silences) > MOST_SILENCES:
            del self._silences[min(self._silences.values(), key=lambda known: known.ends_at).id]
        return "taken"

    def get(self, name: str) -> Silence | None:
        """One of them."""
        return self._silences.get(name)

    def list(self, *, ended_before: int) -> list[Silence]:
        """Those that end after that time (ms), the one that ends first before the others."""
        chosen = [one for one in self._silences.values() if one.ends_at > ended_before]
        return sorted(chosen, key=lambda one: (one.ends_at, one.id))


class PeopleWriter:
    """Writes to the topics what people do about alerts."""

    def __init__(self, log: Log, projection: Projection, telemetry: Telemetry) -> None:
        self._log, self._projection, self._telemetry = log, projection, telemetry

    async def silence(self, new: NewSilence, who: Principal, now: int, trace: str | None) -> Silence:
        """It holds from its `starts_at` on. Raises ProblemError, LogUnavailableError."""
        starts_at = new.starts_at or now
        _check(new, starts_at, now)
        said = Silence(
            id=secrets.token_hex(6),
            tenant=who.tenant,
            matchers=new.matchers,
            starts_at=starts_at,
            ends_at=new.ends_at,
            by=who.name,
            at=now,
            comment=new.comment,
            kind=new.kind,
        )
        await self._append(SILENCES, said.id, said, now, trace)
        return said

    async def end(self, name: str, who: Principal, now: int, trace: str | None) -> Silence:
        """It ends now; one that has ended stays as it is. Raises ProblemError, LogUnavailableError."""
        said = self._projection.view(who.tenant).silences.get(name)
        if said is None:
            raise unknown("silence", name)
        if said.ends_at > now:
            said = msgspec.structs.replace(
                said, starts_at=min(said.starts_at, now), ends_at=now, by=who.name, at=max(now, said.at)
            )
            await self._append(SILENCES, name, said, now, trace)
        return said

    async def acknowledge(
        self, fingerprint: str, new: NewAcknowledgement, who: Principal, now: int, trace: str | None
    ) -> AlertEvent:
        """Somebody looks after an alert that fires. Raises ProblemError, LogUnavailableError."""
        alert = self._projection.view(who.tenant).alerts.get(fingerprint)
        if alert is None:
            raise unknown("alert", fingerprint)
        if not alert.starts_at or alert.ends_at:
            raise ProblemError(409, "alert-not-firing", "only an alert that fires can be looked after")
        check_text(new.comment)
        said = Acknowledgement(
            fingerprint=fingerprint,
            tenant=who.tenant,
            starts_at=alert.starts_at,
            by=who.name,
            at=now,
            comment=new.comment,
            withdrawn=new.withdrawn,
        )
        await self._append(ACKNOWLEDGEMENTS, fingerprint, said, now, trace)
        return alert

    async def _append(self, topic: str, key: str, said: Silence | Acknowledgement, at: int, trace: str | None) -> None:
        with self._telemetry.span("api.alerts.people", parent=trace) as span:
            record = event_record(topic, key, said, event_id=f"{key}:{at}", source=SOURCE, time=at, trace=span)
            await self._log.append([record])
        # Who wrote it sees it at once; the topic says the same a moment later.
        if isinstance(said, Silence):
            self._projection.view(said.tenant).silences.put(said)


def matcher_mistakes(matchers: list[Matcher]) -> list[Mistake]:
    """What is wrong with the `matchers` of a body."""
    mistakes = [
        Mistake(f"$.matchers[{index}]", "expected a label's name and a pattern of at most 500 characters")
        for index, one in enumerate(matchers)
        if not one.label.isidentifier() or max(len(one.label), len(one.pattern)) > MOST_TEXT
    ]
    if not 0 < len(matchers) <= MOST_MATCHERS:
        mistakes.append(Mistake("$.matchers", f"found {len(matchers)}, expected 1 to {MOST_MATCHERS}"))
    return mistakes


def _check(new: NewSilence, starts_at: int, now: int) -> None:
    mistakes = matcher_mistakes(new.matchers)
    if not max(starts_at, now) < new.ends_at <= now + LONGEST_MS:
        mistakes.append(Mistake("$.ends_at", "expected a time (ms) after the beginning and now, at most a year away"))
    if starts_at < 0:
        mistakes.append(Mistake("$.starts_at", "expected a time (ms)"))
    if mistakes:
        raise ProblemError(422, "bad-silence", "the silence has mistakes", mistakes)
    check_text(new.comment)


def check_text(comment: str) -> None:
    """Raises ProblemError for a comment that is too long."""
    if len(comment) > MOST_TEXT:
        raise ProblemError(
            422, "bad-comment", f"found {len(comment)} characters, expected at most {MOST_TEXT}",
            [Mistake("$.comment", "too long")],
        )  # fmt: skip
