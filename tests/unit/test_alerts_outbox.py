"""The outbox: order per alert, groups that keep their key, nothing twice, nothing lost."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.alerts.notifier import GROUP_MOST
from analytics.alerts.outbox import BESIDE_MS, Due, Outbox
from analytics.alerts.outbox_desk import Desk
from analytics.alerts.route_config import RouteConfig
from analytics.alerts.routes import Routes, Way
from ingest.contract.events import AlertEvent, AlertState
from tests.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T0 = 1_700_000_000_000
FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED


def change(
    fingerprint: str,
    state: AlertState = FIRING,
    starts_at: int = T0,
    *,
    name: str = "DeviceSilent",
    tenant: str = "acme",
) -> tuple[AlertEvent, str]:
    event = AlertEvent(
        fingerprint=fingerprint,
        tenant=tenant,
        name=name,
        state=state,
        severity="warning",
        labels={"device": fingerprint},
        annotations={},
        numbers={},
        changed_at=starts_at,
        pending_since=starts_at,
        starts_at=starts_at,
        ends_at=starts_at + 10 if state is RESOLVED else 0,
    )
    return event, ""


def to(*receivers: str, **route: Any) -> Callable[[AlertEvent], Way]:
    """All alerts go to these."""
    routes = [RouteConfig(receivers=list(receivers), **route)] if route else []
    return Routes(routes, receivers, [], 0.0).way


def dead(outbox: Outbox) -> list[tuple[str, str]]:
    rows = outbox._db.execute("SELECT key, detail FROM deliveries WHERE outcome = 'dead' ORDER BY id")
    return [(str(key), str(detail)) for key, detail in rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deliveries.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    opened = Outbox(path)
    yield opened
    opened.close()


def due(outbox: Outbox, now: int = T0 + 5000, receiver: str = "r") -> Due:
    found = outbox.next(receiver, now, 1000)
    assert found is not None
    return found


def members(found: Due) -> list[tuple[str, AlertState]]:
    return [(alert.fingerprint, alert.state) for alert in found.notification.alerts]


def test_alike_alerts_travel_together_unlike_ones_apart(outbox: Outbox) -> None:
    outbox.queue([change("a"), change("b", name="SiteDark"), change("c"), change("d", tenant="other")], to("r"), T0)
    groups = []
    for _ in range(3):
        found = due(outbox)
        groups.append((found.notification.name, found.notification.tenant, [f for f, _ in members(found)]))
        outbox.settle(found.rows, "delivered", "", T0)
    assert groups == [
        ("DeviceSilent", "acme", ["a", "c"]),
        ("SiteDark", "acme", ["b"]),
        ("DeviceSilent", "other", ["d"]),
    ]
    assert outbox.next("r", T0 + 5000, 1000) is None


def test_a_group_waits_for_others_and_is_bounded(outbox: Outbox) -> None:
    outbox.queue([change("first")], to("r"), T0)
    outbox.settle(due(outbox, T0 + BESIDE_MS).rows, "delivered", "", T0 + BESIDE_MS)
    outbox.queue([change(f"{n:03d}") for n in range(GROUP_MOST + 50)], to("r"), T0 + 1)
    assert outbox.next("r", T0 + 999, 1000) is None
    assert len(due(outbox, T0 + 1001).rows) == GROUP_MOST


def test_what_nobody_was_told_of_lately_goes_at_once(outbox: Outbox) -> None:
    outbox.queue([change("a")], to("r", "s"), T0)
    assert outbox.next("r", T0 + BESIDE_MS - 1, 1000) is None
    outbox.queue([change("b")], to("r", "s"), T0 + 10)
    told = due(outbox, T0 + BESIDE_MS)
    assert [fingerprint for fingerprint, _ in members(told)] == ["a", "b"]  # what came together travels together
    outbox.settle(told.rows, "delivered", "", T0 + BESIDE_MS)
    outbox.queue([change("e"), change("c", name="SiteDark"), change("a", RESOLVED)], to("r"), T0 + 30)
    for expected in ("c", "a"):
        found = due(outbox, T0 + 30 + BESIDE_MS)
        assert [fingerprint for fingerprint, _ in members(found)] == [expected]
        outbox.settle(found.rows, "delivered", "", T0 + 30 + BESIDE_MS)
    assert outbox.next("r", T0 + 30 + BESIDE_MS, 1000) is None
    assert outbox.next("s", T0 + 30 + BESIDE_MS, 1000) is not None  # another receiver was told of nothing
    assert members(due(outbox, T0 + 1030)) == [("e", FIRING)]


def test_a_clock_that_is_set_back_holds_up_nothing(outbox: Outbox) -> None:
    outbox.queue([change("a")], to("r"), T0)
    assert outbox.next("r", T0 - 3_600_000, 1000) is not None


def test_a_resolve_never_overtakes_its_firing(outbox: Outbox) -> None:
    outbox.queue([change("a"), change("a", RESOLVED), change("b"), change("a", FIRING, T0 + 50)], to("r"), T0)
    seen = []
    for _ in range(3):
        found = due(outbox)
        outbox.postpone(found.rows)  # the first try fails
        again = due(outbox)
        seen.append(members(again))
        outbox.settle(again.rows, "delivered", "", T0)
    assert seen == [[("a", FIRING), ("b", FIRING)], [("a", RESOLVED)], [("a", FIRING)]]


def test_a_failed_group_is_sent_again_as_it_was(outbox: Outbox, path: Path) -> None:
    outbox.queue([change("a"), change("b")], to("r"), T0)
    first = due(outbox)
    outbox.queue([change("c")], to("r"), T0 + 1)
    assert due(outbox) == first
    outbox.close()
    again = Outbox(path)  # a crash while it was being sent
    assert due(again) == first
    again.close()


def test_the_key_of_one_alone_is_its_own_and_of_many_everybodys(outbox: Outbox) -> None:
    outbox.queue([change("a")], to("r"), T0)
    alone = due(outbox)
    assert alone.notification.key == f"a:{T0}:firing"
    outbox.settle(alone.rows, "delivered", "", T0)
    outbox.queue([change("b"), change("c")], to("r"), T0)
    together = due(outbox)
    assert together.notification.key not in {f"b:{T0}:firing", f"c:{T0}:firing"}


def test_what_was_tried_in_vain_lets_others_go_first(outbox: Outbox) -> None:
    outbox.queue([change("a"), change("b", name="SiteDark")], to("r"), T0)
    refused = due(outbox)
    assert members(refused) == [("a", FIRING)]
    outbox.postpone(refused.rows)
    other = due(outbox)
    assert members(other) == [("b", FIRING)]
    outbox.settle(other.rows, "delivered", "", T0)
    assert due(outbox) == refused


def test_a_refused_group_is_parted_so_that_one_cannot_take_others_with_it(outbox: Outbox) -> None:
    outbox.queue([change("a"), change("b"), change("b", RESOLVED)], to("r"), T0)
    together = due(outbox)
    outbox.part(together.rows)
    alone = due(outbox)
    assert (members(alone), alone.notification.key) == ([("a", FIRING)], f"a:{T0}:firing")
    outbox.settle(alone.rows, "dead", "answered 400", T0)
    assert members(due(outbox)) == [("b", FIRING)]
    assert dead(outbox) == [(f"a:{T0}:firing", "answered 400")]


def test_what_comes_again_is_delivered_once(outbox: Outbox) -> None:
    history = [change("a"), change("a", RESOLVED)]
    outbox.queue(history, to("r"), T0)
    outbox.queue(history, to("r"), T0)
    assert outbox.waiting("r") == 2
    while (found := outbox.next("r", T0 + 5000, 1000)) is not None:
        outbox.settle(found.rows, "delivered", "", T0)
    outbox.queue(history, to("r"), T0 + 6000)
    assert outbox.waiting("r") == 0


def test_each_receiver_has_its_own_queue(outbox: Outbox) -> None:
    outbox.queue([change("a")], to("r", "s"), T0)
    outbox.settle(due(outbox).rows, "delivered", "", T0)
    assert (outbox.waiting("r"), outbox.waiting("s")) == (0, 1)
    assert members(due(outbox, receiver="s")) == [("a", FIRING)]


def test_what_was_never_told_is_not_queued(outbox: Outbox) -> None:
    pending, _ = change("a", AlertState.PENDING, 0)
    ceased, _ = change("a", RESOLVED, 0)
    outbox.queue([(pending, ""), (ceased, "")], to("r"), T0)
    assert outbox.waiting("r") == 0
    assert not outbox.living(0)


def test_living_is_what_fires_and_what_ended_lately_whatever_comes_again(outbox: Outbox) -> None:
    history = [
        change("a"),
        change("a", RESOLVED),
        change("b"),
        change("c"),
        change("c", RESOLVED),
        change("c", FIRING, T0 + 50),
    ]
    outbox.queue(history, to("r"), T0)
    outbox.queue(history[:1], to("r"), T0)
    outbox.queue(history[3:5], to("r"), T0)
    assert {(alert.fingerprint, alert.state) for alert in outbox.living(T0)} == {
        ("a", RESOLVED),
        ("b", FIRING),
        ("c", FIRING),
    }
    assert {alert.fingerprint for alert in outbox.living(T0 + 10)} == {"b", "c"}


def test_only_what_is_settled_and_ended_is_forgotten(outbox: Outbox) -> None:
    outbox.queue([change("a"), change("b"), change("c", name="SiteDark")], to("r"), T0)
    first = due(outbox)
    outbox.settle(first.rows, "dead", "answered 400", T0)
    outbox.queue([change("a", RESOLVED)], to("r"), T0)
    outbox.forget(T0 + 1_000_000)
    assert len(dead(outbox)) == 2  # the one holds its resolve, the other still fires
    assert outbox.waiting("r") == 2
    assert {alert.fingerprint for alert in outbox.living(0)} == {"b", "c"}
    outbox.queue([change("b", RESOLVED)], to("s"), T0)
    Desk.discard(cast("Desk", outbox), first.rows[0], T0)
    Desk.discard(cast("Desk", outbox), first.rows[1], T0)
    outbox.forget(T0 + 1_000_000)
    assert not dead(outbox)
    assert outbox.waiting("r") == 1


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 2**32))
def test_in_any_course_of_events_all_arrive_in_order_under_equal_keys(seed: int) -> None:
    chance = random.Random(seed)
    course = Course(chance)
    outbox = Outbox(Path(":memory:"))
    for now in range(T0, T0 + 40):
        outbox.queue(course.news(now), to("r"), now)
        _try_once(outbox, course, now, refuse=chance.random() < 0.5)
    while outbox.waiting("r"):
        _try_once(outbox, course, T0 + 1000, refuse=chance.random() < 0.3)
    outbox.close()
    assert course.arrived == course.queued
    assert all(len(contents) == 1 for contents in course.keys.values())


class Course:
    """Alerts that come and go, and what arrived of them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._firing: dict[str, int] = {}
        self.queued: dict[str, list[str]] = defaultdict(list)
        self.arrived: dict[str, list[str]] = defaultdict(list)
        self.keys: dict[str, set[tuple[str, ...]]] = defaultdict(set)

    def news(self, now: int) -> list[tuple[AlertEvent, str]]:
        changes = []
        for fingerprint in self._chance.sample("abcdef", self._chance.randint(0, 3)):
            began = self._firing.pop(fingerprint, None)
            if began is None:
                self._firing[fingerprint] = now
            changes.append(change(fingerprint, FIRING if began is None else RESOLVED, began or now))
            self.queued[fingerprint].append(changes[-1][0].idempotency_key())
        return changes + changes[:1]


def _try_once(outbox: Outbox, course: Course, now: int, *, refuse: bool) -> None:
    found = outbox.next("r", now, 3)
    if found is None:
        return
    keys = tuple(alert.idempotency_key() for alert in found.notification.alerts)
    course.keys[found.notification.key].add(keys)
    if refuse:
        outbox.postpone(found.rows)
        return
    outbox.settle(found.rows, "delivered", "", now)
    for alert in found.notification.alerts:
        course.arrived[alert.fingerprint].append(alert.idempotency_key())
