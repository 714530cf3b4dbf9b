"""Queries of panels, by data source."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import loki, prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.grafana.sources import API, INFLUXDB, LOKI, PROMETHEUS

Query = Builder[Dataquery]

MEASUREMENT = '"rollups"'
EACH_SPAN = "time($__interval)"
MEAN = 'sum("sum") / sum("count") AS "mean"'
PER_SECOND = 'sum("count") * 1000 / $__interval_ms AS "samples"'
"""Columns that several panels show: of a window's samples, weighted by their number; samples per second."""


def select(columns: str, where: str = "", *by: str, source: str = MEASUREMENT) -> str:
    """InfluxQL that versions 2 and 3 both answer: one SELECT over the dashboard's time range."""
    # The parts are this package's own, never input.
    condition = f"{where} AND $timeFilter" if where else "$timeFilter"
    return f"SELECT {columns} FROM {source} WHERE {condition}{' GROUP BY ' + ', '.join(by) if by else ''}"  # noqa: S608


class PlainQuery(Dataquery, Builder[Dataquery]):
    """A query that the SDK has no builder for (InfluxQL, Infinity), as Grafana's JSON has it."""

    def __init__(self, model: dict[str, Any]) -> None:
        self._model = model

    def build(self) -> Dataquery:
        """Itself."""
        return self

    def to_json(self) -> dict[str, Any]:
        """The model."""
        return self._model


def influx(query: str, ref: str = "A", *, alias: str = "", table: bool = False) -> Query:
    """InfluxQL; `alias` may name tags (`$tag_device`) and columns (`$col`)."""
    model = {
        "refId": ref,
        "datasource": INFLUXDB.to_json(),
        "query": query,
        "rawQuery": True,
        "resultFormat": "table" if table else "time_series",
    }
    return PlainQuery(model | ({"alias": alias} if alias else {}))


def prom(expr: str, ref: str = "A", *, legend: str = "", exemplar: bool = False) -> Query:
    """PromQL over the dashboard's time range."""
    query = prometheus.Dataquery().expr(expr).ref_id(ref).datasource(PROMETHEUS).range()
    query = query.legend_format(legend) if legend else query
    return query.exemplar(exemplar=True) if exemplar else query


def prom_now(expr: str, ref: str = "A", *, legend: str = "", table: bool = False) -> Query:
    """PromQL at the end of the dashboard's time range; as a table, with a column for each label."""
    query = prometheus.Dataquery().expr(expr).ref_id(ref).datasource(PROMETHEUS).instant()
    query = query.legend_format(legend) if legend else query
    return query.format(PromQueryFormat.TABLE) if table else query


def api(path: str, columns: dict[str, tuple[str, str]], *, root: str = "data", ref: str = "A") -> Query:
    """Rows of an answer of our API; `columns`: title to (selector, type), `root`: where the list is."""
    model = {
        "refId": ref,
        "datasource": API.to_json(),
        "type": "json",
        "source": "url",
        "format": "table",
        "parser": "backend",
        "url": path,
        "url_options": {"method": "GET", "data": ""},
        "root_selector": root,
        "columns": [{"text": text, "selector": place, "type": kind} for text, (place, kind) in columns.items()],
        "filters": [],
    }
    return PlainQuery(model)


def logs(expr: str, ref: str = "A") -> Query:
    """LogQL."""
    return loki.Dataquery().expr(expr).ref_id(ref).datasource(LOKI)
