"""Commands at a gateway, for tests: what the centre signs, how it is given, and what goes up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.receive.port import Message
from ingest.contract.bundle import BUNDLE_HEADER
from ingest.contract.commands import Command, key_id, sign_command
from ingest.contract.events import AckEvent
from ingest.contract.records import Record, read_event
from ingest.contract.topics import ACKS, COMMANDS, device_topic
from tests.edge_bench import SITE, T0, Bench, edge_config, telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CENTRE = Ed25519PrivateKey.generate()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def opened(folder: Path) -> Iterator[Bench]:
    """A gateway that obeys the centre and has heard of two devices; for a fixture."""
    bench = Bench(edge_config(folder, heartbeat_s=3600.0), {key_id(CENTRE.public_key()): CENTRE.public_key()})
    bench.take([telemetry(device, {"ts": T0, "metrics": {"t": 1}}) for device in ("pump", "fan")], T0)
    bench.flush(T0)
    bench.core.sent(bench.waiting())
    yield bench
    bench.close()


def command(**changes: Any) -> Command:
    settings: dict[str, Any] = {
        "command": "c1",
        "kind": "install",
        "tenant": "acme",
        "site": SITE,
        "device": "pump",
        "rollout": "r1",
        "key": key_id(CENTRE.public_key()),
        "counter": 5,
        "issued": T0,
        "expires": T0 + 60_000,
        "version": "2.0",
        "digest": "sha256:00",
    }
    return Command(**(settings | changes))


def envelope(**changes: Any) -> bytes:
    return msgspec.json.encode(sign_command(command(**changes), CENTRE))


def give(bench: Bench, *envelopes: bytes | None, key: str = SITE, now: int = T0) -> None:
    headers = (("traceparent", TRACE.encode()),)
    records = [Record(COMMANDS, 0, n, key.encode(), e, headers, now) for n, e in enumerate(envelopes)]
    desk = bench.core.desk
    bench.core.take_commands(desk.verify(desk.ours(records)), now)


def give_bundled(bench: Bench, *pairs: tuple[bytes, bytes]) -> None:
    """Envelopes with the proofs that come with them."""
    trace = ("traceparent", TRACE.encode())
    records = [
        Record(COMMANDS, 0, n, SITE.encode(), sent, (trace, (BUNDLE_HEADER, proof)), T0)
        for n, (sent, proof) in enumerate(pairs)
    ]
    bench.core.take_commands(bench.core.desk.verify(records), T0)


def answers(bench: Bench) -> list[tuple[str, str, str, str]]:
    """What has gone up: command, device, status, reason."""
    found = []
    for waiting in bench.waiting():
        record = waiting.record
        if record.topic == ACKS:
            event = read_event(Record(ACKS, 0, 0, record.key, record.value, record.headers, 0), AckEvent)
            assert event is not None
            assert (event.tenant, event.site, event.gateway) == ("acme", SITE, "gw-1")
            assert dict(record.headers)["traceparent"] == TRACE.encode()
            found.append((event.command, event.device, event.status.value, event.reason))
    return found


def acknowledge(bench: Bench, status: str, *, device: str = "pump", name: str = "c1", at: int = T0 + 1000) -> None:
    payload = msgspec.json.encode({"command": name, "status": status, "firmware": "2.0", "reason": ""})
    bench.take([Message(device_topic(SITE, device, "ack"), payload, retain=False)], at)
    bench.flush(at)


def refuse(bench: Bench, reason: str, *, device: str = "pump", name: str = "c1") -> None:
    payload = msgspec.json.encode({"command": name, "status": "refused", "reason": reason})
    bench.take([Message(device_topic(SITE, device, "ack"), payload, retain=False)], T0)
    bench.flush(T0)


def waiting(bench: Bench) -> list[str]:
    return [known.command for known in bench.core.unanswered()]


class Downlink:
    """Remembers what was published, answers as told: at once, or (None) when `answer_all` is called."""

    def __init__(self, *, answer: bool | None) -> None:
        self.answer = answer
        self.published: list[tuple[str, bytes]] = []
        self.waiting: list[Callable[[bool], None]] = []

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        assert not retain
        self.published.append((topic, payload))
        return bool(self.answer)

    def send(self, topic: str, payload: bytes, answered: Callable[[bool], None]) -> None:
        self.published.append((topic, payload))
        if self.answer is None:
            self.waiting.append(answered)
        else:
            asyncio.get_running_loop().call_soon(answered, self.answer)

    def answer_all(self) -> None:
        waiting, self.waiting = self.waiting, []
        for answered in waiting:
            answered(True)

    def commands(self) -> list[str]:
        return [payload.decode() for _, payload in self.published]
