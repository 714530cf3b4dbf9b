"""Asks what Grafana would ask: the queries of panels, variables and annotations, variables filled in, over the same APIs."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose.stack.endpoints import InfluxEndpoint, PrometheusEndpoint

STEP_S, SPAN_S = 5, 300
MACROS = {"$__rate_interval": "30s", "$__range": f"{SPAN_S}s", "$__interval_ms": str(STEP_S * 1000)}


class Asked(NamedTuple):
    """One query of a dashboard: where it stands, the unit it is shown in, and Grafana's own model of it."""

    place: str
    unit: str
    query: dict[str, Any]


class Reader:
    """The three data sources as Grafana reaches them."""

    def __init__(
        self, influx: InfluxEndpoint, prometheus: PrometheusEndpoint, api: str, token: str, until: float
    ) -> None:
        self._influx, self._prometheus, self._api, self._until = influx, prometheus, api, until
        self._auth = (prometheus.username, prometheus.password)
        self._client = httpx.Client(trust_env=False, timeout=90.0, headers={"Authorization": f"Bearer {token}"})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def variables(self, model: dict[str, Any], wanted: dict[str, str]) -> dict[str, str]:
        """Each variable's value, in the order in which they chain; the first that is offered unless one is `wanted`."""
        found: dict[str, str] = {}
        for variable in model["templating"].get("list", []):
            offered = self._offered(variable, found)
            assert offered, f"{model['uid']}: variable {variable['name']} offers nothing"
            choice = wanted.get(variable["name"], offered[0])
            assert choice in offered, f"{model['uid']}: {variable['name']} offers {offered[:20]}, not {choice}"
            found[variable["name"]] = ".*" if variable["includeAll"] else choice
        return found

    def rows(self, asked: Asked, values: dict[str, str]) -> list[dict[str, Any]]:
        """What comes back, as rows: labels or tags and `value`, or an API's rows."""
        kind = asked.query["datasource"]["type"]
        if kind == "influxdb":
            return list(self._influxql(filled(asked.query["query"], values)))
        if kind == "prometheus":
            return list(self._promql(filled(asked.query["expr"], values), now=bool(asked.query.get("instant"))))
        return rows_of_api(self._client, self._api, asked.query, values)

    def _offered(self, variable: dict[str, Any], values: dict[str, str]) -> list[str]:
        query = variable["query"]
        if isinstance(query, str):
            return sorted(row["value"] for row in self._influxql(filled(query, values)))
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query["query"]).groups()  # type: ignore[union-attr]  # they all are
        url = f"{self._prometheus.url}/api/v1/label/{label}/values"
        return list(self._get(url, {"match[]": metric}, self._auth)["data"])

    def _influxql(self, query: str) -> Iterator[dict[str, Any]]:
        begin = f"time >= {int((self._until - SPAN_S) * 1000)}ms and time <= {int(self._until * 1000)}ms"
        text = query.replace("$timeFilter", begin).replace("$__interval", f"{STEP_S}s")
        answer = self._client.post(
            f"{self._influx.url}/query",
            params={"db": self._influx.bucket, "epoch": "ms"},
            data={"q": text},
            headers={"Authorization": f"Token {self._influx.token}"},
        )
        assert answer.status_code == httpx.codes.OK, f"{text}\n{answer.text}"
        for result in answer.json()["results"]:
            assert "error" not in result, f"{text}\n{result}"
            for series in result.get("series", []):
                for values in series["values"]:
                    row = dict(zip(series["columns"], values, strict=True))
                    numbers = {name: value for name, value in row.items() if name not in {"time", "key"}}
                    if any(value is not None for value in numbers.values()):
                        yield {**series.get("tags", {}), **row, "value": next(iter(numbers.values()))}

    def _promql(self, expr: str, *, now: bool) -> Iterator[dict[str, Any]]:
        span = {"time": str(self._until)} if now else self._span()
        url = f"{self._prometheus.url}/api/v1/{'query' if now else 'query_range'}"
        for series in self._get(url, {"query": expr} | span, self._auth)["data"]["result"]:
            for at, value in [series["value"]] if now else series["values"]:
                if not math.isnan(float(value)):
                    yield {**series["metric"], "time": at, "value": float(value)}

    def _span(self) -> dict[str, str]:
        return {"start": str(self._until - SPAN_S), "end": str(self._until), "step": str(STEP_S)}

    def _get(self, url: str, params: dict[str, str], auth: tuple[str, str]) -> Any:
        answer = self._client.get(url, params=params, auth=auth)
        assert answer.status_code == httpx.codes.OK, f"{url} {params}\n{answer.text}"
        return answer.json()


def rows_of_api(client: httpx.Client, api: str, query: dict[str, Any], values: dict[str, str]) -> list[dict[str, Any]]:
    """What the Infinity plugin makes of one of its queries' answers: the columns of each item below the root."""
    url = api + filled(query["url"], values)
    answer = client.request(query["url_options"]["method"], url)
    assert answer.status_code == httpx.codes.OK, f"{url}\n{answer.text}"
    found: Any = answer.json()
    for part in query["root_selector"].split("."):
        found = found[part]
    items = found if isinstance(found, list) else [found]
    return [{column["text"]: selected(item, column["selector"]) for column in query["columns"]} for item in items]


def queries(model: dict[str, Any]) -> Iterator[Asked]:
    """All of a dashboard: its panels' and its annotations'."""
    for panel in model["panels"]:
        for query in panel["targets"]:
            yield Asked(f"{model['uid']} / {panel['title']} / {query['refId']}", _unit(panel, query), query)
    for note in model["annotations"]["list"]:
        yield Asked(f"{model['uid']} / annotation {note['name']}", "", note["target"])


def filled(text: str, values: dict[str, str]) -> str:
    """Variables and macros replaced, as Grafana does it."""
    for name, value in values.items():
        escaped = value if value == ".*" else re.escape(value)
        text = text.replace(f"${{{name}:regex}}", escaped).replace(f"${{{name}}}", value)
        text = re.sub(rf"\${name}\b", lambda _, value=value: value, text)
    for macro, value in MACROS.items():
        text = text.replace(macro, value)
    return text


def selected(item: Any, path: str) -> Any:
    for part in path.split("."):
        item = item.get(part) if isinstance(item, dict) else None
    return item


def expected_unit(query: dict[str, Any]) -> set[str]:
    """Which units fit what a query asks for, by the base units of the metric's or the field's name."""
    text = query.get("expr") or query.get("query") or ""
    rated = "rate(" in text and "histogram_quantile" not in text
    if query["datasource"]["type"] == "influxdb":
        return {"ms"} if '"width"' in text else {"cps"} if "__interval_ms" in text else {"short"}
    if "/ max(" in text:
        return {"percentunit"}
    if rated and "* 60" in text:
        return {"cpm"}
    if "cpu_seconds" in text or "log10_e" in text:
        return {"short"}
    if "_verdict" in text:
        return {"none"}
    if "_bytes" in text:
        return {"Bps"} if rated else {"bytes"}
    if "_seconds" in text:
        return {"s"}
    return {"cps", "reqps"} if rated else {"short"}


def _unit(panel: dict[str, Any], query: dict[str, Any]) -> str:
    of_column = {
        override["matcher"]["options"]: prop["value"]
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "unit"
    }
    renamed = [t["options"].get("renameByName", {}) for t in panel.get("transformations", [])]
    names = [titles[f"Value #{query['refId']}"] for titles in renamed if f"Value #{query['refId']}" in titles]
    return next((of_column[name] for name in names if name in of_column), panel["fieldConfig"]["defaults"]["unit"])
