"""Alerts of rules of one's own: their labels and words, and how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.alerts.webhook import alert_payload
from ingest.contract.events import AlertState, AnomalyStatus, ConditionStatus
from tests.alert_world import FIRING, RESOLVED, T0, Gateway, anomaly, verdict
from tests.ruled import HOT, Ruled, condition

if TYPE_CHECKING:
    pass


def test_a_rule_about_series_alerts_with_its_labels_and_words() -> None:
    watched = Ruled(
        HOT + 'severity = "critical"\nlabels.team = "pumps"\nrunbook = "https://example.org/hot"\n'
        'annotations.summary = "{device}: {value:.1f} > {bound} ({firmware}, {team})"\nannotations.more = "{label_gone}"\n'
    )
    (fired,) = watched.feed(condition(ConditionStatus.HOLDS, 1))
    assert (fired.name, fired.state, fired.severity) == ("Hot", FIRING, "critical")
    assert fired.labels == {
        "site": "north",
        "device": "north-01",
        "metric": "temperature",
        "label_core": "0",
        "team": "pumps",
    }
    assert fired.annotations["summary"] == "north-01: 3.2 > 2 (2.3.0, pumps)"
    assert fired.annotations["runbook"] == "https://example.org/hot"
    assert fired.annotations["more"] == "{label_gone} ({label_gone} is not known)"
    assert not watched.feed(condition(ConditionStatus.HOLDS, 2), condition(ConditionStatus.OVER, 2))
    (stale,) = [*watched.feed(condition(ConditionStatus.UNKNOWN, 3)), *watched.wait(0.4)]
    assert stale.state is AlertState.STALE
    (resolved,) = watched.feed(condition(ConditionStatus.OVER, 4))
    assert (resolved.state, resolved.fingerprint, resolved.told) == (RESOLVED, fired.fingerprint, True)


FILLS = '[[rules]]\nname = "Fills"\nkind = "forecast"\nmetric = "temperature"\nabove = 2.0\nwithin = "4h"\n'


def test_a_forecast_tells_the_earliest_and_the_latest_time_at_which_the_bound_is_reached() -> None:
    watched = Ruled(FILLS + 'annotations.words = "{earliest} {latest} {when}"\n')
    hour = 3_600_000
    ends = {"earliest_at": T0 + hour + 59_999, "latest_at": T0 + 2 * hour + 1}
    (fired,) = watched.feed(condition(ConditionStatus.HOLDS, 1, "Fills", **ends))
    assert fired.numbers == {
        "value": 3.25,
        "bound": 2.0,
        "earliest_ms": ends["earliest_at"],
        "latest_ms": ends["latest_at"],
    }
    # Cut to minutes it is rather too wide: 22:13:20 is T0.
    assert fired.annotations["reached"] == "between 2023-11-14T23:14Z and 2023-11-15T00:14Z"
    assert fired.annotations["summary"] == (
        "temperature of north-01 at north: reaches 2 between 2023-11-14T23:14Z and 2023-11-15T00:14Z"
    )
    assert fired.annotations["words"] == (
        "2023-11-14T23:14Z 2023-11-15T00:14Z between 2023-11-14T23:14Z and 2023-11-15T00:14Z"
    )
    assert alert_payload(fired)["numbers"]["earliest_ms"] == ends["earliest_at"]


def test_a_forecast_that_may_never_come_true_says_not_before() -> None:
    watched = Ruled(FILLS + 'annotations.words = "{earliest} {latest} {when}"\n')
    (fired,) = watched.feed(condition(ConditionStatus.HOLDS, 1, "Fills", earliest_at=T0))
    assert fired.annotations["words"] == "2023-11-14T22:13Z never not before 2023-11-14T22:13Z"
    assert fired.annotations["reached"] == "not before 2023-11-14T22:13Z"
    assert "latest_ms" not in fired.numbers
    # From judges of an earlier version nothing is heard of it: what is asked for is said to be missing, and nothing stops.
    (other,) = watched.feed(condition(ConditionStatus.HOLDS, 1, "Fills", device="north-02"))
    assert other.annotations["words"].endswith("({earliest} is not known)")
    assert "reached" not in other.annotations


def test_a_rule_that_is_removed_or_not_about_it_any_more_ends_its_alerts() -> None:
    watched = Ruled(HOT)
    watched.feed(*(condition(ConditionStatus.HOLDS, 1, device=f"north-0{n}") for n in (1, 2)))
    (gone,) = watched.feed(condition(ConditionStatus.WITHDRAWN, 2))
    assert (gone.state, gone.reason) == (RESOLVED, "withdrawn")
    watched.written = []
    watched.restart()
    (gone,) = watched.feed(condition(ConditionStatus.HOLDS, 3, device="north-03"))
    assert (gone.labels["device"], gone.state, gone.told) == ("north-02", RESOLVED, True)


def test_rules_about_what_is_always_looked_at_have_their_own_scope() -> None:
    text = (
        '[[rules]]\nname = "Sure"\nkind = "anomaly"\nleast_score = 0.95\nwhere.hardware = "rev-b"\nseverity = "critical"\n'
        '[[rules]]\nname = "Elsewhere"\nkind = "anomaly"\nwhere.site = "south"\n'
        '[[rules]]\nname = "Core"\nkind = "anomaly"\nmetric = "mem*"\ndetector = "robust_*"\nwhere.labels.core-id = "0"\n'
        '[[rules]]\nname = "Quiet"\nkind = "silence"\nfor = "2s"\nwhere.device = "north-0[12]"\n'
        '[[rules]]\nname = "Bad"\nkind = "gate"\nrollout = "fw-*"\n'
    )
    watched = Ruled(text)
    gateway = Gateway(watched.fleet)
    watched.feed(anomaly("north-01", T0), gateway.silent("north-02", T0), gateway.silent("north-03", T0), verdict())
    watched.wait(2)
    assert {(c.name, c.state, c.severity) for c in watched.said if c.starts_at} == {
        ("Sure", FIRING, "critical"),
        ("Core", FIRING, "warning"),
        ("Quiet", FIRING, "warning"),
        ("Bad", FIRING, "warning"),
    }
    ended = watched.feed(anomaly("north-01", T0 + 1, AnomalyStatus.LEFT), gateway.returned("north-02", T0 + 1))
    assert {(c.name, c.state) for c in ended} == {("Sure", RESOLVED), ("Core", RESOLVED), ("Quiet", RESOLVED)}


def test_what_a_heartbeat_says_of_the_pipeline_holds_until_it_leaves() -> None:
    watched = Ruled(
        '[[rules]]\nname = "Backlog"\nkind = "pipeline"\nmeasure = "backlog_bytes"\nabove = 100.0\nleave = 50.0\n'
    )
    said = []
    for size in (100, 101, 60, 50, 49, 99):
        said += [(size, c.state) for c in watched.feed(watched.fleet.beat("north", watched.now, backlog_bytes=size))]
    assert said == [(101, FIRING), (49, RESOLVED)]
