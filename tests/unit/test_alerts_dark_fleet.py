"""10,000 devices behind one dead site: people hear of the site, once, and of its return, once."""

from __future__ import annotations

from pathlib import Path

from analytics.alerts.outbox import SPOKEN, Outbox
from analytics.alerts.routes import Routes
from ingest.contract.events import AlertState
from tests.alert_world import FIRING, RESOLVED, Fleet, Gateway, Watched, anomaly

DEVICES = 10_000
SILENT = 500


def test_a_dead_site_with_ten_thousand_devices_is_one_notification() -> None:
    fleet = Fleet(("north",))
    watched, gateway = Watched(fleet, tick_ms=1000), Gateway(fleet)
    watched.feed(gateway.beat(watched.now))
    watched.wait(62)
    watched.feed(*(gateway.silent(f"d-{n}", watched.now) for n in range(SILENT)))
    watched.feed(*(anomaly(f"d-{n}", watched.now) for n in range(SILENT, DEVICES)))
    watched.wait(10)
    spoken = [one for one in watched.said if one.state in SPOKEN and one.told]
    assert [(one.name, one.state) for one in spoken] == [("SiteDark", FIRING)]
    muted = [one for one in watched.said if one.state is AlertState.SUPPRESSED]
    assert len(muted) == DEVICES
    assert {one.by for one in muted} == {f"parent:{spoken[0].fingerprint}"}
    watched.feed(gateway.beat(watched.now), *(gateway.returned(f"d-{n}", watched.now) for n in range(SILENT)))
    assert [(one.name, one.state) for one in watched.said if one.state in SPOKEN and one.told][1:] == [
        ("SiteDark", RESOLVED)
    ]
    assert _requests(watched) == 2


def _requests(watched: Watched) -> int:
    outbox, requests = Outbox(Path(":memory:")), 0
    way = Routes((), ["on-call"], [], 0.0).way
    for change in (one for one in watched.said if one.told):
        outbox.queue([(change, "")], way, change.changed_at)
        while (due := outbox.next("on-call", change.changed_at + 500, 500)) is not None:
            outbox.settle(due.rows, "delivered", "", change.changed_at + 500)
            requests += 1
    outbox.close()
    return requests
