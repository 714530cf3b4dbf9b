"""`tidegate top` and `status`: the picture put together from the API's answers, drawn, and told as JSON."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from compose.cli import top as command
from compose.cli.access import Api, ApiError
from compose.cli.main import tidegate
from compose.top.drawing import drawn
from compose.top.picture import Picture, look, worst

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_790_000_000_000
HOSTILE = "[red]pump[/red]\x1b[31m"


def alert(device: str, severity: str = "warning", site: str = "north") -> dict[str, Any]:
    return {
        "name": "MetricAnomaly",
        "severity": severity,
        "labels": {"site": site, "device": device},
        "annotations": {"summary": "heap is above what is usual"},
        "starts_at": NOW - 90_000,
    }


def answers(**changes: Any) -> dict[str, Any]:
    gateway = {"gateway": "g", "at": NOW, "lag_ms": 1500}
    site = {"site": "north", "state": "live", "devices": 3, "states": {"online": 2, "silent": 1}, "backlog_bytes": 0}
    verdict = {"verdict": "fail", "threshold": 2.0, "log10_e": 1.0, "n_canary": 5, "n_control": 6}
    rollout = {"rollout": "fw", "release": "2.3", "state": "running", "verdict": verdict}
    incident = {"incident": "inc-1", "state": "growing", "since": NOW - 90_000, "devices": 2, "sites": 1}
    told = {"summary": "heap high on 2 devices", "cause_sentence": "hardware rev-b: 100 % of the affected"}
    return {
        "/v1/incidents": [incident | told, incident | told | {"incident": "inc-0", "state": "resolved"}],
        "/v1/fleet": {"states": {"online": 2, "silent": 1}},
        "/v1/sites": [site | {"gateways": [gateway]}],
        "/v1/alerts": [alert("a"), alert("b", "critical")],
        "/v1/ledger": {"totals": {"received": 1000, "balanced": True, "unaccounted": 0}},
        "/v1/devices": [{"site": "north", "device": "a"}],
        "/v1/anomalies": [{"site": "north", "device": "c", "metric": "heap", "status": "left"}],
        "/v1/rollouts": [rollout],
    } | changes


def asking(known: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    return lambda path: {"data": known[path.partition("?")[0]]}


def text(picture: Picture, **options: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=160, highlight=False).print(drawn(picture, **({"rows": 10} | options)))
    return stream.getvalue()


def test_the_worst_devices_come_first_with_their_reasons() -> None:
    found = look(asking(answers()), NOW).worst
    assert [(one.device, one.badness, one.why) for one in found] == [
        ("b", 100, ["MetricAnomaly"]),
        ("a", 30, ["MetricAnomaly", "silent"]),
    ]
    assert worst([], [], []) == []


def test_rates_need_two_looks_and_never_fall_below_zero() -> None:
    first = look(asking(answers()), NOW)
    grown = answers(**{"/v1/ledger": {"totals": {"received": 1500, "balanced": True, "unaccounted": 0}}})
    assert first.received_per_s is None
    assert look(asking(grown), NOW + 2000, first).received_per_s == 250.0
    assert look(asking(answers()), NOW + 2000, look(asking(grown), NOW)).received_per_s == 0.0


def test_the_picture_shows_every_section_and_one_alone() -> None:
    picture = look(asking(answers()), NOW)
    whole = text(picture)
    for word in (
        "north",
        "MetricAnomaly",
        "north/b",
        "fw",
        "fail",
        "50%",
        "1.5 s",
        "1m",
        "balanced",
        "inc-1",
        "2 at 1",
        "rev-b: 100 %",
    ):
        assert word in whole
    assert "inc-0" not in whole
    assert "SITE" in text(picture, only="sites")
    assert "ROLLOUT" not in text(picture, only="sites")
    assert "… 1 more" in text(picture, rows=1)


def test_names_are_text_whatever_they_hold() -> None:
    shown = text(look(asking(answers(**{"/v1/alerts": [alert(HOSTILE)]})), NOW))
    assert "[red]pump[/red]" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "incident inc-1: heap high on 2 devices"),
        ({}, "alert MetricAnomaly"),
        ({}, "rollout fw: fail"),
        ({"/v1/ledger": {"totals": {"received": 1, "balanced": False, "unaccounted": 7}}}, "7 samples unaccounted"),
    ],
)
def test_problems_are_told(changes: dict[str, Any], word: str) -> None:
    assert any(word in problem for problem in look(asking(answers(**changes)), NOW).problems())


def through(known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ask = asking(known)
    monkeypatch.setattr(Api, "request", lambda _self, _method, path, _body=None: ask(path))
    monkeypatch.setattr(command.time, "sleep", lambda _seconds: None)


def test_the_commands_print_once_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    through(answers(), monkeypatch)
    piped = CliRunner().invoke(tidegate, ["top"])
    assert (piped.exit_code, "WORST DEVICES" in piped.stdout, "\x1b" in piped.stdout) == (0, True, False)
    told = CliRunner().invoke(tidegate, ["top", "--once", "--json"])
    assert json.loads(told.stdout)["sites"][0]["site"] == "north"


def test_status_ends_with_one_while_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    through(answers(), monkeypatch)
    assert CliRunner().invoke(tidegate, ["status"]).exit_code == 1
    through(answers(**{"/v1/alerts": [], "/v1/incidents": [], "/v1/rollouts": []}), monkeypatch)
    well = CliRunner().invoke(tidegate, ["status", "--json"])
    assert (well.exit_code, json.loads(well.stdout)["problems"]) == (0, [])


def test_an_api_that_is_away_ends_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise ApiError("is it running?", passing=True)

    monkeypatch.setattr(Api, "request", away)
    for name in ("status", "top"):
        assert CliRunner().invoke(tidegate, [name]).exit_code == 2
