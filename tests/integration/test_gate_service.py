"""The gate as it runs: a real log, real time, a webhook's real inbox, and gateways that answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from analytics.rollouts.config import GateConfig, WebhookConfig
from analytics.rollouts.service import build_gate
from analytics.surroundings import Surroundings
from ingest.contract.events import AckStatus, DeviceChange, Outcome, RollbackPhase, RollbackStatus, Verdict
from ingest.contract.records import Outgoing, Record, read_event
from ingest.contract.topics import COMMANDS, ROLLBACKS, VERDICTS, dead, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import SecretError, generate_private_key, write_secret
from ingest.runtime.telemetry import Telemetry
from tests.gate_world import NEW, OLD, Fleet, commands_in, plan_of, plan_record

DEADLINE_S = 180.0
SECRET = "a webhook's secret"


class Inbox:
    """A webhook's real receiver: answers as told, and keeps what it got."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.got.append((dict(self.headers), body))
                status, headers = inbox.answers.pop(0) if inbox.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/rollbacks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


class Running:
    """A gate that runs against an embedded log, with gateways whose devices do as they are told."""

    def __init__(self, path: Path, inbox: Inbox) -> None:
        write_secret(path / "hook.secret", SECRET.encode())
        self.key = generate_private_key(path / "gate.pem")
        self.fleet, self.clock, self.health = Fleet(), SystemClock(), Health()
        self.log = SqliteLog(path / "log.db", self.clock)
        self.config = GateConfig(
            signing_key_file=str(path / "gate.pem"),
            tick_s=0.05,
            settle_s=0.2,
            verdict_s=0.1,
            rollback_settle_s=1.0,
            recovery_s=0.0,
            webhook=WebhookConfig(url=inbox.url, secret_file=str(path / "hook.secret"), most_wait_s=0.2),
        )
        self.gate = build_gate(
            self.config,
            self.fleet.gateways,
            Surroundings(self.clock, self.log, self.health, Telemetry("test"), path),
        )
        self.commanded: list[Record] = []
        self._stopping = False

    async def start(self) -> None:
        await self.log.ensure_topics(every_topic())
        self._tasks = [asyncio.create_task(work) for work in (self.gate.run(), self._beat(), self._obey())]

    async def stop(self) -> None:
        self._stopping = True
        self.gate.drain()
        await asyncio.wait_for(asyncio.gather(*self._tasks), DEADLINE_S)
        await self.log.close()

    async def newest(self, topic: str, kind: type) -> Any:
        record = (await self.log.read_compacted(topic)).get(b"fw-2.3")
        return read_event(record, kind) if record else None

    async def until(self, topic: str, kind: type, holds: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            event = await self.newest(topic, kind)
            if event is not None and holds(event):
                return event
            assert time.monotonic() < deadline, (event, self.health.reasons())
            await asyncio.sleep(0.02)

    async def crash_canaries(self) -> None:
        now = self.clock.now_ms()
        canaries = [c.device for c in commands_in(self._outgoing(), self.key)]
        await self.log.append(
            [
                self.fleet.device("north", device, now + n, DeviceChange.REBOOTED, firmware=NEW)
                for n, device in enumerate(canaries)
            ]
        )

    def _outgoing(self) -> list[Outgoing]:
        return [Outgoing(r.topic, r.key, r.value, r.headers) for r in self.commanded]

    async def _beat(self) -> None:
        while not self._stopping:
            await self.log.append([self.fleet.beat("north", self.clock.now_ms())])
            await asyncio.sleep(0.05)

    async def _obey(self) -> None:
        consumer = await self.log.subscribe((COMMANDS,), group="gateways", member="gw")
        while not self._stopping:
            for record in await consumer.poll(100, 0.05):
                self.commanded.append(record)
                await self.log.append(self._answers(record))
        await consumer.close()

    def _answers(self, record: Record) -> list[Outgoing]:
        outgoing = Outgoing(record.topic, record.key, record.value, record.headers)
        now = self.clock.now_ms()
        answers = []
        for command in commands_in([outgoing], self.key):
            answers += [
                self.fleet.ack(command, AckStatus.ACCEPTED, now),
                self.fleet.device(
                    command.site, command.device, now + 1, DeviceChange.INSTALLED, firmware=command.version
                ),
                self.fleet.ack(command, AckStatus.DONE, now + 1, command.version),
            ]
            if command.version == OLD:
                answers.append(self.fleet.windows(command.site, [command.device], now + 1))
        return answers


@pytest.fixture
async def running(tmp_path: Path, inbox: Inbox) -> AsyncIterator[Running]:
    running = Running(tmp_path, inbox)
    await running.start()
    yield running
    await running.stop()


async def fail(running: Running) -> None:
    await running.log.append(running.fleet.everyone(running.clock.now_ms()))
    await running.log.append([plan_record(plan_of())])
    await running.until(VERDICTS, Verdict, lambda verdict: verdict.n_canary == 12)
    await _until(lambda: len(running.commanded) >= 12)
    await running.crash_canaries()
    await running.until(VERDICTS, Verdict, lambda verdict: verdict.verdict is Outcome.FAIL)


async def test_from_plan_to_complete_rollback_through_a_real_log(running: Running, inbox: Inbox) -> None:
    await fail(running)
    status = await running.until(ROLLBACKS, RollbackStatus, lambda s: s.phase is RollbackPhase.COMPLETE)
    assert len(status.commanded) == 12
    assert status.done == status.recovered == status.commanded
    commands = commands_in(running._outgoing(), running.key)
    assert len(commands) == len({c.command for c in commands}) == 24
    await _until(lambda: len(inbox.got) == 1)
    assert running.health.reasons() == {}


async def test_the_owner_is_told_once_signed_and_again_until_it_listens(running: Running, inbox: Inbox) -> None:
    inbox.answers = [(503, {"Retry-After": "0"}), (429, {})]
    await fail(running)
    await _until(lambda: len(inbox.got) == 3)
    headers, body = inbox.got[-1]
    signed = f"{headers['X-Tidegate-Timestamp']}:".encode() + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(headers["X-Tidegate-Signature"], expected)
    assert len({h["Idempotency-Key"] for h, _ in inbox.got}) == 1
    assert len({body for _, body in inbox.got}) == 1
    call = json.loads(body)
    assert (call["event"], call["rollout"], call["version"]) == ("rollback", "fw-2.3", OLD)
    assert len(call["devices"]) == 12


async def test_a_call_that_is_refused_for_good_becomes_a_dead_letter(running: Running, inbox: Inbox) -> None:
    inbox.answers = [(400, {})]
    await fail(running)
    consumer = await running.log.subscribe((dead("rollout.calls.v1"),), group="test", member="test")
    letters: list[Record] = []
    deadline = time.monotonic() + DEADLINE_S
    while not letters and time.monotonic() < deadline:
        letters = await consumer.poll(10, 0.1)
    await consumer.close()
    assert [letter.header("tidegate_reason") for letter in letters] == [b"refused"]
    assert letters[0].header("tidegate_detail") == b"answered 400"
    assert len(inbox.got) == 1


def test_a_signing_key_that_others_can_read_is_refused_at_the_start(tmp_path: Path, inbox: Inbox) -> None:
    generate_private_key(tmp_path / "gate.pem")
    (tmp_path / "gate.pem").chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        Running(tmp_path, inbox)


async def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
