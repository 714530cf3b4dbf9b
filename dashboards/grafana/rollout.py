"""One rollout: its verdict, the evidence's path against its threshold, the guards, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.board import ROLLOUT, board, metric_variable
from dashboards.grafana.panels import BLUE, GREEN, GREY, RED, YELLOW, coloured, number, rows, series, words
from dashboards.grafana.queries import api, prom, prom_now

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from dashboards.grafana.panels import Shown

OF = 'rollout=~"$rollout"'
ARMS = 'arm=~"canary|control"'
BACK = 'arm!~"canary|control"'
VERDICTS = {"pass": GREEN, "fail": RED, "inconclusive": YELLOW}


def rollout() -> Dashboard:
    """The fourth dashboard."""
    found = board(ROLLOUT, "Rollout", "One rollout: verdict, evidence, guards, and the way back.", since="now-6h")
    found = found.with_variable(
        metric_variable("rollout", "Rollout", "label_values(tidegate_rollout_verdict, rollout)")
    )
    for panel in (*_numbers(), *_charts(), *_tables()):
        found = found.with_panel(panel)
    return found


def _numbers() -> list[Shown]:
    # One series for each verdict, of which one is 1: its position in the order below is the number shown.
    order = ("pass", "fail", "inconclusive")
    place = " + ".join(
        f'{at} * max(tidegate_rollout_verdict{{{OF}, verdict="{verdict}"}})' for at, verdict in enumerate(order, 1)
    )
    names = {str(at): verdict for at, verdict in enumerate(order, 1)}
    colours = {at: VERDICTS[verdict] for at, verdict in names.items()}
    evidence = f"max(tidegate_rollout_log10_e{{{OF}}})"
    threshold = f"max(tidegate_rollout_log10_e_threshold{{{OF}}})"
    return [
        number("Verdict", "The gate's present answer.", "none", prom_now(place), width=6).mappings(
            [words(colours, names=names)]
        ),
        number(
            "Evidence of harm",
            "log10 of the e-value, as a share of what a fail needs.",
            "percentunit",
            prom_now(f"clamp_min({evidence} / {threshold}, 0)"),
            width=6,
            limits={0.5: YELLOW, 1.0: RED},
        ),
        number(
            "Devices",
            "Assigned by arm.",
            "short",
            prom_now(f"max by (arm) (tidegate_rollout_devices{{{OF}, {ARMS}}})", legend="{{arm}}"),
            width=6,
            base=BLUE,
        ),
        number(
            "Rolled back",
            "Devices by how far their way back has come; none without a rollback.",
            "short",
            prom_now(f"max by (arm) (tidegate_rollout_devices{{{OF}, {BACK}}}) or vector(0)", legend="{{arm}}"),
            width=6,
            base=GREY,
        ),
    ]


def _charts() -> list[Shown]:
    return [
        series(
            "Evidence against the release",
            "log10 of the e-value; it may be looked at any time. A fail is where it reaches the threshold.",
            "short",
            prom(f"max by (rollout) (tidegate_rollout_log10_e{{{OF}}})", legend="evidence"),
            prom(f"max by (rollout) (tidegate_rollout_log10_e_threshold{{{OF}}})", "B", legend="threshold"),
        ),
        series(
            "Devices by arm",
            "Canary and control, and those on their way back.",
            "short",
            prom(f"max by (arm) (tidegate_rollout_devices{{{OF}}})", legend="{{arm}}"),
        ),
    ]


def _tables() -> list[Shown]:
    guards = api(
        "/v1/rollouts/${rollout}",
        {
            "Guard": ("name", "string"),
            "Kind": ("kind", "string"),
            "log10 e, harm": ("log10_e_harm", "number"),
            "log10 e, harmless": ("log10_e_safe", "number"),
            "Events, canary": ("events_canary", "number"),
            "Events, control": ("events_control", "number"),
        },
        root="data.verdict.guards",
    )
    plan = api(
        "/v1/rollouts/${rollout}",
        {
            "Release": ("release", "string"),
            "Before": ("previous_release", "string"),
            "State": ("state", "string"),
            "Mode": ("mode", "string"),
            "Verdict": ("verdict.verdict", "string"),
            "Why": ("verdict.reason", "string"),
            "Since": ("verdict.since", "timestamp_epoch"),
        },
    )
    # Guards and reasons are records of their own, no time series: only the API has them.
    return [
        rows("Guards", "What each guard has seen, and how strongly.", guards, width=12),
        rows("The rollout", "Plan and reason.", plan, width=12).override_by_name(*coloured("Verdict", VERDICTS)),
    ]
