"""All dashboards, in the order in which people go down through them."""

from __future__ import annotations

from typing import Any

from dashboards.grafana.board import as_json
from dashboards.grafana.device import device
from dashboards.grafana.fleet import fleet
from dashboards.grafana.incidents import incidents
from dashboards.grafana.pipeline import pipeline
from dashboards.grafana.rollout import rollout
from dashboards.grafana.site import site


def every_dashboard(*, with_logs: bool = False) -> list[dict[str, Any]]:
    """Grafana's JSON of each; the same each time."""
    found = (fleet(), site(), device(), rollout(), pipeline(with_logs=with_logs), incidents())
    return [as_json(one) for one in found]
