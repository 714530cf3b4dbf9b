"""A centre, files of all processes, and a log with something of everything: what commands of the command line can be tried on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from analytics.alerts.outbox import Outbox
from analytics.alerts.routes import Routes
from ingest.contract.events import AlertEvent, AlertState, Outcome, PlanState
from ingest.runtime.secrets import write_secret
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH, fill
from tests.api_records import alert_record, maintenance_record, silence_record
from tests.api_rollouts import plan_body, plan_record, verdict_record
from tests.process_files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STARTED_S = 120.0
KINDS = ("edge", "ingest", "analytics", "api")
T0 = 1_700_000_000_000


class CommandHouse:
    """`folder` holds the four files (`edge.toml` and so on), `env` what the API's commands need."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.env = folder, {"TIDEGATE_TOKEN_FILE": ""}
        self._over = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()

    @contextmanager
    def opened(self) -> Iterator[CommandHouse]:
        """The centre runs in a thread of its own: commands run an event loop themselves."""
        write_files(self.folder)
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        thread.start()
        try:
            assert self._started.wait(STARTED_S), "the centre does not start"
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._over.set)
            thread.join()
            self._loop.close()

    async def _serve(self) -> None:
        async with running(Centre(self.folder, [NORTH, SOUTH])) as centre:
            await fill(centre)
            await centre.put(alert_record("f9"), silence_record("s-9"), maintenance_record("w-9"))
            for name in ("pausing", "ending", "aborting", "approving", "overriding"):
                await centre.put(plan_record(name))
            await centre.put(plan_record("resuming", state=PlanState.PAUSED), verdict_record("approving", Outcome.FAIL))
            await centre.eventually("/v1/gates/approving", lambda seen: seen["data"]["verdict"] == "fail")
            await that_is_none(centre)
            self.env |= {"TIDEGATE_API": centre.api.address, "TIDEGATE_TOKEN": centre.tokens["acme"].token}
            self._started.set()
            await self._over.wait()


async def that_is_none(centre: Centre) -> None:
    """Somebody says that the anomaly is none."""
    async with centre.client() as client:
        (anomaly,) = (await client.get("/v1/anomalies")).json()["data"]
        said = await client.post("/v1/feedback", json={"anomaly": anomaly["episode"], "reason": "emptied on Mondays"})
    assert said.is_success, said.text


def write_files(folder: Path) -> None:
    """The processes' files, a webhook's outbox with what was refused for good, rules, a plan and its evidence."""
    files, state, secret = Files(folder), folder / "state", folder / "hook-secret"
    state.mkdir()
    write_secret(secret, b"fixed for the test")
    hook = {"name": "on-call", "url": "http://127.0.0.1:1", "secret_file": str(secret)}
    changes = {
        "analytics": {"analytics.alerts.webhooks": [hook], "analytics.data_dir": str(state)},
        "api": {"api.tokens_file": str(folder / "tokens.json")},
    }
    for kind in KINDS:
        files.write(kind, changes.get(kind, {}))
    refused(state / "deliveries.db", "a", "b", "c")
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan_body("new")))
    (folder / "evidence.jsonl").write_text(
        '{"kind": "enrolled", "device": "d0", "at": 0, "stratum": "a", "arm": "canary"}\n'
    )
    rows = (f"{T0 + 10_000 * at},{20 + at % 7 * 0.1}" for at in range(400))
    (folder / "pump.csv").write_text("\n".join(["time,pressure", *rows]) + "\n")


def refused(path: Path, *fingerprints: str) -> None:
    """Firings that a receiver did not take."""
    outbox = Outbox(path)
    for fingerprint in fingerprints:
        outbox.queue([(_alert(fingerprint), "")], Routes((), ["on-call"], (), 0.0).way, T0, set())
        due = outbox.next("on-call", T0, 0)
        assert due
        outbox.settle(due.rows, "dead", "answered 400", T0)
    outbox.close()


def _alert(fingerprint: str) -> AlertEvent:
    return AlertEvent(
        fingerprint=fingerprint,
        tenant="acme",
        name="DeviceSilent",
        state=AlertState.FIRING,
        severity="warning",
        labels={"device": fingerprint},
        annotations={},
        numbers={},
        changed_at=T0,
        pending_since=T0,
        starts_at=T0,
        ends_at=0,
    )
