"""Who is told what, when: routes, repetition, escalation, acknowledgements, and what was refused for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import pytest

from analytics.alerts.circuit import OPENS_AFTER, Circuit, CircuitState
from analytics.alerts.config import AlertsConfig
from analytics.alerts.outbox import Outbox
from analytics.alerts.outbox_desk import Desk
from analytics.alerts.route_config import RouteConfig
from analytics.alerts.routes import Routes
from ingest.contract.events import AlertEvent, AlertState
from ingest.runtime.backoff import Backoff
from ingest.runtime.config import ConfigError, parse_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_700_000_000_000
FIRING, RESOLVED, STALE = AlertState.FIRING, AlertState.RESOLVED, AlertState.STALE
ACKNOWLEDGED, SUPPRESSED = AlertState.ACKNOWLEDGED, AlertState.SUPPRESSED


def event(fingerprint: str = "a", state: AlertState = FIRING, starts_at: int = T0, **more: Any) -> AlertEvent:
    plain: dict[str, Any] = {
        "fingerprint": fingerprint,
        "tenant": "acme",
        "name": "DeviceSilent",
        "state": state,
        "severity": "warning",
        "labels": {"device": fingerprint, "site": "north"},
        "annotations": {},
        "numbers": {},
        "changed_at": starts_at,
        "pending_since": starts_at,
        "starts_at": starts_at,
        "ends_at": starts_at + 10 if state is RESOLVED else 0,
    }
    return AlertEvent(**(plain | more))


class Delivered:
    """An outbox with its routes, and receivers that take what they get, or refuse it for good."""

    def __init__(self, path: Path, *routes: RouteConfig, default: tuple[str, ...] = (), repeat_s: float = 0.0) -> None:
        self.path, self.receivers = path, ("hook", "pager", "boss")
        self.routes = Routes(routes, self.receivers, default, repeat_s)
        self.outbox, self.now = Outbox(path), T0
        self.refused: set[str] = set()

    def happen(self, *events: AlertEvent) -> None:
        self.outbox.queue([(one, "") for one in events], self.routes.way, self.now, {"pager"})

    def told(self, receiver: str) -> list[tuple[str, AlertState]]:
        """What it is told now, until nothing is due."""
        found: list[tuple[str, AlertState]] = []
        while (due := self.outbox.next(receiver, self.now, 0)) is not None:
            names = [(alert.fingerprint, alert.state) for alert in due.notification.alerts]
            refuses = receiver in self.refused
            self.outbox.settle(due.rows, "dead" if refuses else "delivered", "no" if refuses else "", self.now)
            found += [] if refuses else names
        return found

    def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        self.outbox.escalate(self.routes.way, self.now)
        self.outbox.repeat(self.now)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deliveries.db"


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    opened = Desk(path)
    yield opened
    opened.close()


def test_the_first_route_that_matches_decides_and_may_let_others_add(path: Path) -> None:
    world = Delivered(
        path,
        RouteConfig(receivers=["pager"], matchers=["severity=critical"], go_on=True),
        RouteConfig(receivers=["boss"], matchers=["site=no*"]),
        RouteConfig(receivers=["hook"], matchers=["site=*"]),
        default=("hook",),
    )
    world.happen(
        event("a", severity="critical"),
        event("b"),
        event("c", labels={"site": "south"}),
        event("d", labels={}, name="RolloutFailed"),
    )
    assert [name for name, _ in world.told("pager")] == ["a"]
    assert [name for name, _ in world.told("boss")] == ["a", "b"]
    assert [name for name, _ in world.told("hook")] == ["c", "d"]


def test_alerts_travel_together_by_the_labels_that_their_route_says(path: Path) -> None:
    world = Delivered(path, RouteConfig(receivers=["hook"], group_by=["site", "tenant"]))
    world.happen(event("a"), event("b", name="MetricAnomaly"), event("c", labels={"site": "south"}))
    due = world.outbox.next("hook", T0, 0)
    assert due is not None
    assert [alert.fingerprint for alert in due.notification.alerts] == ["a", "b"]
    assert due.notification.group == {"site": "north", "tenant": "acme"}


def test_ten_thousand_unlike_alerts_are_each_told_soon(path: Path) -> None:
    world = Delivered(path, RouteConfig(receivers=["hook"], group_by=["device", "tenant"]))
    world.happen(*(event(f"{n}") for n in range(2000)))
    assert len(world.told("hook")) == 2000


def test_whoever_was_told_of_a_firing_is_told_of_its_end_whatever_routes_say_by_then(path: Path) -> None:
    world = Delivered(path, RouteConfig(receivers=["pager", "boss"], matchers=["site=north"]))
    world.happen(event())
    world.told("pager")
    world.routes = Routes([RouteConfig(receivers=["hook"])], world.receivers, (), 0.0)
    world.happen(event(state=RESOLVED))
    assert world.told("pager") == [("a", RESOLVED)]
    assert world.told("boss") == [("a", FIRING), ("a", RESOLVED)]
    assert not world.told("hook")


def test_what_still_fires_is_told_again_until_somebody_looks_after_it_or_it_ends(path: Path) -> None:
    world = Delivered(path, default=("hook",), repeat_s=60.0)
    world.happen(event("a"), event("b"), event("c"))
    assert len(world.told("hook")) == 3
    world.pass_time(59)
    assert not world.told("hook")
    world.happen(event("a", ACKNOWLEDGED), event("b", RESOLVED))
    assert world.told("hook") == [("b", RESOLVED)]
    world.pass_time(1)
    assert world.told("hook") == [("c", FIRING)]
    world.pass_time(59)
    assert not world.told("hook")
    world.happen(event("c", STALE))
    world.pass_time(1)
    assert world.told("hook") == [("c", FIRING)]
    world.happen(event("c", SUPPRESSED))
    world.pass_time(600)
    assert not world.told("hook")
    world.happen(event("c", FIRING))
    assert not world.told("hook")  # they know of it
    world.pass_time(60)
    assert world.told("hook") == [("c", FIRING)]


def test_a_repetition_has_a_key_of_its_own_and_comes_before_the_end(path: Path) -> None:
    world = Delivered(path, default=("hook",), repeat_s=60.0)
    world.happen(event())
    world.told("hook")
    world.pass_time(60)
    world.happen(event(state=RESOLVED))
    due = world.outbox.next("hook", world.now, 0)
    assert due is not None
    assert due.notification.key == f"a:{T0}:repeat:{world.now}"
    assert world.told("hook") == [("a", FIRING), ("a", RESOLVED)]


def test_what_nobody_acknowledges_goes_further_and_so_does_its_end(path: Path) -> None:
    route = RouteConfig(receivers=["pager"], escalate_after_s=300.0, escalate_to=["boss"])
    world = Delivered(path, route)
    world.happen(event("a"), event("b"), event("c"))
    world.told("pager")
    world.happen(event("a", ACKNOWLEDGED), event("b", RESOLVED))
    world.pass_time(299)
    assert not world.told("boss")
    world.pass_time(1)
    assert world.told("boss") == [("c", FIRING)]
    world.pass_time(600)
    assert not world.told("boss")
    world.happen(event("a", FIRING))  # taken back
    world.pass_time(300)
    assert world.told("boss") == [("a", FIRING)]
    world.happen(event("a", RESOLVED), event("c", RESOLVED))
    assert world.told("boss") == [("a", RESOLVED), ("c", RESOLVED)]


def test_only_who_tracks_them_hears_of_acknowledgements(path: Path) -> None:
    world = Delivered(path, default=("hook", "pager"))
    world.happen(event(), event(state=ACKNOWLEDGED), event(state=RESOLVED))
    assert world.told("pager") == [("a", FIRING), ("a", ACKNOWLEDGED), ("a", RESOLVED)]
    assert world.told("hook") == [("a", FIRING), ("a", RESOLVED)]


def test_a_life_that_nobody_was_to_hear_of_is_told_to_nobody(path: Path) -> None:
    world = Delivered(path)
    world.happen(event(state=SUPPRESSED, told=False), event(state=RESOLVED, told=False))
    assert not world.told("hook")
    world.happen(event("b", SUPPRESSED, told=False), event("b", FIRING), event("b", RESOLVED))
    assert world.told("hook") == [("b", FIRING), ("b", RESOLVED)]


def test_a_firing_that_was_refused_for_good_holds_its_resolve_until_it_is_replayed(path: Path, desk: Desk) -> None:
    world = Delivered(path, default=("hook",))
    world.refused = {"hook"}
    world.happen(event("a"), event("b"))
    world.told("hook")
    world.refused.clear()
    world.happen(event("a", RESOLVED), event("c"))
    assert world.told("hook") == [("c", FIRING)]
    held, dead_b, dead_a = (row for row in desk.rows("hook") if row.outcome != "delivered")
    assert (held.state, held.held, dead_b.detail) == ("resolved", 1, "no")
    assert desk.replay(dead_a.id)
    assert not desk.replay(dead_a.id)
    assert world.told("hook") == [("a", FIRING), ("a", RESOLVED)]


def test_what_is_given_up_takes_its_resolve_with_it(path: Path, desk: Desk) -> None:
    world = Delivered(path, default=("hook",))
    world.refused = {"hook"}
    world.happen(event("a"), event("b"))
    world.told("hook")
    world.refused.clear()
    world.happen(event("a", RESOLVED))
    dead_a = next(row for row in desk.rows(outcome="dead") if row.fingerprint == "a")
    assert desk.discard(dead_a.id, T0)
    assert not desk.discard(dead_a.id, T0)
    assert not world.told("hook")
    assert [row.outcome for row in desk.rows() if row.fingerprint == "a"] == ["discarded", "discarded"]


def test_the_next_life_takes_the_place_of_one_that_was_refused_and_is_over(path: Path, desk: Desk) -> None:
    world = Delivered(path, default=("hook",))
    world.refused = {"hook"}
    world.happen(event("a"))
    world.told("hook")
    world.refused.clear()
    world.happen(event("a", RESOLVED), event("a", FIRING, T0 + 50))
    assert world.told("hook") == [("a", FIRING)]
    assert [row.outcome for row in desk.rows()] == ["delivered", "superseded", "superseded"]


def test_of_what_still_fires_nothing_is_forgotten(path: Path) -> None:
    world = Delivered(path, default=("hook",))
    world.happen(event("a"), event("b"), event("b", RESOLVED))
    world.told("hook")
    world.outbox.forget(T0 + 10**10)
    world.happen(event("a", FIRING), event("a", RESOLVED))
    assert world.told("hook") == [("a", RESOLVED)]


def test_alertmanager_is_repeated_what_it_was_told_last(path: Path) -> None:
    world = Delivered(path, RouteConfig(receivers=["hook"], matchers=["device!=z"]), default=("boss",))
    world.happen(event("a"), event("b"), event("z"))
    world.told("hook")
    world.happen(event("b", RESOLVED), event("c"))
    assert [alert.fingerprint for alert in world.outbox.living(0, "hook")] == ["a"]
    world.told("hook")
    assert {(a.fingerprint, a.state) for a in world.outbox.living(0, "hook")} == {
        ("a", FIRING),
        ("b", RESOLVED),
        ("c", FIRING),
    }


def test_the_file_of_an_earlier_version_goes_on(path: Path) -> None:
    old = apsw.Connection(str(path))
    old.execute(
        """
        CREATE TABLE deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL, key TEXT NOT NULL,
            fingerprint TEXT NOT NULL, tenant TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, event BLOB NOT NULL,
            trace TEXT NOT NULL, queued_at INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
            grouped TEXT NOT NULL DEFAULT '', outcome TEXT NOT NULL DEFAULT 'waiting', detail TEXT NOT NULL DEFAULT '',
            done_at INTEGER NOT NULL DEFAULT 0, UNIQUE (receiver, key));
        CREATE INDEX heads ON deliveries (receiver, fingerprint, id) WHERE outcome = 'waiting';
        CREATE TABLE living (fingerprint TEXT PRIMARY KEY, event BLOB NOT NULL, started INTEGER NOT NULL,
            ended INTEGER NOT NULL) WITHOUT ROWID;
        """
    )
    encoded = msgspec.msgpack.encode(event())
    insert = (
        "INSERT INTO deliveries (receiver, key, fingerprint, tenant, name, state, event, trace, queued_at, outcome)"
    )
    for receiver, outcome in (("hook", "delivered"), ("boss", "waiting")):
        row = (receiver, f"a:{T0}:firing", "a", "acme", "DeviceSilent", "firing", encoded, "", T0, outcome)
        old.execute(f"{insert} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    old.execute("INSERT INTO living VALUES (?, ?, ?, 0)", ("a", encoded, T0))
    old.close()
    world = Delivered(path)
    world.happen(event("a", RESOLVED))
    assert world.told("hook") == [("a", RESOLVED)]
    assert not world.told("pager")
    due = world.outbox.next("boss", T0, 0)
    assert due is not None
    assert due.notification.group == {"alertname": "DeviceSilent", "tenant": "acme"}
    assert world.told("boss") == [("a", FIRING), ("a", RESOLVED)]


def test_a_receiver_that_fails_again_and_again_is_left_alone_for_longer_and_longer() -> None:
    class Middle:
        def uniform(self, _low: float, _high: float) -> float:
            return 1.0

    circuit, now = Circuit(Backoff(Middle(), 0.2, 60.0)), 0.0  # type: ignore[arg-type]
    pauses = []
    for _ in range(12):
        pauses.append(circuit.failed(now, 0.0))
        assert circuit.state(now) is (CircuitState.OPEN if len(pauses) >= OPENS_AFTER else CircuitState.CLOSED)
        now += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0
    assert circuit.state(now) is CircuitState.TRYING
    assert circuit.failed(now, 3600.0) == 3600.0
    circuit.went_well()
    assert circuit.state(now) is CircuitState.CLOSED
    assert circuit.failed(now, 0.0) == pauses[0]


MAIL = '[[mails]]\nname = "m"\nhost = "h"\nsender = "a@b"\nrecipients = ["a@b"]\n'
HOOK = '[[webhooks]]\nname = "hook"\nurl = "https://h.example"\nsecret_file = "s"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HOOK + '[[routes]]\nreceivers = ["hok"]', "no receiver is called 'hok'; there are hook"),
        ('default_receivers = ["hook"]', "no receiver is called 'hook'; there is none at all"),
        (HOOK + '[[routes]]\nreceivers = ["hook"]\nmatchers = ["site"]', "expected label=pattern"),
        (HOOK + '[[routes]]\nreceivers = ["hook"]\nescalate_after_s = 5.0', "expected both or neither"),
        (HOOK + '[[routes]]\nreceivers = ["hook"]\ngroup_by = ["site"]', "expected `tenant` in it"),
        (HOOK + '[[routes]]\nreceivers = ["hook"]\nrepeat_s = -5.0', "repeat_s is -5.0"),
        (HOOK + 'proxy = "socks://p"', "is no address"),
        ('[network]\nallow = ["10.0.0.0/33"]', "expected public, private, loopback or a network"),
        ('[[mails]]\nname = "m"\nhost = "h"\nsender = "a@b"\nrecipients = []', "recipients is empty"),
        ('[[mails]]\nname = "m"\nhost = "h"\nsender = "a"\nrecipients = ["a@b"]', "'a' is no address"),
        (
            MAIL + 'security = "none"\nusername = "u"\npassword_file = "p"',
            "a password is never sent without TLS",
        ),
        ('[heartbeat]\nurl = "x"', "is no address"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, AlertsConfig, "alerts.toml")
    assert told in str(caught.value)
