"""Gate queries at an open loop: requests are sent when they are due, whatever the answers take; each is timed from when it was due."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from compose.bench.open_loop import api_process, ask_at_rate, cpu_s, until_answered
from compose.stack.ports import free_port
from dashboards.api.auth import NewToken, new_token
from ingest.contract.events import Guard, GuardKind, GuardVerdict, Outcome, RolloutPlan, Verdict
from ingest.contract.records import Outgoing, event_record
from ingest.contract.topics import PLANS, VERDICTS, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog

TENANT = "bench"
_READY_S = 180.0
_CLOCK = SystemClock()


class QueryLoad(NamedTuple):
    """So many rollouts are known; `runs` times `seconds` at `rate` requests per second."""

    rollouts: int = 1000
    rate: float = 500.0
    seconds: float = 10.0
    runs: int = 5


class QueryFigures(NamedTuple):
    """The median over the runs of the 99th percentile (ms), and what a query costs the API (ms of CPU)."""

    p99_ms: float
    cpu_ms: float


async def measure(load: QueryLoad, folder: Path) -> QueryFigures:
    """Against a process of its own. Raises BenchFailedError, TimeoutError, OSError."""
    with tempfile.TemporaryDirectory(prefix="gate-", dir=folder) as name:
        place, token = Path(name), new_token()
        await _write(place, load.rollouts)
        port = free_port()
        async with api_process(place, _config(place, token, port)) as process:
            known = (f"/v1/gates/fw-{number}" for number in range(load.rollouts))
            await until_answered(port, token.token, known, patience_s=_READY_S)
            before = cpu_s(process)
            found = [await _run(port, token.token, load) for _ in range(load.runs)]
            spent = cpu_s(process) - before
    asked = load.runs * round(load.rate * load.seconds)
    return QueryFigures(round(float(np.median(found)), 3), round(1000 * spent / asked, 3))


async def _run(port: int, token: str, load: QueryLoad) -> float:
    taken = await ask_at_rate(
        port,
        token,
        lambda number: f"/v1/gates/fw-{number * 7919 % load.rollouts}",
        rate=load.rate,
        seconds=load.seconds,
    )
    return float(np.percentile(taken, 99)) * 1000


def _config(place: Path, token: NewToken, port: int) -> str:
    return (
        f'[api]\nport = {port}\n[[api.tokens]]\nname = "bench"\ntenant = "{TENANT}"\nsha256 = "{token.sha256}"\nscopes = ["gates"]\n'
        f'[log]\nkind = "sqlite"\npath = "{place}/log.db"\n[store]\nkind = "sqlite"\npath = "{place}/store.db"\n'
        f'[[gateways]]\ngateway = "g"\ntenant = "{TENANT}"\nsite = "s"\npublic_key = "{"A" * 43}="\n'
    )


async def _write(place: Path, rollouts: int) -> None:
    log = SqliteLog(place / "log.db", _CLOCK)
    await log.ensure_topics(every_topic())
    await log.append([record for number in range(rollouts) for record in rollout_records(f"fw-{number}", number)])
    await log.close()


def rollout_records(rollout: str, number: int) -> list[Outgoing]:
    """Plan and verdict of a rollout; every third of another outcome."""
    now = _CLOCK.now_ms()
    guards = [Guard(name="crash", kind=GuardKind.CRASH), Guard(name="silence", kind=GuardKind.SILENCE)]
    plan = RolloutPlan(
        rollout=rollout, tenant=TENANT, release="2", previous_release="1", release_digest="sha256:aa", previous_digest="sha256:bb",
        created=now, guards=guards,
    )  # fmt: skip
    said = [
        GuardVerdict(name=g.name, kind=g.kind, log10_e_harm=0.5, log10_e_safe=-0.5, events_canary=3, events_control=1)
        for g in guards
    ]
    outcome = list(Outcome)[number % 3]
    verdict = Verdict(
        rollout=rollout, tenant=TENANT, verdict=outcome, score=50.0, e_value=3.2, log10_e=0.5, alpha=0.05, n_canary=30, n_control=30,
        reason="3 first events among canaries, 1 among controls", at=now, since=now, guards=said, policy_hash="p", offsets={},
    )  # fmt: skip
    return [
        event_record(topic, rollout, event, event_id=f"{rollout}-{topic}", source="tidegate/bench", time=now)
        for topic, event in ((PLANS, plan), (VERDICTS, verdict))
    ]
