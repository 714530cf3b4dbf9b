"""Deliveries from the command line: what was refused for good is seen, sent again or given up; receivers are tried out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING

import pytest

from analytics.alerts.outbox import Outbox
from analytics.alerts.routes import Routes
from ingest.contract.events import AlertEvent, AlertState
from ingest.runtime.secrets import write_secret
from tests.process_files import Files, refused, run
from tests.receivers import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_700_000_000_000
ROUTES = Routes((), ["on-call"], (), 0.0)


@contextlib.contextmanager
def receiving(status: int) -> Iterator[Receiver]:
    """A receiver in a thread of its own: commands run an event loop themselves."""
    receiver = Receiver(lambda _: Answer(status))
    ready, loop = threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with receiver:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)
        loop.close()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def with_webhook(files: Files, url: str = "http://127.0.0.1:1") -> Path:
    secret = files.folder / "secret"
    write_secret(secret, b"fixed for the test")
    hook = {"name": "on-call", "url": url, "secret_file": str(secret)}
    folder = files.folder / "state"
    folder.mkdir(exist_ok=True)
    return files.write("analytics", {"analytics.alerts.webhooks": [hook], "analytics.data_dir": str(folder)})


@pytest.fixture
def config(files: Files) -> Path:
    """A process's file whose receiver refused a firing for good, so that its resolve waits."""
    path = with_webhook(files)
    outbox = Outbox(files.folder / "state" / "deliveries.db")
    alert = AlertEvent(
        fingerprint="a",
        tenant="acme",
        name="DeviceSilent",
        state=AlertState.FIRING,
        severity="warning",
        labels={"device": "a"},
        annotations={},
        numbers={},
        changed_at=T0,
        pending_since=T0,
        starts_at=T0,
        ends_at=0,
    )
    outbox.queue([(alert, "")], ROUTES.way, T0, set())
    due = outbox.next("on-call", T0, 0)
    assert due
    outbox.settle(due.rows, "dead", "answered 400", T0)
    outbox.close()
    return path


def test_what_was_refused_for_good_is_listed_and_sent_again(config: Path) -> None:
    shown = run("alerts", "deliveries", config, "--outcome", "dead", "--json")
    (row,) = map(json.loads, shown.stdout.splitlines())
    assert (row["receiver"], row["state"], row["detail"]) == ("on-call", "firing", "answered 400")
    assert "answered 400" in run("alerts", "deliveries", config).stdout
    assert run("alerts", "replay", config, row["id"]).stdout == "1 replayed\n"
    (row,) = map(json.loads, run("alerts", "deliveries", config, "--json").stdout.splitlines())
    assert row["outcome"] == "waiting"


def test_what_is_given_up_is_said_and_what_is_not_there_too(config: Path) -> None:
    (row,) = map(json.loads, run("alerts", "deliveries", config, "--json").stdout.splitlines())
    result = run("alerts", "discard", config, row["id"], 99, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"discarded": [row["id"]], "missing": [99]})
    assert "99" in result.stderr
    assert run("alerts", "replay", config, row["id"]).exit_code == 1


def test_before_the_process_ever_ran_there_is_nothing_to_see(files: Files) -> None:
    result = run("alerts", "deliveries", with_webhook(files))
    assert result.exit_code == 1
    assert "has `tidegate analytics run" in result.stderr


def test_a_receiver_is_told_of_a_test_alert_and_of_its_end(files: Files) -> None:
    with receiving(200) as receiver:
        result = run("alerts", "send-test", with_webhook(files, receiver.url), "on-call", "--json")
        assert result.exit_code == 0, result.output
        told = [alert["status"] for request in receiver.requests for alert in request.json()["alerts"]]
    assert told == json.loads(result.stdout)["took"] == ["firing", "resolved"]


def test_a_receiver_that_does_not_take_it_is_said_with_the_reason(files: Files) -> None:
    with receiving(403) as receiver:
        result = run("alerts", "send-test", with_webhook(files, receiver.url), "on-call")
    assert result.exit_code == 1
    assert "403" in result.stderr


def test_a_receiver_that_is_not_there_is_named_with_those_that_are(files: Files) -> None:
    assert "there are on-call" in refused("alerts", "send-test", with_webhook(files), "pager")
