"""Every panel has thresholds: those that can be bad say from where on, those that are neither good nor bad have one colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dashboards.grafana.every import every_dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = every_dashboard(with_logs=True)
PANELS = {(model["uid"], panel["title"], panel["type"]): panel for model in MODELS for panel in model["panels"]}
WITH_NUMBERS = {key: panel for key, panel in PANELS.items() if panel["type"] != "logs"}

LIMITS = {
    ("tidegate-fleet", "Silent devices", "stat"): [1],
    ("tidegate-fleet", "Sites in the dark", "stat"): [1],
    ("tidegate-fleet", "Alerts that fire", "stat"): [1],
    ("tidegate-site", "Backlog", "stat"): [50e6],
    ("tidegate-rollout", "Evidence of harm", "stat"): [0.5, 1.0],
    ("tidegate-pipeline", "Slowest gateway", "stat"): [5, 30],
    ("tidegate-pipeline", "Waiting at gateways", "stat"): [50e6],
    ("tidegate-pipeline", "Missing batches", "stat"): [1],
    ("tidegate-pipeline", "Broken accounts", "stat"): [1],
    ("tidegate-pipeline", "Dead letters", "stat"): [1],
    ("tidegate-pipeline", "Lag of gateways", "timeseries"): [30],
    ("tidegate-pipeline", "Journal commits", "timeseries"): [0.5],
    ("tidegate-pipeline", "Outbox", "timeseries"): [50e6],
    ("tidegate-pipeline", "Storing a batch", "timeseries"): [1],
    ("tidegate-pipeline", "Age of the newest record", "timeseries"): [60],
    ("tidegate-pipeline", "Dead letters", "timeseries"): [1],
    ("tidegate-incidents", "Incidents that go on", "stat"): [1],
    ("tidegate-incidents", "Alerts that fire", "stat"): [1],
    ("tidegate-incidents", "Waiting for delivery", "stat"): [1],
    ("tidegate-incidents", "Waiting for delivery", "timeseries"): [1],
    ("tidegate-incidents", "Refused notifications", "stat"): [1],
}
"""From where on a value is bad, in the panel's unit."""
COLUMNS = {("tidegate-fleet", "Sites", "table"): {"Silent": [1], "Backlog": [50e6]}}


def limits(steps: list[dict[str, Any]]) -> list[float]:
    assert "value" in steps[0], "the colour of what is below every limit"
    assert steps[0]["value"] is None
    assert all(step["color"] for step in steps)
    found = [step["value"] for step in steps[1:]]
    assert found == sorted(found)
    return found


@pytest.mark.parametrize("key", WITH_NUMBERS, ids=" / ".join)
def test_every_panel_has_thresholds_and_the_limits_that_are_known(key: tuple[str, str, str]) -> None:
    defaults = PANELS[key]["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["thresholds"]["mode"] == "absolute"
    found = limits(defaults["thresholds"]["steps"])
    assert found == LIMITS.get(key, [])
    if key[2] == "timeseries":
        drawn = defaults["custom"].get("thresholdsStyle", {}).get("mode")
        assert (drawn == "dashed") == bool(found), "a limit is drawn, and nothing else is"


def test_each_limit_belongs_to_a_panel() -> None:
    assert LIMITS.keys() | COLUMNS.keys() <= PANELS.keys()


def test_columns_that_can_be_bad_have_limits_of_their_own() -> None:
    assert {key: found for key in WITH_NUMBERS if (found := dict(of_columns(PANELS[key])))} == COLUMNS


def of_columns(panel: dict[str, Any]) -> Iterator[tuple[str, list[float]]]:
    for override in panel["fieldConfig"]["overrides"]:
        for prop in override["properties"]:
            if prop["id"] == "thresholds":
                yield override["matcher"]["options"], limits(prop["value"]["steps"])
