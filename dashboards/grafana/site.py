"""One site: its devices, what they report, and whether it keeps up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.board import DEVICE, SITE, board, path_of, picked, tag_variable
from dashboards.grafana.panels import YELLOW, largest, link, linked, number, rows, series
from dashboards.grafana.queries import EACH_SPAN, MEAN, PER_SECOND, api, influx, prom, prom_now, select

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from dashboards.grafana.panels import Shown

HERE = picked("site")
OF_SITE = 'site=~"$site"'
STATES = f"sum by (state) (max by (site, state) (tidegate_fleet_devices{{{OF_SITE}}}))"


def site() -> Dashboard:
    """The second dashboard."""
    found = board(SITE, "Site", "One site: its devices, what they report, and whether it keeps up.")
    found = found.with_variable(tag_variable("site", "Site"))
    found = found.with_variable(tag_variable("metric", "Metric", where=picked("site")))
    for panel in (*_numbers(), *_charts(), *_tables()):
        found = found.with_panel(panel)
    return found


def _numbers() -> list[Shown]:
    by_device = select('sum("count") AS "n"', HERE, '"device"')
    reported = select('count("n")', source=f"({by_device})")
    return [
        number("Devices", "By state, as the gateway tells it.", "short", prom_now(STATES, legend="{{state}}"), width=8),
        number("Devices with data", "Devices with samples in this span of time.", "short", influx(reported)),
        number(
            "Backlog",
            "Bytes that wait at the site's gateways.",
            "bytes",
            prom_now(f"sum(max by (site) (tidegate_fleet_backlog_bytes{{{OF_SITE}}}))"),
            limits={50e6: YELLOW},
        ),
        number(
            "Samples",
            "Samples stored in this span of time.",
            "short",
            influx(select('sum("count")', HERE)),
            width=8,
        ),
    ]


def _charts() -> list[Shown]:
    device = path_of(DEVICE, site="${site}", device="${__field.labels.device}", metric="${metric}")
    return [
        series(
            "${metric} by device",
            "Mean of each window, weighted by its samples.",
            "short",
            influx(
                select(MEAN, f"{HERE} AND {picked('metric')}", EACH_SPAN, '"device"'),
                alias="$tag_device",
            ),
            width=24,
            legend=False,
        ).data_links([link("Device ${__field.labels.device}", device)]),
        series(
            "Samples stored per second",
            "By metric.",
            "cps",
            influx(select(PER_SECOND, HERE, EACH_SPAN, '"metric"'), alias="$tag_metric"),
            stacked=True,
        ),
        series("Devices by state", "As the gateway tells it.", "short", prom(STATES, legend="{{state}}"), stacked=True),
    ]


def _tables() -> list[Shown]:
    samples = rows(
        "Who sends most",
        "Samples of this span of time, by device.",
        influx(select('sum("count") AS "Samples"', HERE, '"device"'), table=True),
        width=10,
    )
    known = api(
        "/v1/devices?site=${site}&limit=1000",
        {
            "Device": ("device", "string"),
            "State": ("state", "string"),
            "Firmware": ("firmware", "string"),
            "Hardware": ("hardware", "string"),
            "Group": ("group", "string"),
            "Last heard": ("last_seen", "timestamp_epoch"),
        },
    )
    # Firmware and hardware are no tags of the store (a correction would become a second point): only the API knows them.
    devices = rows("Devices", "What each device is, and how it was heard last.", known, width=14)
    here = path_of(DEVICE, site="${site}", device="${__value.raw}")
    return [
        largest(samples, "Samples", 20).override_by_name(*linked("device", "Open the device", here)),
        devices.override_by_name(*linked("Device", "Open the device", here)),
    ]
