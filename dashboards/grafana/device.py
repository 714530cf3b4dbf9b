"""One device: a metric with its band, how much it sends, and what detectors saw in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from dashboards.grafana.board import DEVICE, board, picked, tag_variable
from dashboards.grafana.panels import GREEN, GREY, RED, YELLOW, coloured, number, rows, series
from dashboards.grafana.queries import EACH_SPAN, PER_SECOND, api, influx, select

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from dashboards.grafana.panels import Shown

PLACE = f"{picked('site')} AND {picked('device')}"
HERE = f"{PLACE} AND {picked('metric')}"


def device() -> Dashboard:
    """The third dashboard."""
    found = board(DEVICE, "Device", "One device: a metric with its band, how much it sends, and what detectors saw.")
    found = found.with_variable(tag_variable("site", "Site"))
    found = found.with_variable(tag_variable("device", "Device", where=picked("site")))
    found = found.with_variable(tag_variable("metric", "Metric", where=PLACE))
    for panel in (_identity(), *_numbers(), *_charts(), _anomalies()):
        found = found.with_panel(panel)
    return found


def _identity() -> Shown:
    known = api(
        "/v1/devices/${site}/${device}",
        {
            "State": ("state", "string"),
            "Firmware": ("firmware", "string"),
            "Hardware": ("hardware", "string"),
            "Group": ("group", "string"),
            "Last heard": ("last_seen", "timestamp_epoch"),
        },
    )
    found = rows(
        "${device}", "What it is, and how it was heard last; only the API knows that.", known, width=12, height=4
    )
    return found.override_by_name(*coloured("State", {"online": GREEN, "silent": YELLOW}))


def _numbers() -> list[Shown]:
    return [
        number(
            "Last value",
            "Of the newest window.",
            "short",
            influx(select('last("last")', HERE)),
            base=GREY,
        ),
        number("Samples", "In this span of time.", "short", influx(select('sum("count")', HERE))),
        number(
            "Widest window",
            "How coarse the data of this span is: wider windows are of quiet series or of a full outbox.",
            "ms",
            influx(select('max("width")', HERE)),
            base=GREY,
        ),
    ]


def _charts() -> list[Shown]:
    values = 'sum("sum") / sum("count") AS "mean", min("min") AS "least", max("max") AS "greatest"'
    band = series(
        "${metric}",
        "Mean with the least and the greatest value of each window.",
        "short",
        influx(select(values, HERE, EACH_SPAN), alias="$col"),
        width=24,
    )
    filled = [DynamicConfigValue(id_val="custom.fillBelowTo", value="least"), _thin()]
    metrics = influx(select(PER_SECOND, PLACE, EACH_SPAN, '"metric"'), alias="$tag_metric")
    spread = influx(select('max("max") - min("min") AS "spread"', HERE, EACH_SPAN), alias="spread")
    return [
        band.override_by_name("greatest", filled).override_by_name("least", [_thin()]),
        series("Samples per second", "By metric.", "cps", metrics, stacked=True),
        series("Spread of ${metric}", "Greatest minus least value of each window.", "short", spread),
    ]


def _thin() -> DynamicConfigValue:
    return DynamicConfigValue(id_val="custom.lineWidth", value=0)


def _anomalies() -> Shown:
    seen = api(
        "/v1/anomalies?site=${site}&device=${device}&limit=200",
        {
            "Since": ("since", "timestamp_epoch"),
            "Metric": ("metric", "string"),
            "Status": ("status", "string"),
            "Detector": ("detector", "string"),
            "Value": ("value", "number"),
            "Expected": ("expected", "number"),
            "Score": ("score", "number"),
            "Why": ("reason", "string"),
        },
    )
    found = rows("Anomalies", "What detectors saw in this device, the newest first; events are not in the store.", seen)
    return found.override_by_name(*coloured("Status", {"entered": RED, "continues": RED, "left": GREY}))
