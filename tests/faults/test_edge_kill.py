"""The gateway's process is killed again and again under load: what it acknowledged is counted once, and nothing else is.

`TIDEGATE_EDGE_KILLS` says how often (`make prove` asks for 200).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from compose.stack.ports import free_port
from ingest.contract.batch import RollupBatch
from ingest.contract.batch_wire import decode_batch
from ingest.contract.topics import ROLLUPS, device_topic, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key
from tests.edge_bench import SITE, Sample, check_ledger, final_rollups, naive_rollups
from tests.mqtt_intake import until

if TYPE_CHECKING:
    from collections.abc import Sequence

KILLS = int(os.environ.get("TIDEGATE_EDGE_KILLS", "10"))
WINDOW_MS = 500
CLOCK = SystemClock()


class Device:
    """A real client that numbers its samples and remembers which were acknowledged; it resends what was not."""

    def __init__(self, name: str, port: int, chance: random.Random) -> None:
        self.name, self._chance = name, chance
        self.sent: list[Sample] = []
        self.messages = 0
        self.acknowledged: set[int] = set()
        self._lock = threading.Lock()
        self._last = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.reconnect_delay_set(0.02, 0.1)  # type: ignore[arg-type]  # fractions do
        self._client.on_publish = self._on_publish
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def report(self) -> None:
        """One message: mostly now, sometimes of a while ago, sometimes said twice."""
        self._last = max(self._last + 1, CLOCK.now_ms())
        ts = self._last
        if self._chance.random() < 0.1:
            ts -= self._chance.randrange(3000)
        numbers = {"a": self._chance.uniform(-1e3, 1e3), "b": float(len(self.sent))}
        payload = msgspec.json.encode({"ts": ts, "metrics": numbers})
        for _ in range(2 if self._chance.random() < 0.1 else 1):
            with self._lock:
                self._client.publish(device_topic(SITE, self.name, "telemetry"), payload, qos=1)
                self.messages += 1
        self.sent += [Sample(self.name, metric, ts, value) for metric, value in numbers.items()]

    def settled(self) -> bool:
        with self._lock:
            return len(self.acknowledged) == self.messages

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self.acknowledged.add(mid)


class Gateway:
    """The process, and how it is started and ended."""

    def __init__(self, folder: Path, port: int, entering: Sequence[str] = ()) -> None:
        self._nurse = subprocess.Popen(
            [*entering, sys.executable, "-m", "tests.edge_process", str(folder), str(port)],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process = 0

    def start(self) -> None:
        self._process = self._ask("start")

    def kill(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        assert os.WTERMSIG(self._ask("wait")) == signal.SIGKILL
        self._process = 0

    def stop(self) -> None:
        os.kill(self._process, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(self._ask("wait")) == 0
        self._process = 0

    def ended(self) -> int:
        """Wait until it ends by itself; its exit code."""
        code = os.waitstatus_to_exitcode(self._ask("wait"))
        self._process = 0
        return code

    def close(self) -> None:
        if self._process:
            self.kill()
        self._nurse.communicate()

    def _ask(self, line: str) -> int:
        assert self._nurse.stdin is not None
        assert self._nurse.stdout is not None
        self._nurse.stdin.write(line + "\n")
        self._nurse.stdin.flush()
        return int(self._nurse.stdout.readline())


async def shipped(log: SqliteLog) -> list[RollupBatch]:
    """The batches in the log by seq; a crash between sending and forgetting sends one again, unchanged."""
    consumer = await log.subscribe([ROLLUPS], group=None, member="oracle")
    found: dict[int, bytes] = {}
    while records := await consumer.poll(10_000, 0.0):
        for record in records:
            assert record.value is not None
            seq = decode_batch(record.value).seq
            assert found.setdefault(seq, record.value) == record.value
    await consumer.close()
    return [decode_batch(found[seq]) for seq in sorted(found)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_acknowledged_is_counted_exactly_once(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}, {KILLS} kills")  # noqa: T201 - a failure must be repeatable
    chance = random.Random(seed)
    generate_private_key(tmp_path / "gateway.pem")
    log = SqliteLog(tmp_path / "log.db", CLOCK)
    await log.ensure_topics(every_topic())
    port = free_port()
    gateway = Gateway(tmp_path, port)
    devices = [Device(f"d{number}", port, random.Random(seed * 100 + number)) for number in range(5)]
    try:
        for _ in range(KILLS // 2):
            gateway.start()
            for _ in range(chance.randrange(10, 100)):
                for device in devices:
                    device.report()
                await asyncio.sleep(0.01)
            gateway.kill()
        gateway.start()
        sent = await all_that_was_sent(gateway, devices, log)
    finally:
        close_all(gateway, devices)
    batches = await shipped(log)
    await log.close()
    judge(batches, sent)
    assert sum(batch.column("revision").astype(bool).sum() for batch in batches) > 0


async def all_that_was_sent(gateway: Gateway, devices: list[Device], log: SqliteLog) -> list[Sample]:
    """The gateway takes it all, every window closes, and it stops."""
    await until(lambda: all(device.settled() for device in devices), "every message is acknowledged")
    sent = [sample for device in devices for sample in device.sent]
    await until_all_is_closed(log, len({sample[:3] for sample in sent}))
    gateway.stop()
    return sent


def close_all(gateway: Gateway, devices: list[Device]) -> None:
    for device in devices:
        device.close()
    gateway.close()


async def until_all_is_closed(log: SqliteLog, distinct: int) -> None:
    async with asyncio.timeout(60):
        while not await _is_closed(log, distinct):  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.1)


async def _is_closed(log: SqliteLog, distinct: int) -> bool:
    batches = await shipped(log)
    return bool(batches) and batches[-1].ledger.rolled_up >= distinct and batches[-1].ledger.open == 0


def judge(batches: list[RollupBatch], sent: list[Sample]) -> None:
    found, expected = final_rollups(batches), naive_rollups(sent, {}, WINDOW_MS)
    assert {w: n.bits() for w, n in found.items()} == {w: n.bits() for w, n in expected.items()}
    check_ledger(batches)
    assert [batch.seq for batch in batches] == list(range(1, len(batches) + 1))
    account = batches[-1].ledger
    distinct = sum(numbers.count for numbers in expected.values())
    print(f"{len(sent)} samples, {account.duplicate} duplicates, {len(batches)} batches")  # noqa: T201 - how much the seed covered
    assert (account.rolled_up, account.open, account.dropped, account.rejected) == (distinct, 0, {}, {})
    assert sum(batch.ledger.net for batch in batches) == distinct
