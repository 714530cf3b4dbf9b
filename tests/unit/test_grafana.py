"""What holds of all dashboards, of what is exported, and of a push into a Grafana."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from click.testing import CliRunner

from compose.cli.grafana import grafana
from dashboards.grafana.every import every_dashboard
from dashboards.grafana.export import exported, write
from dashboards.grafana.push import Grafana, GrafanaError
from dashboards.grafana.sources import Places, data_sources

if TYPE_CHECKING:
    from pathlib import Path

MODELS = every_dashboard(with_logs=True)
PANELS = [(model["uid"], panel) for model in MODELS for panel in model["panels"]]
KEPT = "${__url_time_range}"


def test_the_dashboards_have_fixed_names_and_are_the_same_each_time() -> None:
    assert [model["uid"] for model in MODELS] == [
        "tidegate-fleet",
        "tidegate-site",
        "tidegate-device",
        "tidegate-rollout",
        "tidegate-pipeline",
        "tidegate-incidents",
    ]
    assert every_dashboard(with_logs=True) == MODELS


@pytest.mark.parametrize(
    ("uid", "panel"), PANELS, ids=lambda value: value if isinstance(value, str) else value["title"]
)
def test_every_panel_says_what_it_shows(uid: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 3
    assert panel["targets"], uid
    grid = panel["gridPos"]
    assert grid["x"] + grid["w"] <= 24
    if panel["type"] != "logs":
        assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"].startswith("tidegate-")


def test_ids_are_unique_and_no_panel_lies_on_another() -> None:
    for model in MODELS:
        assert max(Counter(panel["id"] for panel in model["panels"]).values()) == 1
        taken: set[tuple[int, int]] = set()
        for panel in model["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, f"{model['uid']}: {panel['title']}"
            taken |= cells


def test_all_links_keep_the_time_and_lead_to_dashboards_that_are_there() -> None:
    known = {model["uid"]: {v["name"] for v in model["templating"].get("list", [])} for model in MODELS}
    followed = set()
    for model in MODELS:
        assert all(link["keepTime"] and link["includeVars"] for link in model["links"])
        for url in re.findall(r'"url": "(/d/[^"]+)"', json.dumps(model)):
            assert url.endswith(f"&{KEPT}"), url
            uid = url.removeprefix("/d/").split("?")[0]
            followed.add((model["uid"], uid))
            assert set(re.findall(r"var-(\w+)=", url)) <= known[uid], url
    down = {("tidegate-fleet", "tidegate-site"), ("tidegate-site", "tidegate-device")}
    down |= {("tidegate-fleet", name) for name in ("tidegate-rollout", "tidegate-pipeline", "tidegate-incidents")}
    assert down | {("tidegate-incidents", "tidegate-device")} <= followed


def test_variables_chain_and_notes_are_on_every_dashboard() -> None:
    device = MODELS[2]["templating"]["list"]
    assert [variable["name"] for variable in device] == ["site", "device", "metric"]
    assert "${site:regex}" in device[1]["query"]
    assert "${device:regex}" in device[2]["query"]
    for model in MODELS:
        assert [note["name"] for note in model["annotations"]["list"]] == ["Alerts", "Rollouts", "Verdicts"]


def test_exemplars_are_asked_for_where_there_are_histograms() -> None:
    asked = {panel["title"] for _, panel in PANELS for query in panel["targets"] if query.get("exemplar")}
    assert {"Lag of gateways", "Storing a batch", "Journal commits"} <= asked


def test_the_store_is_asked_in_influxql_that_both_versions_answer() -> None:
    asked = [q["query"] for _, panel in PANELS for q in panel["targets"] if q["datasource"]["type"] == "influxdb"]
    assert len(asked) > 10
    for query in asked:
        assert query.startswith("SELECT ")
        assert "$timeFilter" in query
        assert not re.search(r"\|>|from\(bucket|\bINTO\b|\bTOP\(|holt_winters", query, re.IGNORECASE)


def test_exporting_again_writes_nothing(tmp_path: Path) -> None:
    content = exported(Places(loki="http://loki:3100"), "/srv/dashboards")
    assert len(write(tmp_path, content)) == len(content)
    assert write(tmp_path, content) == []
    provider = yaml.safe_load((tmp_path / "provisioning/dashboards/tidegate.yaml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/srv/dashboards"
    sources = yaml.safe_load((tmp_path / "provisioning/datasources/tidegate.yaml").read_text())["datasources"]
    uids = {query["datasource"]["uid"] for _, panel in PANELS for query in panel["targets"]}
    assert {source["uid"] for source in sources} == uids
    assert {path.name for path in (tmp_path / "prometheus").iterdir()} == {
        "tidegate.alerts.yml",
        "tidegate.recording.yml",
    }


def test_the_command_exports_and_names_what_it_wrote(tmp_path: Path) -> None:
    arguments = ["export", str(tmp_path), "--influxdb", "http://influx:8086", "--json"]
    first, second = (json.loads(CliRunner().invoke(grafana, arguments).stdout) for _ in range(2))
    assert first["written"] == first["files"]
    assert second["written"] == []
    assert "http://influx:8086" in (tmp_path / "provisioning/datasources/tidegate.yaml").read_text()


class Server:
    """Grafana's HTTP API as its reference tells it, as far as a push goes."""

    def __init__(self) -> None:
        self.folders: dict[str, Any] = {}
        self.sources: dict[str, Any] = {}
        self.dashboards: dict[str, Any] = {}
        self.written = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != "Bearer glsa_right":
            return httpx.Response(401, json={"message": "Invalid API key"})
        *_, kind, last = request.url.path.split("/")
        if request.method == "GET":
            place = {"uid": self.sources, "folders": self.folders}.get(kind, {})
            place = self.dashboards if "/dashboards/" in request.url.path else place
            found = place.get(last)
            return httpx.Response(200, json=found) if found else httpx.Response(404, json={"message": "not found"})
        self.written += 1
        body = json.loads(request.content)
        if request.url.path == "/api/folders":
            self.folders[body["uid"]] = body
        elif request.url.path.startswith("/api/datasources"):
            self.sources[body["uid"]] = body
        else:
            assert body["overwrite"]
            assert body["folderUid"] in self.folders
            self.dashboards[body["dashboard"]["uid"]] = {"dashboard": body["dashboard"] | {"id": 7, "version": 3}}
        return httpx.Response(200, json={"status": "success"})


