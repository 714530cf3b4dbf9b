"""The pipeline's own health: from the devices' messages to the alert, where it waits and what it could not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.board import PIPELINE, board, metric_variable
from dashboards.grafana.panels import GREY, RED, YELLOW, coloured, lines, number, rows, series
from dashboards.grafana.queries import api, logs, prom, prom_now

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from dashboards.grafana.panels import Shown

RATE = "[$__rate_interval]"
EDGES = 'instance=~"$gateway"'
MINUTES = "[15m]"


def pipeline(*, with_logs: bool = False) -> Dashboard:
    """The fifth dashboard; `with_logs` where Loki is."""
    found = board(
        PIPELINE, "Pipeline", "From the devices' messages to the alert: where it waits, what it could not take."
    )
    gateways = metric_variable("gateway", "Gateway", "label_values(tidegate_edge_series, instance)", every=True)
    found = found.with_variable(gateways)
    for panel in (*_numbers(), *_edge(), *_centre(), *_processes(), _ledger()):
        found = found.with_panel(panel)
    if with_logs:
        found = found.with_panel(lines("Logs", "Of all processes.", logs('{job=~"tidegate.*"}')))
    return found


def _numbers() -> list[Shown]:
    return [
        number(
            "Samples per second",
            "Received.",
            "cps",
            prom_now(f'sum(rate(tidegate_edge_samples_total{{outcome="received"}}{RATE}))'),
            base=GREY,
        ),
        number(
            "Slowest gateway",
            "p99 from a window's end to Kafka.",
            "s",
            prom_now(f"max({_quantile('tidegate_edge_lag_seconds', 'instance')})"),
            limits={5: YELLOW, 30: RED},
        ),
        number(
            "Waiting at gateways",
            "Bytes in the outboxes.",
            "bytes",
            prom_now("sum(tidegate_edge_outbox_bytes)"),
            limits={50e6: YELLOW},
        ),
        number(
            "Missing batches",
            "Below the highest one received.",
            "short",
            prom_now("sum(tidegate_ingest_missing_batches) or vector(0)"),
            limits={1: YELLOW},
        ),
        number(
            "Broken accounts",
            "Gateways whose ledger does not hold.",
            "short",
            prom_now("sum(tidegate_ingest_ledger_breaches) or vector(0)"),
            limits={1: RED},
        ),
        number(
            "Dead letters",
            "In this span of time.",
            "short",
            prom_now("sum(increase(tidegate_dead_letters_total[$__range])) or vector(0)"),
            limits={1: YELLOW},
        ),
    ]


def _edge() -> list[Shown]:
    samples = f"sum by (outcome) (rate(tidegate_edge_samples_total{{{EDGES}}}{RATE}))"
    lag = _quantile("tidegate_edge_lag_seconds", "instance", EDGES)
    commit = _quantile("tidegate_edge_journal_commit_seconds", "instance", EDGES)
    return [
        series("Samples by outcome", "At the gateways.", "cps", prom(samples, legend="{{outcome}}")),
        series(
            "Lag of gateways", "p99 from a window's end to Kafka's acknowledgement.", "s",
            prom(lag, legend="{{instance}}", exemplar=True), limits={30: RED},
        ),
        series(
            "Journal commits", "p99, fsync included: so long devices wait for an acknowledgement.", "s",
            prom(commit, legend="{{instance}}", exemplar=True), limits={0.5: RED},
        ),
        series(
            "Outbox", "Bytes that wait for Kafka.", "bytes",
            prom(f"sum by (instance) (tidegate_edge_outbox_bytes{{{EDGES}}})", legend="{{instance}}"),
            limits={50e6: YELLOW},
        ),
        series(
            "Journal", "Bytes on disk.", "bytes",
            prom(f"sum by (instance) (tidegate_edge_journal_bytes{{{EDGES}}})", legend="{{instance}}"),
        ),
        series(
            "Sent", "Bytes per second that Kafka acknowledged, before compression.", "Bps",
            prom(f"sum by (instance) (rate(tidegate_edge_sent_bytes_total{{{EDGES}}}{RATE}))", legend="{{instance}}"),
        ),
    ]  # fmt: skip


def _centre() -> list[Shown]:
    letters = f"sum by (topic, reason) (increase(tidegate_dead_letters_total{MINUTES})) or vector(0)"
    return [
        series(
            "Windows at the door", "By what became of them, per second.", "cps",
            prom(f"sum by (outcome) (rate(tidegate_ingest_rows_total{RATE}))", legend="{{outcome}}"),
        ),
        series(
            "Storing a batch", "p99 of the store's answer; exemplars lead to the trace.", "s",
            prom(_quantile("tidegate_ingest_store_seconds", "instance"), legend="{{instance}}", exemplar=True),
            limits={1: YELLOW},
        ),
        series(
            "Age of the newest record", "By worker.", "s",
            prom("max by (worker) (tidegate_worker_lag_seconds)", legend="{{worker}}"), limits={60: RED},
        ),
        series(
            "Dead letters", "In 15 minutes, by topic and reason.", "short",
            prom(letters, legend="{{topic}}: {{reason}}"), limits={1: YELLOW},
        ),
        series(
            "Windows seen by detectors", "Per second.", "cps",
            prom(f"sum by (outcome) (rate(tidegate_analytics_rows_total{RATE}))", legend="{{outcome}}"),
        ),
        series(
            "Requests of the API", "Per second, by status.", "reqps",
            prom(f"sum by (status) (rate(tidegate_api_requests_total{RATE}))", legend="{{status}}"),
        ),
    ]  # fmt: skip


def _processes() -> list[Shown]:
    ours = 'job=~"tidegate.*"'
    return [
        series(
            "CPU", "Cores that each process uses.", "short",
            prom(f"rate(process_cpu_seconds_total{{{ours}}}{RATE})", legend="{{instance}}"),
        ),
        series(
            "Memory", "Resident.", "bytes",
            prom(f"process_resident_memory_bytes{{{ours}}}", legend="{{instance}}"),
        ),
    ]  # fmt: skip


def _ledger() -> Shown:
    # The account of a gateway is a record with reasons in it: only the API has it whole.
    accounts = api(
        "/v1/ledger",
        {
            "Site": ("site", "string"),
            "Gateway": ("gateway", "string"),
            "Finding": ("finding", "string"),
            "Received": ("received", "number"),
            "Rolled up": ("rolled_up", "number"),
            "Duplicate": ("duplicate", "number"),
            "Rejected": ("rejected", "number"),
            "Dropped": ("dropped", "number"),
            "Open": ("open", "number"),
            "Unaccounted": ("unaccounted", "number"),
            "Missing batches": ("missing_batches", "number"),
        },
        root="data.accounts",
    )
    found = rows("Ledger", "received = rolled up + duplicate + rejected + dropped + open, for each gateway.", accounts)
    return found.override_by_name(*coloured("Finding", {"gap": YELLOW, "chain_broken": RED, "unbalanced": RED}))


def _quantile(histogram: str, by: str, where: str = "") -> str:
    return (
        f"histogram_quantile(0.99, sum by ({by}, le) (rate({histogram}_bucket{f'{{{where}}}' if where else ''}{RATE})))"
    )
