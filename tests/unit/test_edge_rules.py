"""A site's own alarms: from windows and devices to what its panel and webhook are told, over restarts and changes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import apsw
from click.testing import CliRunner

from compose.cli.config import example
from compose.cli.main import tidegate
from edge_aggregator.rules.bodies import webhook_body
from edge_aggregator.rules.config import AlarmsConfig, AlarmWebhookConfig, RuleConfig
from edge_aggregator.rules.queue import SCHEMA, AlarmQueue, Target
from edge_aggregator.status import status
from tests.edge_bench import T0, Bench, edge_config, state, telemetry

if TYPE_CHECKING:
    from pathlib import Path

HOT = RuleConfig(name="hot", metric="temp*", above=80.0, leave=75.0, message="too hot", severity="critical")
SILENT = RuleConfig(name="gone", kind="silence")
WEBHOOK = AlarmWebhookConfig(url="http://127.0.0.1:1/", secret_file="s")


def bench(folder: Path, *rules: RuleConfig, **changes: Any) -> Bench:
    alarms = AlarmsConfig(webhook=WEBHOOK)
    return Bench(edge_config(folder, rules=list(rules), alarms=alarms, heartbeat_s=3600.0, **changes))


def window(site: Bench, number: int, *devices: str, **metrics: float) -> None:
    """One window of 10 s of each device, closed and flushed."""
    at = T0 + number * 10_000
    for device in devices:
        site.take([telemetry(device, {"ts": at + ms, "metrics": metrics}) for ms in (0, 1, 10_000)], at + 10_000)
    site.flush(at + 10_000)


def hook(site: Bench) -> list[tuple[str, str, str]]:
    waiting = [json.loads(one.body)["alerts"][0] for one in site.core.alarms_waiting(Target.WEBHOOK)]
    return [(one["labels"]["alertname"], one["labels"]["device"], one["status"]) for one in waiting]


def panel(site: Bench) -> dict[str, list[str]]:
    found = [json.loads(one.body) for one in site.core.alarms_waiting(Target.MQTT)]
    return {one["device"]: [alarm["rule"] for alarm in one["alarms"]] for one in found}


def test_an_alarm_fires_holds_and_ends(tmp_path: Path) -> None:
    site = bench(tmp_path, HOT)
    window(site, 0, "a", "b", temperature=70)
    assert hook(site) == []
    window(site, 1, "a", temperature=90)
    assert hook(site) == [("hot", "a", "firing")]
    assert panel(site) == {"a": ["hot"]}
    window(site, 2, "a", temperature=78)  # below where it begins, above where it ends
    assert len(hook(site)) == 1
    (told,) = status(tmp_path / "edge").alarms
    assert (told.rule, told.state, told.fired_at, told.value) == ("hot", "firing", T0 + 20_000, 90.0)
    assert site.core.standing().alarms == {("hot", "firing"): 1, ("hot", "pending"): 0}
    window(site, 3, "a", temperature=70)
    assert hook(site) == [("hot", "a", "firing"), ("hot", "a", "resolved")]
    assert panel(site) == {"a": []}
    assert status(tmp_path / "edge").alarms == []
    site.close()


def test_a_crash_forgets_neither_what_pends_nor_what_fires(tmp_path: Path) -> None:
    site = bench(tmp_path, HOT, RuleConfig(name="slow", metric="temp*", above=80.0, for_windows=3))
    window(site, 0, "a", temperature=90)
    site.restart()
    window(site, 1, "a", temperature=90)
    site.restart()
    assert hook(site) == [("hot", "a", "firing")]
    window(site, 2, "a", temperature=90)
    site.restart()
    assert hook(site) == [("hot", "a", "firing"), ("slow", "a", "firing")]
    for told in site.core.alarms_waiting(Target.MQTT):
        site.core.alarm_told(told)
    site.flush(T0 + 40_000)
    assert panel(site) == {"a": ["hot", "slow"]}  # a panel on the gateway's own listener has to hear it again
    window(site, 5, "a", temperature=20)
    site.restart()
    assert hook(site)[2:] == [("hot", "a", "resolved"), ("slow", "a", "resolved")]
    site.close()


def test_silence_begins_with_the_lease_and_ends_with_a_sign_of_life(tmp_path: Path) -> None:
    site = bench(tmp_path, SILENT, lease_s=5.0)
    site.take([telemetry("a", {"x": 1})], T0, 0.0)
    site.flush(T0 + 1000, 1.0)
    site.flush(T0 + 6000, 6.0)
    assert (hook(site), panel(site)) == ([("gone", "a", "firing")], {"a": ["gone"]})
    site.restart()
    site.take([telemetry("a", {"x": 1})], T0 + 7000, 1.0)
    site.flush(T0 + 7000, 1.0)
    assert (hook(site)[1:], panel(site)) == ([("gone", "a", "resolved")], {"a": []})
    site.close()


def test_who_is_meant_is_said_by_name_group_and_hardware(tmp_path: Path) -> None:
    pumps = RuleConfig(name="hot", group="pumps", hardware="rev-?", metric="t", above=1.0)
    site = bench(tmp_path, pumps)
    site.take([state("a", group="pumps", hardware="rev-b"), state("b", group="fans", hardware="rev-b")], T0)
    window(site, 0, "a", "b", t=9)
    assert hook(site) == [("hot", "a", "firing")]
    site.take([state("a", group="fans"), state("b", group="pumps")], T0 + 20_000)
    window(site, 2, "a", "b", t=9)
    assert sorted(hook(site)) == [("hot", "a", "firing"), ("hot", "a", "resolved"), ("hot", "b", "firing")]
    site.take([state("b", state="retired")], T0 + 40_000)
    site.flush(T0 + 40_000)
    assert hook(site)[3:] == [("hot", "b", "resolved")]
    site.close()


def test_an_alarm_of_a_rule_that_is_gone_ends(tmp_path: Path) -> None:
    site = bench(tmp_path, HOT)
    window(site, 0, "a", temperature=90)
    site.rooms.alarms.book.replace([RuleConfig(name="hot", metric="temp*", above=80.0)])
    site.flush(T0 + 30_000)
    assert hook(site) == [("hot", "a", "firing")]  # the same name goes on
    site.rooms.alarms.book.replace([])
    site.flush(T0 + 30_000)
    assert hook(site) == [("hot", "a", "firing"), ("hot", "a", "resolved")]
    site.close()


def test_the_surplus_of_a_device_raises_no_alarm_of_others(tmp_path: Path) -> None:
    site = bench(tmp_path, RuleConfig(name="any", above=0.0, metric="*"))
    site.rooms.names.places.per_device = 1
    window(site, 0, "a", x=1, y=1)
    assert hook(site) == [("any", "a", "firing")]
    site.close()


def test_check_warns_of_a_rule_that_matches_nothing(tmp_path: Path) -> None:
    site = bench(tmp_path)
    site.take([state("pump-1", group="pumps")], T0)
    window(site, 0, "pump-1", temperature=9)
    site.close()
    rules = '[[edge.rules]]\nname = "r"\nabove = 1.0\nmetric = "temprature"\ngroup = "pump*"\ndevice = "x"\n'
    config = re.sub(r'data_dir = "\S+"', f'data_dir = "{tmp_path / "edge"}"', example("edge"))
    path = tmp_path / "edge.toml"
    path.write_text(config.replace("[edge.broker]", f"{rules}[edge.broker]", 1))
    result = CliRunner().invoke(tidegate, ["check", "edge", str(path), "--elsewhere", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["warnings"] == [
        "edge.rules[0].metric: 'temprature' matches nothing seen so far; did you mean `temperature`?",
        "edge.rules[0].device: 'x' matches nothing seen so far",
    ]
    path.write_text(path.read_text().replace("above = 1.0", "abov = 1.0"))
    result = CliRunner().invoke(tidegate, ["check", "edge", str(path)])
    assert (result.exit_code, "edge.rules[0].abov: unknown setting; did you mean `above`?" in result.output) == (
        2,
        True,
    )


def filled(most_bytes: int = 1 << 20) -> tuple[AlarmQueue, Any]:
    db = apsw.Connection(":memory:")
    db.execute(SCHEMA)
    return AlarmQueue(db, most_bytes), db


def heads(queue: AlarmQueue) -> list[tuple[str, int, bool]]:
    return [(one.key, one.life, one.firing) for one in queue.head(Target.WEBHOOK)]


def test_lives_that_nobody_heard_of_make_way_for_the_newest() -> None:
    queue, _ = filled()
    for life in (1, 2, 3):
        queue.change("f", life, b"x", firing=True)
        queue.change("f", life, b"x", firing=False)
    assert heads(queue) == [("f", 3, True), ("f", 3, False)]
    queue.remove(queue.head(Target.WEBHOOK)[0])
    queue.change("f", 4, b"x", firing=True)
    assert heads(queue) == [("f", 3, False), ("f", 4, True)]  # the end of what was heard of is told


def test_the_queue_is_bounded_and_ends_are_the_last_to_go() -> None:
    queue, _ = filled(most_bytes=30)
    queue.change("heard", 1, b"x" * 10, firing=False)
    queue.change("a", 1, b"x" * 10, firing=True)
    queue.change("a", 1, b"x" * 10, firing=False)
    queue.change("b", 2, b"x" * 10, firing=True)
    assert heads(queue) == [("heard", 1, False), ("b", 2, True)]
    queue.change("c", 3, b"x" * 15, firing=True)
    assert heads(queue) == [("heard", 1, False), ("c", 3, True)]
    assert queue.dropped == {"mqtt": 0, "webhook": 3}


def test_the_body_is_alertmanagers(tmp_path: Path) -> None:
    site = bench(tmp_path, HOT)
    window(site, 0, "a", temperature=90)
    (alarm,) = status(tmp_path / "edge").alarms
    body = json.loads(webhook_body(site.rooms.site, alarm))
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "gw-1")
    one = body["alerts"][0]
    expected = {"alertname": "hot", "severity": "critical", "tenant": "acme", "site": "site-1"}
    assert one["labels"] == expected | {"device": "a", "metric": "temperature"}
    assert (one["annotations"], one["numbers"]) == ({"summary": "too hot"}, {"value": 90.0})
    assert one["startsAt"] == "2023-11-14T22:13:30.000Z"
    assert one["idempotencyKey"] == f"{one['fingerprint']}:{T0 + 10_000}:firing"
    site.close()
