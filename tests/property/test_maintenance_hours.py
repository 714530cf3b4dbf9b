"""Hours by a local clock: open when one who looks at the clock every minute says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.events.maintenance import WEEKDAYS, Hours
from tests.examples import examples

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
MINUTE = timedelta(minutes=1)
LOOK_AHEAD = timedelta(days=9)
MINUTES = st.integers(1_672_531_200 // 60, 1_830_211_200 // 60)
"""Of 2023 to 2027, since the epoch."""


def began(hours: Hours, now: datetime) -> datetime | None:
    """When it began, if it is open: the clock's hand is followed backwards, minute by minute. `now` is a whole minute in UTC."""
    zone, back = ZoneInfo(hours.timezone), timedelta(0)
    while back < timedelta(seconds=hours.lasts_s):
        local = (now - back).astimezone(zone)
        # An hour that the clock shows twice begins once: the first time.
        is_day = local.date().isoformat() == hours.date or WEEKDAYS[local.weekday()] in hours.days
        if is_day and local.strftime("%H:%M") == hours.begins and not local.fold:
            return now - back
        back += MINUTE
    return None


@st.composite
def some_hours(draw: st.DrawFn) -> Hours:
    # Not in the small hours that a clock may skip: what it never shows, nobody finds by looking.
    begins = f"{draw(st.integers(4, 23)):02}:{draw(st.integers(0, 59)):02}"
    days = draw(st.lists(st.sampled_from(WEEKDAYS), min_size=1, unique=True))
    return Hours(
        begins=begins, lasts_s=60.0 * draw(st.integers(1, 3000)), days=days, timezone=draw(st.sampled_from(ZONES))
    )


@settings(max_examples=examples(60), deadline=None)
@given(some_hours(), MINUTES)
def test_it_is_open_when_one_who_looks_at_the_clock_says_so(hours: Hours, minute: int) -> None:
    now = datetime.fromtimestamp(60 * minute, UTC)
    opening, seen = hours.opening(round(now.timestamp() * 1000)), began(hours, now)
    assert opening is not None
    assert (opening.start <= now.timestamp() * 1000) is (seen is not None)
    assert opening.end - opening.start == hours.lasts_s * 1000
    start = datetime.fromtimestamp(opening.start / 1000, UTC)
    assert began(hours, start) == start
    if seen is None:
        # Nothing opens before the next one: every minute until then is closed.
        wait = min(start - now, LOOK_AHEAD)
        assert all(began(hours, now + n * timedelta(hours=1)) is None for n in range(int(wait / timedelta(hours=1))))


@settings(max_examples=examples(30), deadline=None)
@given(some_hours(), MINUTES)
def test_what_is_once_opens_once(hours: Hours, minute: int) -> None:
    day = datetime.fromtimestamp(60 * minute, UTC).date().isoformat()
    once = Hours(begins=hours.begins, lasts_s=hours.lasts_s, date=day, timezone=hours.timezone)
    opening = once.opening(0)
    assert opening is not None
    start = datetime.fromtimestamp(opening.start / 1000, ZoneInfo(hours.timezone))
    assert (start.date().isoformat(), start.strftime("%H:%M")) == (once.date, once.begins)
    assert once.opening(opening.end - 1) == opening
    assert once.opening(opening.end) is None
