"""The picture of a series in a notification: well-formed, small, harmless, and left out where there is nothing to show."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.alerts.curve import HEIGHT, MOST_POINTS, WIDTH, Band, draw
from analytics.alerts.evidence import Illustrated
from analytics.alerts.notifier import Notification
from ingest.contract.events import AlertEvent, AlertState
from ingest.runtime.store.port import Series, SeriesQuery, StoreUnavailableError
from ingest.runtime.telemetry import Telemetry
from tests.alert_world import T0, TENANT, Fleet, Watched, anomaly, incident

SVG = "{http://www.w3.org/2000/svg}"
FINITE = st.floats(-1e150, 1e150)


def times(number: int) -> np.ndarray:
    return T0 + 1000 * np.arange(number)


@given(
    st.lists(FINITE, min_size=2, max_size=300),
    st.tuples(FINITE, FINITE, FINITE, st.integers(-5000, 400_000)),
    st.text(max_size=300),
)
def test_any_curve_is_well_formed_and_inside_its_frame(
    values: list[float], around: tuple[float, float, float, int], title: str
) -> None:
    expected, one, other, since = around
    band = Band(expected, min(one, other), max(one, other), T0 + since)
    picture = draw(title, times(len(values)), np.array(values), band)
    root = ET.fromstring(picture)  # noqa: S314 - our own
    assert {child.tag.removeprefix(SVG) for child in root} <= {"title", "rect", "path", "polyline"}
    points = [pair.split(",") for line in root.iter(f"{SVG}polyline") for pair in line.attrib["points"].split()]
    assert len(points) <= MOST_POINTS + 1
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in points)
    assert len(picture) < 5000


def test_the_alarm_is_red_from_where_it_began_and_titles_are_text() -> None:
    picture = draw('<script>alert("x")</script>', times(10), np.arange(10.0), Band(2.0, 0.0, 4.0, T0 + 6000))
    grey, red = ET.fromstring(picture).iter(f"{SVG}polyline")  # noqa: S314 - our own
    assert [len(line.attrib["points"].split()) for line in (grey, red)] == [7, 4]
    assert "<script" not in picture


def test_what_is_no_number_is_left_out_and_one_point_is_no_curve() -> None:
    assert draw("m", times(3), np.array([1.0, np.nan, np.inf]), Band(0, 0, 0, T0)) == ""
    assert draw("m", times(0), np.array([]), Band(0, 0, 0, T0)) == ""
    assert draw("m", times(3), np.array([5.0, 5.0, 5.0]), Band(5.0, 5.0, 5.0, T0)).count("polyline") == 1


class Shelf:
    """A store of one series."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[SeriesQuery] = []
        self._error = error

    async def read(self, query: SeriesQuery) -> list[Series]:
        self.asked.append(query)
        if self._error is not None:
            raise self._error
        ones, floats = np.ones(20, np.int64), np.arange(20.0)
        return [
            Series(
                site="north",
                device="north-01",
                metric="memory",
                labels=labels,
                start=times(20),
                width=1000 * ones,
                count=ones,
                sum=floats,
                sumsq=floats,
                min=floats,
                max=floats,
                last=floats,
                revision=0 * ones,
            )
            for labels in ((), (("core-id", "0"),))
        ]


class Receiver:
    name, most_wait_s, group_most, is_tracker = "on-call", 1.0, 100, False

    def __init__(self) -> None:
        self.got: list[Notification] = []

    async def send(self, notification: Notification) -> None:
        self.got.append(notification)

    async def close(self) -> None:
        self.got.clear()


def fired(**config: bool) -> AlertEvent:
    (alert,) = Watched(Fleet(), **config).feed(anomaly("north-01", T0))
    return alert


async def sent(store: Shelf, *alerts: AlertEvent) -> tuple[list[AlertEvent], Telemetry]:
    receiver, telemetry = Receiver(), Telemetry("test")
    await Illustrated(receiver, store, telemetry).send(
        Notification(key="k", name="n", tenant=TENANT, alerts=list(alerts))
    )
    return receiver.got[0].alerts, telemetry


async def test_a_notification_shows_the_curve_of_its_series() -> None:
    store, alert = Shelf(), fired()
    assert alert.evidence == {"site": "north", "device": "north-01", "metric": "memory", "label_core-id": "0"}
    assert (alert.numbers["low"], alert.numbers["high"], alert.numbers["since_ms"]) == (35.0, 47.0, T0)
    (shown,), telemetry = await sent(store, alert)
    assert shown.annotations["curve"].startswith("<svg")
    assert "memory of north-01 at north" in shown.annotations["curve"]
    assert msgspec.structs.replace(shown, annotations=alert.annotations) == alert
    assert (store.asked[0].device, store.asked[0].metric, store.asked[0].tenant) == ("north-01", "memory", TENANT)
    assert telemetry.registry.get_sample_value("tidegate_alert_curves_total", {"outcome": "drawn"}) == 1


async def test_an_incident_shows_the_first_series_of_its_root_cause() -> None:
    series = {"site": "north", "since": T0, "value": 97.5, "expected": 41.0, "scale": 2.0, "score": 0.9}
    affected = [
        {"device": "north-00", "metric": "cpu"},
        {"device": "north-01", "metric": "memory"},
        {"device": "north-02", "metric": "memory"},
    ]
    (alert,) = Watched(Fleet(), link="https://tide.example").feed(
        incident(1, affected=[series | one for one in affected])
    )
    assert alert.evidence == {"site": "north", "device": "north-01", "metric": "memory"}
    assert (alert.numbers["value"], alert.numbers["devices"]) == (97.5, 2.0)
    assert alert.annotations["incident_url"] == "https://tide.example/v1/incidents/inc-1"
    (shown,), _ = await sent(Shelf(), alert)
    assert "curve" in shown.annotations


async def test_a_series_alone_leads_to_its_incidents() -> None:
    (alert,) = Watched(Fleet(), link="https://tide.example/").feed(anomaly("north-01", T0))
    assert alert.annotations["incident_url"] == "https://tide.example/v1/incidents?site=north&device=north-01"


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), TimeoutError()])
async def test_without_the_store_it_leaves_all_the_same(error: Exception) -> None:
    alert = fired()
    (shown,), telemetry = await sent(Shelf(error), alert)
    assert shown == alert
    assert telemetry.registry.get_sample_value("tidegate_alert_curves_total", {"outcome": "unavailable"}) == 1


async def test_no_more_than_some_are_looked_for_and_none_of_what_is_over() -> None:
    store, alert = Shelf(), fired()
    over = msgspec.structs.replace(alert, state=AlertState.RESOLVED)
    shown, _ = await sent(store, over, *(msgspec.structs.replace(alert, fingerprint=f"f{n}") for n in range(9)))
    assert len(store.asked) == 5
    assert ["curve" in one.annotations for one in shown] == [False, *[True] * 5, *[False] * 4]
