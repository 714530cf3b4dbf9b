"""Dashboards into a running Grafana through its HTTP API; doing it again changes nothing.

https://grafana.com/docs/grafana/latest/developers/http_api/ : folders, data sources, dashboards by UID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from dashboards.grafana.export import FOLDER, FOLDER_UID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TIMEOUT_S = 30.0
SETTLED_BY_GRAFANA = ("id", "version")
TOLD = 300


class GrafanaError(RuntimeError):
    """Grafana cannot be reached or says no; the text says what to do."""


class Pushed(msgspec.Struct, frozen=True):
    """What became of one thing: created, updated, unchanged."""

    kind: str
    uid: str
    outcome: str


class Grafana:
    """One Grafana and the service account's token that opens it."""

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._client = httpx.Client(base_url=self._url, headers=headers, timeout=TIMEOUT_S, transport=transport)

    def push(self, dashboards: Iterable[dict[str, Any]], sources: Iterable[dict[str, Any]] = ()) -> Iterator[Pushed]:
        """The folder, then data sources, then dashboards. Raises GrafanaError."""
        with self._client:
            yield self._folder()
            for source in sources:
                yield self._source(source)
            for model in dashboards:
                yield self._dashboard(model)

    def _folder(self) -> Pushed:
        path = f"/api/folders/{FOLDER_UID}"
        if self._ask("GET", path) is not None:
            return Pushed("folder", FOLDER_UID, "unchanged")
        self._ask("POST", "/api/folders", {"uid": FOLDER_UID, "title": FOLDER})
        return Pushed("folder", FOLDER_UID, "created")

    def _source(self, source: dict[str, Any]) -> Pushed:
        path = f"/api/datasources/uid/{source['uid']}"
        if self._ask("GET", path) is None:
            self._ask("POST", "/api/datasources", source)
            return Pushed("data source", source["uid"], "created")
        # Secrets are never shown: whether they are the same cannot be told, so they are written again.
        self._ask("PUT", path, source)
        return Pushed("data source", source["uid"], "updated")

    def _dashboard(self, model: dict[str, Any]) -> Pushed:
        uid = model["uid"]
        there = self._ask("GET", f"/api/dashboards/uid/{uid}")
        if there is not None and _plain(there.get("dashboard", {})) == _plain(model):
            return Pushed("dashboard", uid, "unchanged")
        body = {"dashboard": model, "folderUid": FOLDER_UID, "overwrite": True, "message": "tidegate grafana push"}
        self._ask("POST", "/api/dashboards/db", body)
        return Pushed("dashboard", uid, "created" if there is None else "updated")

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """The answer; None for a GET of what is not there."""
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise GrafanaError(f"{self._url}: {error or type(error).__name__}; is Grafana running there?") from error
        if method == "GET" and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise GrafanaError(
                f"{self._url}: {method} {path} answered {answer.status_code}; the token must be of a service account "
                "with the role Editor (Admin for data sources)"
            )
        if not answer.is_success:
            raise GrafanaError(f"{self._url}: {method} {path} answered {answer.status_code}: {answer.text[:TOLD]}")
        try:
            return dict(msgspec.json.decode(answer.content))
        except (msgspec.DecodeError, TypeError, ValueError) as error:
            raise GrafanaError(f"{self._url}: {method} {path} answered no JSON object; is this Grafana?") from error


def _plain(model: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in model.items() if name not in SETTLED_BY_GRAFANA}
