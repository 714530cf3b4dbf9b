"""What the views make of events: sites by what is heard, alerts in order, accounts that add up, bounded books."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dashboards.api.alerts import AlertBook
from dashboards.api.anomalies import AnomalyBook
from dashboards.api.config import ApiConfig
from dashboards.api.device_counts import NAMED
from dashboards.api.devices import DeviceFilter, DeviceTable
from dashboards.api.evidence_path import EvidencePath
from dashboards.api.ledger import Account, ledger_view, missing
from dashboards.api.rollouts import LISTED, Rollout, threshold
from dashboards.api.sites import Heard, SiteState, gateway_state, site_view
from dashboards.api.views import TenantView
from ingest.contract.events import (
    AlertEvent,
    AlertState,
    AnomalyEvent,
    DeviceEvent,
    DeviceState,
    GatewayEvent,
    PlanState,
    RollbackStatus,
)
from ingest.contract.ledger import ClassCounts
from tests.api_records import NOW, Gateway, account_record, alert_record, anomaly_record
from tests.api_rollouts import plan, rollback_record, verdict

NORTH = Gateway("acme", "north")


def decode(record: Any, kind: type[Any]) -> Any:
    return msgspec.json.decode(record.value, type=kind)


def device(name: str, **fields: Any) -> DeviceEvent:
    return decode(NORTH.device(name, **fields), DeviceEvent)


def beat(at: int, **fields: Any) -> GatewayEvent:
    return decode(NORTH.heartbeat(at, **({"heartbeat_ms": 1000} | fields)), GatewayEvent)


@pytest.mark.parametrize(
    ("heard", "now", "expected"),
    [
        (Heard(None, 0), NOW, SiteState.UNHEARD),
        (Heard(beat(NOW), NOW), NOW + 3000, SiteState.LIVE),
        (Heard(beat(NOW), NOW), NOW + 3001, SiteState.DARK),
        (Heard(beat(NOW - 60_000), NOW), NOW, SiteState.BEHIND),
        (Heard(beat(NOW, cut_off=True), NOW), NOW, SiteState.CUT_OFF),
        (Heard(beat(NOW, cut_off=True), NOW - 9000), NOW, SiteState.DARK),
    ],
)
def test_a_site_is_what_is_heard_of_it(heard: Heard, now: int, expected: SiteState) -> None:
    assert gateway_state(heard, now) is expected


def test_a_site_is_as_bad_as_its_worst_gateway_and_as_old_as_its_slowest() -> None:
    gateways = {"a": Heard(beat(NOW, backlog_bytes=5), NOW), "b": Heard(beat(NOW - 500, backlog_bytes=7), NOW - 4000)}
    view = site_view("north", gateways, {"online": 3, "silent": 1}, NOW)
    assert (view.state, view.watermark, view.backlog_bytes, view.devices) == (SiteState.DARK, NOW - 500, 12, 4)
    assert [g.gateway for g in view.gateways] == ["a", "b"]


def test_a_device_keeps_its_newest_state_and_is_counted_once() -> None:
    table = DeviceTable(limit=2)
    assert table.put(device("a")) == "taken"
    assert table.put(device("a", at=NOW + 1, state=DeviceState.SILENT)) == "taken"
    assert table.put(device("a", at=NOW)) == "stale"
    assert table.put(device("b", firmware="2.3.0")) == "taken"
    assert table.put(device("c")) == "full"
    summary = table.summary()
    assert (summary.devices, summary.states) == (2, {"silent": 1, "online": 1})
    assert {(b.value, b.devices) for b in summary.firmware} == {("2.2.0", 1), ("2.3.0", 1)}
    assert table.states_by_site() == {"north": {"silent": 1, "online": 1}}


def test_rare_attributes_are_counted_together() -> None:
    table = DeviceTable(limit=1000)
    for index in range(NAMED + 5):
        table.put(device(f"d{index}", group=f"g{index:03d}"))
    groups = table.summary().group
    assert len(groups) == NAMED + 1
    assert (groups[-1].value, groups[-1].devices) == ("other", 5)


def test_devices_are_paged_by_name_whatever_comes_between() -> None:
    table = DeviceTable(limit=100)
    for name in "dbca":
        table.put(device(name))
    first = table.page(DeviceFilter(), None, 2)
    table.put(device("aa"))
    rest = table.page(DeviceFilter(), ("north", first[-1].device), 9)
    assert [d.device for d in (*first, *rest)] == ["a", "b", "c", "d"]
    assert [d.device for d in table.page(DeviceFilter(text="A"), None, 9)] == ["a", "aa"]
    assert table.page(DeviceFilter(site="south"), None, 9) == []


def alert(fingerprint: str, **fields: Any) -> AlertEvent:
    return decode(alert_record(fingerprint, **fields), AlertEvent)


def test_firing_alerts_come_first_then_by_severity_then_the_newest() -> None:
    book = AlertBook(limit=100)
    book.put(alert("resolved", state=AlertState.RESOLVED, severity="critical"))
    book.put(alert("pending", state=AlertState.PENDING, severity="critical"))
    book.put(alert("old", changed_at=NOW - 5))
    book.put(alert("new"))
    book.put(alert("grave", severity="critical", changed_at=NOW - 9))
    assert [a.fingerprint for a in book.list(None, 10)] == ["grave", "new", "old", "pending", "resolved"]
    assert [a.fingerprint for a in book.list(AlertState.FIRING, 2)] == ["grave", "new"]
    assert book.counts() == {"firing": 3, "pending": 1, "resolved": 1}


def test_a_full_book_forgets_what_ended_long_ago_and_never_what_fires() -> None:
    book = AlertBook(limit=10)
    for index in range(8):
        book.put(alert(f"r{index}", state=AlertState.RESOLVED, changed_at=NOW + index))
    for index in range(3):
        book.put(alert(f"f{index}", changed_at=NOW - 99))
    assert len(book) == 10
    assert book.get("r0") is None
    assert all(book.get(f"f{index}") for index in range(3))


def test_an_older_change_of_an_alert_is_passed_over() -> None:
    book = AlertBook(limit=10)
    book.put(alert("a", state=AlertState.RESOLVED))
    assert book.put(alert("a", changed_at=NOW - 1)) == "stale"


def test_anomalies_are_listed_newest_first_one_for_each_episode() -> None:
    book = AnomalyBook(limit=2)
    for name, at in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        book.put(decode(anomaly_record(name, at=NOW + at, since=NOW), AnomalyEvent))
    assert [(e.device, e.at - NOW) for e in book.list("", "", 0, 9)] == [("c", 4), ("a", 3)]
    assert [e.device for e in book.list("north", "a", NOW, 9)] == ["a"]
    assert book.list("", "", NOW + 5, 9) == []


def test_an_account_adds_up_or_says_what_is_unexplained() -> None:
    good = decode(account_record(), Account)
    bad = decode(account_record(gateway="gw-2", received=111, received_seqs=[(7, 9), (1, 3), (4, 5)]), Account)
    view = ledger_view([bad, good])
    assert [(a.balanced, a.unaccounted, a.missing_batches) for a in view.accounts] == [(False, 1, 1), (True, 0, 0)]
    assert (view.totals.balanced, view.totals.received, view.totals.rejected) == (False, 221, 6)
    assert missing([]) == 0


def test_an_account_is_shown_by_class() -> None:
    classes = {"rev-a": ClassCounts(100, 95, 0, 2, 0, 3), "": ClassCounts(10, 5, 4, 1, 0, 0)}
    (shown,) = ledger_view([decode(account_record(classes=classes), Account)]).accounts
    assert {name: tuple(counts.values()) for name, counts in shown.classes.items()} == {
        name: msgspec.structs.astuple(counts) for name, counts in classes.items()
    }


def test_the_path_keeps_its_ends_and_its_shape() -> None:
    path = EvidencePath(most=8)
    for step in range(50):
        path.add(step, step / 10)
    path.add(49, 9.9)
    path.add(3, 99.0)
    points = path.points()
    assert len(points) <= 8
    assert (points[0], points[-1]) == ((0, 0.0), (49, 9.9))
    assert points == sorted(points)


def test_a_rollback_lists_a_bounded_number_and_counts_exactly() -> None:
    rollout = Rollout("fw")
    names = [f"north/{index}" for index in range(LISTED + 5)]
    rollout.rollback = decode(rollback_record("fw", commanded=names, refused={"north/1": "expired"}), RollbackStatus)
    detail = rollout.detail()
    assert detail.rollback
    assert (len(detail.rollback.commanded), detail.rollback.counts.commanded) == (LISTED, LISTED + 5)
    assert detail.rollback.counts.refused == 1


def test_the_threshold_of_an_impossible_alpha_is_no_error() -> None:
    assert threshold(0.05) == pytest.approx(1.30103)
    assert threshold(0.0) == threshold(1.0) == 0.0


def test_ended_rollouts_make_room_and_running_ones_do_not() -> None:
    view = TenantView("acme", ApiConfig(rollouts_kept=2))
    view.plan(plan("old", state=PlanState.ENDED, created=1))
    view.plan(plan("running"))
    assert view.judge(verdict("new")) == "taken"
    assert set(view.rollouts) == {"running", "new"}
    assert view.plan(plan("more")) == "full"
