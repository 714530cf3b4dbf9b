"""What arrived at receivers of alerts, held against what the topic of alerts says."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest.contract.events import AlertEvent, AlertState
from ingest.contract.records import read_event
from ingest.contract.topics import ALERTS
from tests.receivers import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.runtime.log.port import Log
    from tests.receivers import Request


Told = tuple[str, list[tuple[str, str]]]


class Delivered(NamedTuple):
    """One request of the webhook; `taken` when the receiver answered 2xx and meant it."""

    key: str
    trace: str
    alerts: list[dict[str, Any]]
    taken: bool


class Inbox(Receiver):
    """A webhook's receiver that keeps what it was sent; `decide` says what is answered."""

    def __init__(self, decide: Callable[[Request], Answer] | None = None) -> None:
        super().__init__(self._take)
        self._decide = decide or (lambda _: Answer())
        self.delivered: list[Delivered] = []

    def taken_keys(self) -> set[str]:
        return {alert["idempotencyKey"] for one in self.delivered if one.taken for alert in one.alerts}

    def devices(self) -> set[str]:
        return {alert["labels"]["device"] for one in self.delivered if one.taken for alert in one.alerts}

    def assert_in_order(self, told: dict[str, list[str]]) -> None:
        """All of `told` (see `told_by`) arrived, each alert's changes in their order, and equal keys mean equal alerts."""
        taken = [(one.key, _named(one)) for one in self.delivered if one.taken]
        assert_arrived_in_order(told, taken, [(one.key, _named(one)) for one in self.delivered])

    def _take(self, request: Request) -> Answer:
        answer = self._decide(request)
        taken = answer.how == "whole" and 200 <= answer.status < 300
        trace = request.headers.get("traceparent", "")
        key = request.headers["idempotency-key"]
        self.delivered.append(Delivered(key, trace, request.json()["alerts"], taken))
        return answer


def _named(one: Delivered) -> list[tuple[str, str]]:
    return [(alert["fingerprint"], alert["idempotencyKey"]) for alert in one.alerts]


def assert_arrived_in_order(told: dict[str, list[str]], taken: list[Told], tried: list[Told] | None = None) -> None:
    """All of `told` is in what was `taken`, each alert's changes in their order; equal keys mean equal alerts in all that was
    `tried`. A request is its key with (fingerprint, idempotency key) of its alerts."""
    arrived: dict[str, list[str]] = defaultdict(list)
    for _, alerts in taken:
        for fingerprint, key in alerts:
            if key not in arrived[fingerprint]:
                arrived[fingerprint].append(key)
    assert arrived == told
    by_key: dict[str, set[tuple[tuple[str, str], ...]]] = defaultdict(set)
    for key, alerts in taken if tried is None else tried:
        by_key[key].add(tuple(alerts))
    assert all(len(contents) == 1 for contents in by_key.values())


async def told_by(log: Log) -> dict[str, list[str]]:
    """Of each alert the keys of its changes that people must hear of, in their order."""
    told: dict[str, list[str]] = defaultdict(list)
    consumer = await log.subscribe((ALERTS,), group=None, member="reader")
    ends = sum((await consumer.end_offsets()).values())
    while ends > 0:
        records = await consumer.poll(1000, 0.2)
        ends -= len(records)
        for event in filter(None, (read_event(record, AlertEvent) for record in records)):
            is_new = event.idempotency_key() not in told[event.fingerprint]
            if event.state in {AlertState.FIRING, AlertState.RESOLVED} and event.told and event.starts_at and is_new:
                told[event.fingerprint].append(event.idempotency_key())
    await consumer.close()
    return told
