"""The audit log: what came in and what was decided, as entries that cannot be changed or left out unnoticed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from analytics.rollback.orders import ORDERS
from analytics.rollback.owners.owner import Order
from analytics.rollback.webhook import CALLS, Call
from ingest.contract.commands import Command, SignedCommand
from ingest.contract.events import (
    GENESIS,
    AckEvent,
    AuditEntry,
    RollbackStatus,
    RolloutPlan,
    Verdict,
    digest_of,
)
from ingest.contract.records import TRACE_HEADER, Headers, Outgoing, Record, event_record
from ingest.contract.topics import AUDIT, COMMANDS, PLANS, ROLLBACKS, VERDICTS, dead

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GATE = "gate"


class Deed(NamedTuple):
    """Something done, before it has its place in the chain."""

    kind: str
    rollout: str
    tenant: str
    who: str
    what: str
    value: bytes
    trace: str | None = None


class AuditState(msgspec.Struct):
    """The next entry's number and what it is chained to; per rollout the answer that was entered last."""

    seq: int = 0
    previous: str = GENESIS
    answers: dict[str, str] = {}


class Audit:
    """Makes entries. Its state is saved with what it appends, so a crash leaves no gap and no second chain."""

    def __init__(self) -> None:
        self._state = AuditState()
        self._deeds: list[Deed] = []

    def note_plan(self, record: Record, plan: RolloutPlan) -> None:
        """A plan came in."""
        what = f"{plan.state.value}, {plan.mode.value}, {plan.previous_release} to {plan.release}"
        what += f" ({plan.reason})" if plan.reason else ""
        value = record.value or b""
        self._deeds.append(Deed("plan", plan.rollout, plan.tenant, plan.created_by or "unknown", what, value))
        said = [(one.at, one.by, f"{one.verb.value}: {one.reason}") for one in plan.interventions]
        said += [(one.at, one.by, f"approve: {one.reason}") for one in plan.approvals]
        if said:
            _, who, words = max(said)
            self._deeds.append(Deed("said", plan.rollout, plan.tenant, who, words, value))

    def note_ack(self, record: Record, ack: AckEvent) -> None:
        """A device answered a command."""
        what = f"{ack.status.value} {ack.command}" + (f": {ack.reason}" if ack.reason else "")
        self._deeds.append(
            Deed("ack", "", ack.tenant, f"{ack.site}/{ack.device}", what, record.value or b"", _trace(record.headers))
        )

    def entries(self, outgoing: Sequence[Outgoing], now: int) -> list[Outgoing]:
        """What was noted and what these records do, chained, as records to append with them."""
        deeds, self._deeds = [*self._deeds, *self._done(outgoing)], []
        return [self._enter(deed, now) for deed in deeds]

    def snapshot(self) -> bytes:
        """Where the chain stands."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, part: bytes) -> None:
        """Go on with the chain."""
        self._state = msgspec.msgpack.decode(part, type=AuditState)

    def _enter(self, deed: Deed, now: int) -> Outgoing:
        entry = AuditEntry(
            seq=self._state.seq,
            at=now,
            kind=deed.kind,
            rollout=deed.rollout,
            tenant=deed.tenant,
            who=deed.who,
            what=deed.what,
            digest=digest_of(deed.value),
            previous=self._state.previous,
        )
        record = event_record(
            AUDIT, "audit", entry, event_id=f"audit:{entry.seq}", source="tidegate/gate", time=now, trace=deed.trace
        )
        self._state.seq, self._state.previous = entry.seq + 1, digest_of(record.value or b"")
        return record

    def _done(self, outgoing: Iterable[Outgoing]) -> list[Deed]:
        told = [(record, self._deed(record.topic, record.value)) for record in outgoing if record.value is not None]
        return [deed._replace(trace=_trace(record.headers)) for record, deed in told if deed is not None]

    def _deed(self, topic: str, value: bytes) -> Deed | None:
        if topic == VERDICTS:
            return self._verdict(value)
        if topic == COMMANDS:
            command = msgspec.json.decode(msgspec.json.decode(value, type=SignedCommand).signed_bytes(), type=Command)
            what = f"{command.kind} {command.version} on {command.site}/{command.device}, counter {command.counter}"
            return Deed("command", command.rollout, command.tenant, GATE, what, value)
        if topic == ORDERS:
            order = msgspec.json.decode(value, type=Order)
            return Deed("order", order.rollout, order.tenant, GATE, f"{order.actuator}: back to {order.version}", value)
        if topic == CALLS:
            call = msgspec.json.decode(value, type=Call)
            return Deed("call", call.rollout, call.tenant, GATE, f"webhook: back to {call.version}", value)
        if topic == ROLLBACKS:
            status = msgspec.json.decode(value, type=RollbackStatus)
            what = f"{status.phase.value}: {len(status.recovered)} of {len(status.commanded)} recovered"
            return Deed("rollback", status.rollout, status.tenant, GATE, what, value)
        return Deed("refused_plan", "", "", GATE, "a plan was not taken", value) if topic == dead(PLANS) else None

    def _verdict(self, value: bytes) -> Deed | None:
        # Only answers: that numbers have moved is in the verdicts' own topic.
        verdict = msgspec.json.decode(value, type=Verdict)
        answer = f"{verdict.verdict.value} under {verdict.policy_hash}"
        if self._state.answers.get(verdict.rollout) == answer:
            return None
        self._state.answers[verdict.rollout] = answer
        return Deed("verdict", verdict.rollout, verdict.tenant, GATE, f"{answer}: {verdict.reason}", value)


def _trace(headers: Headers) -> str | None:
    found = dict(headers).get(TRACE_HEADER)
    return found.decode("ascii", "replace") if found else None


class Breach(NamedTuple):
    """Where the chain is broken: the entry's number, and what is wrong there."""

    seq: int
    problem: str


def verify(records: Iterable[Record]) -> tuple[list[AuditEntry], list[Breach]]:
    """The entries in order, and every place at which the chain does not hold.

    An entry that was appended twice with the same bytes is one. The first that is there may stand on ones that have expired.
    """
    by_seq: dict[int, tuple[AuditEntry, bytes]] = {}
    breaches = []
    for record in records:
        entry, value = _entry(record), record.value or b""
        if entry is None:
            breaches.append(Breach(-1, f"offset {record.offset} is no entry"))
        elif by_seq.setdefault(entry.seq, (entry, value))[1] != value:
            breaches.append(Breach(entry.seq, "there are two different entries of this number"))
    numbers = sorted(by_seq)
    for before, seq in pairwise(numbers):
        if seq != before + 1:
            breaches.append(Breach(before + 1, f"missing, as are all up to {seq - 1}"))
        elif by_seq[seq][0].previous != digest_of(by_seq[before][1]):
            breaches.append(Breach(seq, "it is not chained to the one before: one of them was changed"))
    if numbers and numbers[0] == 0 and by_seq[0][0].previous != GENESIS:
        breaches.append(Breach(0, "the first entry is chained to something"))
    return [by_seq[seq][0] for seq in numbers], breaches


def _entry(record: Record) -> AuditEntry | None:
    try:
        return msgspec.json.decode(record.value or b"", type=AuditEntry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
