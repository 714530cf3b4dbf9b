"""What all dashboards share: fixed UIDs, variables that chain, links with the time kept, annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableRefresh,
    VariableSort,
)

from dashboards.grafana.panels import BLUE, GREEN, RED
from dashboards.grafana.queries import MEASUREMENT, prom
from dashboards.grafana.sources import INFLUXDB, PROMETHEUS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable

TAG = "tidegate"
FLEET, SITE, DEVICE, ROLLOUT, PIPELINE, INCIDENTS = (
    f"tidegate-{name}" for name in ("fleet", "site", "device", "rollout", "pipeline", "incidents")
)


def path_of(uid: str, **variables: str) -> str:
    """A dashboard's address with variables in it, for links."""
    handed = "&".join(f"var-{name}={value}" for name, value in variables.items())
    return f"/d/{uid}?{handed}" if handed else f"/d/{uid}?orgId=1"


def board(uid: str, title: str, about: str, *, since: str = "now-1h", refresh: str = "10s") -> Dashboard:
    """An empty dashboard with the links to all others and the annotations."""
    links = dashboard.DashboardLink("tidegate").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    found = dashboard.Dashboard(f"tidegate / {title}").uid(uid).description(about).tags([TAG])
    found = found.time(since, "now").refresh(refresh).timezone("browser").editable()
    found = found.tooltip(DashboardCursorSync.CROSSHAIR).link(links.keep_time(True).include_vars(True))
    for note in notes():
        found = found.annotation(note)
    return found


def notes() -> Iterable[dashboard.AnnotationQuery]:
    """Alerts, rollouts and verdicts, as spans on every chart."""
    yield _note(
        "Alerts", RED, 'max by (severity) (tidegate_fleet_alerts{state="firing"}) > 0', "{{severity}} alerts fire"
    )
    yield _note(
        "Rollouts",
        BLUE,
        'max by (rollout) (tidegate_rollout_state{state="running"}) == 1',
        "{{rollout}} is rolled out",
    )
    yield _note(
        "Verdicts",
        GREEN,
        'max by (rollout, verdict) (tidegate_rollout_verdict{verdict=~"pass|fail"}) == 1',
        "{{rollout}}: {{verdict}}",
    )


def _note(name: str, colour: str, expr: str, title: str) -> dashboard.AnnotationQuery:
    found = dashboard.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(colour)
    # Grafana's Prometheus source reads these; the target says the same to newer versions.
    return found.expr(expr).title_format(title).step("30s").target(prom(expr, "Anno", legend=title))


def tag_variable(name: str, label: str, *, where: str = "", every: bool = False) -> QueryVariable:
    """The values of one of the store's tags, narrowed by the variables before it."""
    query = f'SHOW TAG VALUES FROM {MEASUREMENT} WITH KEY = "{name}"{f" WHERE {where}" if where else ""}'
    return _variable(name, label, query, every=every).datasource(INFLUXDB)


def metric_variable(name: str, label: str, query: str, *, every: bool = False) -> QueryVariable:
    """The values of one of Prometheus' labels."""
    model: dict[str, object] = {"qryType": 1, "query": query, "refId": f"variable-{name}"}
    return _variable(name, label, model, every=every).datasource(PROMETHEUS)


def picked(tag: str) -> str:
    """The InfluxQL condition that a tag is what its variable says."""
    return f'"{tag}" =~ /^${{{tag}:regex}}$/'


def as_json(found: Dashboard) -> dict[str, Any]:
    """The dashboard as plain JSON, its panels numbered in their order."""
    whole: dict[str, Any] = msgspec.json.decode(JSONEncoder(sort_keys=True).encode(found.build()))
    for number, panel in enumerate(whole["panels"], start=1):
        panel["id"] = number
    return whole


def _variable(name: str, label: str, query: str | dict[str, object], *, every: bool) -> QueryVariable:
    found = dashboard.QueryVariable(name).label(label).query(query).sort(VariableSort.NATURAL_ASC)
    found = found.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    return found.include_all(True).multi(True).all_value(".*") if every else found
