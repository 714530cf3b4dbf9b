"""The fleet at a glance: what reports, what is wrong, and where to look next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.board import FLEET, INCIDENTS, PIPELINE, ROLLOUT, SITE, board, path_of
from dashboards.grafana.panels import (
    BLUE,
    GREY,
    RED,
    YELLOW,
    limited,
    link,
    linked,
    merged,
    number,
    rows,
    series,
    with_unit,
)
from dashboards.grafana.queries import EACH_SPAN, PER_SECOND, influx, prom, prom_now, select

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from dashboards.grafana.panels import Shown

BY_STATE = "sum by (state) (max by (site, state) (tidegate_fleet_devices))"
"""`max` first: several API processes tell the same."""


def fleet() -> Dashboard:
    """The first dashboard."""
    found = board(FLEET, "Fleet", "All sites and devices: what reports, what is wrong, and where to look next.")
    for panel in (*_numbers(), *_charts(), _sites()):
        found = found.with_panel(panel)
    return found


def _numbers() -> list[Shown]:
    pipeline, incidents = path_of(PIPELINE), path_of(INCIDENTS)
    return [
        number(
            "Devices",
            "Devices that report, by the API's view.",
            "short",
            prom_now('sum(max by (site) (tidegate_fleet_devices{state="online"}))'),
        ),
        number(
            "Silent devices",
            "Devices that have not reported within their lease.",
            "short",
            prom_now('sum(max by (site) (tidegate_fleet_devices{state="silent"}))'),
            limits={1: YELLOW},
        ),
        number(
            "Sites in the dark",
            "Sites of which no heartbeat arrives.",
            "short",
            prom_now('max(tidegate_fleet_sites{state="dark"})'),
            limits={1: RED},
        ),
        number(
            "Alerts that fire",
            "By severity.",
            "short",
            prom_now(
                'sum by (severity) (max by (severity) (tidegate_fleet_alerts{state="firing"}))', legend="{{severity}}"
            ),
            limits={1: RED},
        ).data_links([link("Incidents", incidents)]),
        number(
            "Rollouts under way",
            "Rollouts whose plan is running.",
            "short",
            prom_now('max(tidegate_fleet_rollouts{state="running"})'),
            base=BLUE,
        ),
        number(
            "Samples per second",
            "Samples that gateways received and acknowledged.",
            "cps",
            prom_now('sum(rate(tidegate_edge_samples_total{outcome="received"}[$__rate_interval]))'),
            base=GREY,
        ).data_links([link("Pipeline", pipeline)]),
    ]


def _charts() -> list[Shown]:
    site = path_of(SITE, site="${__field.labels.site}")
    verdicts = "max by (rollout) (tidegate_rollout_log10_e)"
    return [
        series("Devices by state", "As gateways tell it.", "short", prom(BY_STATE, legend="{{state}}"), stacked=True),
        series(
            "Samples stored per second",
            "What has arrived in the store, by site.",
            "cps",
            influx(select(PER_SECOND, "", EACH_SPAN, '"site"'), alias="$tag_site"),
            stacked=True,
        ).data_links([link("Site ${__field.labels.site}", site)]),
        series(
            "Alerts that fire",
            "By severity.",
            "short",
            prom('max by (severity) (tidegate_fleet_alerts{state="firing"})', legend="{{severity}}"),
            stacked=True,
        ),
        series(
            "Evidence against rollouts",
            "log10 of each rollout's e-value; a fail is where it reaches its threshold.",
            "short",
            prom(verdicts, legend="{{rollout}}"),
            prom("max by (rollout) (tidegate_rollout_log10_e_threshold)", "B", legend="{{rollout}}: threshold"),
        ).data_links(
            [link("Rollout ${__field.labels.rollout}", path_of(ROLLOUT, rollout="${__field.labels.rollout}"))]
        ),
    ]


def _sites() -> Shown:
    by_site = "sum by (site) (max by (site, state) (tidegate_fleet_devices))"
    silent = 'sum by (site) (max by (site, state) (tidegate_fleet_devices{state="silent"}))'
    found = rows(
        "Sites",
        "Devices, silent devices and what waits at the gateways.",
        prom_now(by_site, "A", table=True),
        prom_now(silent, "B", table=True),
        prom_now("max by (site) (tidegate_fleet_backlog_bytes)", "C", table=True),
    )
    found = merged(found, {"site": "Site", "Value #A": "Devices", "Value #B": "Silent", "Value #C": "Backlog"})
    found = found.override_by_name(*linked("Site", "Open the site", path_of(SITE, site="${__value.raw}")))
    found = found.override_by_name(*limited("Silent", {1: YELLOW}))
    unit, (column, marks) = with_unit("Backlog", "bytes")[1], limited("Backlog", {50e6: YELLOW})
    return found.override_by_name(column, [*unit, *marks])