def push(server: Server, shown: str = "glsa_right", models: list[dict[str, Any]] = MODELS) -> list[tuple[str, str]]:
    grafana = Grafana("http://grafana.test/", shown, httpx.MockTransport(server))
    return [(pushed.uid, pushed.outcome) for pushed in grafana.push(models, data_sources(Places()))]


def test_pushing_twice_changes_nothing_and_a_change_is_one_update() -> None:
    server = Server()
    assert {outcome for _, outcome in push(server)} == {"created"}
    again = push(server)
    assert {outcome for uid, outcome in again if uid in server.dashboards} == {"unchanged"}
    assert len(server.sources) == 3
    changed = [MODELS[0] | {"title": "another"}, *MODELS[1:]]
    assert [uid for uid, outcome in push(server, models=changed) if outcome == "updated"][-1] == "tidegate-fleet"


def test_the_command_pushes_and_says_so_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr("dashboards.grafana.push.Grafana", lambda url, token: answered_by(server, url, token))
    command, env = ["push", "http://grafana.test", "--json"], {"TIDEGATE_GRAFANA_TOKEN": "glsa_right"}
    first, second = (CliRunner(env=env).invoke(grafana, command).stdout.splitlines() for _ in range(2))
    assert {json.loads(line)["outcome"] for line in first} == {"created"}
    assert {json.loads(line)["outcome"] for line in second} == {"unchanged"}
    assert [json.loads(line)["uid"] for line in second][1:] == [model["uid"] for model in MODELS]


def answered_by(server: Server, url: str, token: str) -> Grafana:
    return Grafana(url, token, httpx.MockTransport(server))


def test_a_wrong_token_and_a_server_that_is_none_are_told() -> None:
    with pytest.raises(GrafanaError, match="service account"):
        push(Server(), "glsa_wrong")

    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, html="<html>")

    with pytest.raises(GrafanaError, match="is this Grafana"):
        list(Grafana("http://x.test", "t", httpx.MockTransport(page)).push([]))


def test_a_push_without_a_token_or_secrets_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TIDEGATE_GRAFANA_TOKEN", "TIDEGATE_INFLUXDB_TOKEN", "TIDEGATE_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    without = CliRunner().invoke(grafana, ["push", "http://127.0.0.1:1"])
    assert (without.exit_code, "TIDEGATE_GRAFANA_TOKEN" in without.stderr) == (2, True)
    sources = CliRunner().invoke(grafana, ["push", "http://127.0.0.1:1", "--data-sources"])
    assert (sources.exit_code, "TIDEGATE_INFLUXDB_TOKEN" in sources.stderr) == (2, True)
