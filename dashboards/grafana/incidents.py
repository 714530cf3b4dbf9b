"""What is wrong now, what began when, and whether on-call hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.board import DEVICE, INCIDENTS, board, path_of
from dashboards.grafana.panels import GREY, RED, YELLOW, coloured, linked, number, rows, series
from dashboards.grafana.queries import api, prom, prom_now

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from dashboards.grafana.panels import Shown

STATES = {"open": RED, "growing": RED, "resolved": GREY, "merged": GREY}
SEVERITIES = {"critical": RED, "error": RED, "warning": YELLOW, "info": GREY}


def incidents() -> Dashboard:
    """The sixth dashboard."""
    found = board(INCIDENTS, "Incidents", "What is wrong now, what began when, and whether on-call hears of it.")
    for panel in (*_numbers(), _incidents(), _alerts(), *_charts(), _anomalies()):
        found = found.with_panel(panel)
    return found


def _numbers() -> list[Shown]:
    return [
        number(
            "Incidents that go on",
            "By state; one that grows has just reached another device.",
            "short",
            prom_now("max by (state) (tidegate_fleet_incidents)", legend="{{state}}"),
            width=6,
            limits={1: RED},
        ),
        number(
            "Alerts that fire",
            "By severity.",
            "short",
            prom_now('max by (severity) (tidegate_fleet_alerts{state="firing"})', legend="{{severity}}"),
            width=6,
            limits={1: RED},
        ),
        number(
            "Waiting for delivery",
            "Notifications that no receiver has taken yet.",
            "short",
            prom_now("sum(tidegate_alert_outbox) or vector(0)"),
            width=6,
            limits={1: RED},
        ),
        number(
            "Refused notifications",
            "In this span of time.",
            "short",
            prom_now('sum(increase(tidegate_alert_deliveries_total{outcome="refused"}[$__range])) or vector(0)'),
            width=6,
            limits={1: RED},
        ),
    ]


def _incidents() -> Shown:
    # An incident is a record with a cause in words, not a time series: only the API lists them.
    known = api(
        "/v1/incidents?limit=200",
        {
            "Incident": ("incident", "string"),
            "State": ("state", "string"),
            "Since": ("since", "timestamp_epoch"),
            "Changed": ("at", "timestamp_epoch"),
            "What": ("summary", "string"),
            "First metric": ("root_cause", "string"),
            "What the affected share": ("cause_sentence", "string"),
            "Devices": ("devices", "number"),
            "Sites": ("sites", "number"),
            "Series": ("series", "number"),
            "Series that alarm": ("active", "number"),
        },
    )
    found = rows("Incidents", "Those that go on first, then the newest change.", known, height=10)
    return found.override_by_name(*coloured("State", STATES))


def _alerts() -> Shown:
    # One alert is an event with labels and a reason, not a time series: only the API lists them.
    known = api(
        "/v1/alerts?limit=200",
        {
            "Alert": ("name", "string"),
            "State": ("state", "string"),
            "Severity": ("severity", "string"),
            "Site": ("labels.site", "string"),
            "Device": ("labels.device", "string"),
            "Since": ("starts_at", "timestamp_epoch"),
            "Summary": ("annotations.summary", "string"),
        },
    )
    here = path_of(DEVICE, site="${__data.fields.Site}", device="${__value.raw}")
    found = rows("Alerts", "Firing first, then by severity.", known, height=10)
    found = found.override_by_name(*coloured("State", {"firing": RED, "pending": YELLOW, "resolved": GREY}))
    found = found.override_by_name(*coloured("Severity", SEVERITIES))
    return found.override_by_name(*linked("Device", "Open the device", here))


def _charts() -> list[Shown]:
    begun = 'sum by (detector) (rate(tidegate_analytics_anomalies_total{status="entered"}[$__rate_interval])) * 60'
    return [
        series(
            "Incidents by state",
            "Those that go on.",
            "short",
            prom("max by (state) (tidegate_fleet_incidents)", legend="{{state}}"),
            width=8,
            stacked=True,
        ),
        series(
            "Alerts by state",
            "Pending and firing.",
            "short",
            prom("sum by (state) (max by (state, severity) (tidegate_fleet_alerts))", legend="{{state}}"),
            width=8,
            stacked=True,
        ),
        series(
            "Anomalies that begin, per minute",
            "By detector.",
            "cpm",
            prom(f"{begun} or vector(0)", legend="{{detector}}"),
            width=8,
            stacked=True,
        ),
        series(
            "Notifications per minute",
            "By receiver and outcome.",
            "cpm",
            prom(
                "sum by (receiver, outcome) (rate(tidegate_alert_deliveries_total[$__rate_interval])) * 60 or vector(0)",
                legend="{{receiver}}: {{outcome}}",
            ),
        ),
        series(
            "Waiting for delivery",
            "By receiver.",
            "short",
            prom("sum by (receiver) (tidegate_alert_outbox) or vector(0)", legend="{{receiver}}"),
            limits={1: RED},
        ),
    ]


def _anomalies() -> Shown:
    seen = api(
        "/v1/anomalies?limit=200",
        {
            "Since": ("since", "timestamp_epoch"),
            "Site": ("site", "string"),
            "Device": ("device", "string"),
            "Metric": ("metric", "string"),
            "Status": ("status", "string"),
            "Detector": ("detector", "string"),
            "Value": ("value", "number"),
            "Expected": ("expected", "number"),
            "Firmware": ("firmware", "string"),
        },
    )
    here = path_of(DEVICE, site="${__data.fields.Site}", device="${__value.raw}", metric="${__data.fields.Metric}")
    found = rows("Anomalies", "The newest first; what the affected share is in the incident itself.", seen)
    return found.override_by_name(*linked("Device", "Open the device", here))
