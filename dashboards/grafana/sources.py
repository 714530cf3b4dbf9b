"""Where the dashboards' data comes from: four data sources with fixed UIDs, and how Grafana is told of them."""

from __future__ import annotations

from typing import Any

import msgspec
from grafana_foundation_sdk.models.common import DataSourceRef

INFLUXDB = DataSourceRef(type_val="influxdb", uid="tidegate-influxdb")
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="tidegate-prometheus")
LOKI = DataSourceRef(type_val="loki", uid="tidegate-loki")
API = DataSourceRef(type_val="yesoreyeram-infinity-datasource", uid="tidegate-api")
"""The API by the Infinity plugin: only what is neither in InfluxDB nor in Prometheus is asked there."""


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses as Grafana sees them, and secrets as Grafana finds them: names of its own environment variables.

    Without `loki` there is neither a source of logs nor a panel of them; without `trace_url` (with `${__value.raw}` where
    the trace's id goes) exemplars are shown without a link.
    """

    influxdb: str = "http://127.0.0.1:8086"
    bucket: str = "tidegate"
    prometheus: str = "http://127.0.0.1:9090"
    api: str = "http://127.0.0.1:8780"
    loki: str = ""
    trace_url: str = ""
    influxdb_token: str = "$TIDEGATE_INFLUXDB_TOKEN"  # noqa: S105 - a variable's name
    api_token: str = "$TIDEGATE_TOKEN"  # noqa: S105 - a variable's name
    prometheus_user: str = ""
    prometheus_password: str = "$TIDEGATE_PROMETHEUS_PASSWORD"  # noqa: S105 - a variable's name


def data_sources(places: Places) -> list[dict[str, Any]]:
    """As Grafana's provisioning and its API take them. Plain dictionaries: the SDK has no settings of data sources."""
    return [_influxdb(places), _prometheus(places), _api(places), *([_loki(places)] if places.loki else [])]


def _influxdb(places: Places) -> dict[str, Any]:
    # InfluxQL is what InfluxDB 2 and 3 both answer; a bucket is its own database there.
    settings = {"version": "InfluxQL", "dbName": places.bucket, "httpMode": "POST", "httpHeaderName1": "Authorization"}
    secrets = {"httpHeaderValue1": f"Token {places.influxdb_token}"}
    return _source(INFLUXDB, "tidegate InfluxDB", places.influxdb, settings, secrets)


def _prometheus(places: Places) -> dict[str, Any]:
    settings: dict[str, Any] = {"httpMethod": "POST", "timeInterval": "15s"}
    if places.trace_url:
        settings["exemplarTraceIdDestinations"] = [
            {"name": "trace_id", "url": places.trace_url, "urlDisplayLabel": "Trace"}
        ]
    found = _source(PROMETHEUS, "tidegate Prometheus", places.prometheus, settings, {})
    if places.prometheus_user:
        found |= {"basicAuth": True, "basicAuthUser": places.prometheus_user}
        found["secureJsonData"] = {"basicAuthPassword": places.prometheus_password}
    return found


def _api(places: Places) -> dict[str, Any]:
    settings = {"auth_method": "bearerToken", "allowedHosts": [places.api]}
    return _source(API, "tidegate API", places.api, settings, {"bearerToken": places.api_token})


def _loki(places: Places) -> dict[str, Any]:
    return _source(LOKI, "tidegate Loki", places.loki, {}, {})


def _source(
    ref: DataSourceRef, name: str, url: str, settings: dict[str, Any], secrets: dict[str, str]
) -> dict[str, Any]:
    found = {"uid": ref.uid, "type": ref.type_val, "name": name, "access": "proxy", "url": url, "jsonData": settings}
    return found | ({"secureJsonData": secrets} if secrets else {})
