"""One trace from the edge's batch to the webhook, and one from a device event to the command: read from what travels."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analytics.detect.config import DetectConfig
from compose.embedded.settings import Spans
from ingest.contract.commands import open_command
from ingest.contract.events import AckEvent, AlertEvent, AlertState, AnomalyEvent, DeviceEvent, Evidence, Verdict
from ingest.contract.records import TRACE_HEADER, Record, read_event
from ingest.contract.topics import ACKS, ALERTS, ANOMALIES, COMMANDS, DEVICES, EVIDENCE, ROLLUPS, VERDICTS
from ingest.runtime.telemetry import Telemetry
from tests.process_fleet import OLD, SmallFleet, Talker, rollout_plan
from tests.process_house import SITE, House
from tests.process_kit import STOP_S, nursery, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

EAGER = DetectConfig(min_windows=6, pooled_windows=20, own_windows=20, false_alerts_per_1k_series_day=100_000.0)
STEADY = Spans(window_s=0.25, lease_s=4.0, heartbeat_s=0.3, site_dark_s=60.0, idle_close_s=1.0)


class Collector:
    """An OTLP/HTTP collector that keeps the spans, with the service that each is of."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            attributes = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(attributes["service.name"], span) for span in scope.spans]

    def of(self, trace: str) -> list[tuple[str, Span]]:
        return [(service, span) for service, span in self.spans if span.trace_id.hex() == trace]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


async def test_a_trace_leads_from_the_batch_to_the_webhook_and_from_the_device_to_the_command(
    tmp_path: Path, collector: Collector
) -> None:
    async with House(tmp_path, nursery(), spans=STEADY, detect=EAGER, otlp=collector.url) as house:
        await house.start()
        fleet = SmallFleet(SITE, house.broker, house.credentials.centre_keys(), tmp_path / "devices")
        fleet.start()
        talkers = [Talker(SITE, f"talker-{n}", house.broker) for n in range(6)]
        heating = asyncio.Event()
        talking = asyncio.create_task(talk(talkers, heating))
        try:
            await until(lambda: online(house, 16), "all devices are known", house.told)
            await house.client.start_rollout(rollout_plan(SITE))
            await until(lambda: learned(house), "the normal level was learned", house.told)
            heating.set()
            await until(lambda: told_of(house, "Incident"), "on-call hears of the anomaly", house.told)
            await until(lambda: acknowledged(house), "a device went back", house.told)
        finally:
            talking.cancel()
            for talker in talkers:
                talker.close()
        await fleet.stop()
        await house.stop()
        from_batch = await the_anomalys_trace(house)
        from_device = await the_rollbacks_trace(house)
    assert_spans(
        collector, from_batch, {("tidegate-edge", "edge.flush"), ("tidegate-analytics", "detect.step")}, "alerts.step"
    )
    assert_spans(collector, from_device, {("tidegate-edge", "edge.flush"), ("tidegate-analytics", "gate.step")})


async def talk(talkers: list[Talker], heating: asyncio.Event) -> None:
    chance = random.Random(7)
    while True:
        for number, talker in enumerate(talkers):
            hot = 1e4 if heating.is_set() and number == 0 else 0.0
            talker.say(temperature_c=50.0 + chance.gauss(0.0, 0.5) + hot)
        await asyncio.sleep(0.05)


async def online(house: House, number: int) -> bool:
    return bool((await house.client.get("/v1/fleet"))["states"].get("online", 0) >= number)


async def learned(house: House) -> bool:
    found = await house.client.get("/v1/series?device=talker-0&metric=temperature_c")
    return bool(sum(len(series["start"]) for series in found["series"]) > 12)


async def told_of(house: House, name: str) -> bool:
    return any(
        alert["labels"]["alertname"] == name and "talker-0" in alert["annotations"]["summary"]
        for alert in house.inbox.alerts("firing")
    )


async def acknowledged(house: House) -> bool:
    found = await house.client.find("/v1/rollouts/firmware-2.3.0")
    return bool((found.get("rollback") or {}).get("done"))


async def the_anomalys_trace(house: House) -> str:
    """One id from the batch over the anomaly, its incident and the alert to the webhook's header."""
    batches = {trace(record) for record in await house.records(ROLLUPS)}
    anomalies = events(await house.records(ANOMALIES), AnomalyEvent)
    alerts = events(await house.records(ALERTS), AlertEvent)
    (alert_trace,) = {
        found
        for found, alert in alerts
        if alert.name == "Incident" and "talker-0" in alert.annotations["summary"] and alert.state is AlertState.FIRING
    }
    assert alert_trace in {found for found, anomaly in anomalies if anomaly.device == "talker-0"}
    assert {found for found, _ in anomalies} <= batches
    assert alert_trace in {
        header_trace(delivery.traceparent)
        for delivery in house.inbox.deliveries
        if any("talker-0" in alert["annotations"]["summary"] for alert in delivery.alerts)
    }
    return alert_trace


async def the_rollbacks_trace(house: House) -> str:
    """One id from the device event over its evidence and the verdict to the commands and their acknowledgements."""
    keys = house.credentials.centre_keys()
    devices = {(e.site, e.device, e.at, found) for found, e in events(await house.records(DEVICES), DeviceEvent)}
    evidence = events(await house.records(EVIDENCE), Evidence)
    happened = [(found, e) for found, e in evidence if e.kind in {"crashed", "silent"}]
    assert happened
    assert all((e.site, e.device, e.at, found) in devices for found, e in happened)
    verdicts = [found for found, verdict in events(await house.records(VERDICTS), Verdict) if verdict.verdict == "fail"]
    assert verdicts[0] in {found for found, _ in happened}
    commands = {
        open_command(record.value or b"", keys).command: trace(record)
        for record in await house.records(COMMANDS)
        if open_command(record.value or b"", keys).version == OLD.version
    }
    assert set(commands.values()) == {verdicts[0]}
    acks = [(found, ack) for found, ack in events(await house.records(ACKS), AckEvent) if ack.command in commands]
    assert acks
    assert all(found == commands[ack.command] for found, ack in acks)
    return verdicts[0]


def assert_spans(collector: Collector, trace_id: str, wanted: set[tuple[str, str]], *names: str) -> None:
    """The trace was exported, and every span of it but the first has its parent in it."""
    spans = collector.of(trace_id)
    assert {(service, span.name) for service, span in spans} >= wanted
    assert {span.name for _, span in spans} >= set(names)
    ids = {span.span_id for _, span in spans}
    roots = [span.name for _, span in spans if span.parent_span_id not in ids]
    assert roots == ["edge.flush"]


def events(records: list[Record], kind: type[Any]) -> list[tuple[str, Any]]:
    """Events with the id of the trace in their headers."""
    return [(trace(record), event) for record in records if (event := read_event(record, kind)) is not None]


def trace(record: Record) -> str:
    return header_trace((record.header(TRACE_HEADER) or b"").decode())


def header_trace(traceparent: str) -> str:
    version, trace_id, parent, _ = traceparent.split("-")
    assert (version, len(trace_id), len(parent)) == ("00", 32, 16)
    return trace_id


def test_a_collector_that_hangs_holds_up_no_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        telemetry = Telemetry("test", otlp_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with telemetry.span("never taken"):
            pass
        began = time.monotonic()
        telemetry.close()
        assert time.monotonic() - began < STOP_S / 2
