"""What a tenant says is normal holds as if it were alone, whatever others say, undo and call the same."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from analytics.by_tenant import Bounds
from analytics.detect.feedback import Normal
from ingest.contract.events import FeedbackEvent, FeedbackScope
from tests.unit.test_detect_feedback import ENTERED, anomaly, said

QUIET, LOUD = "quiet", ("loud", "louder")
BOUNDS = Bounds(each=5, all=9)
SHARE = BOUNDS.all // (1 + len(LOUD))
EVENT = anomaly(ENTERED, 100)


def feedback(tenants: tuple[str, ...], names: str) -> st.SearchStrategy[FeedbackEvent]:
    return st.builds(
        lambda tenant, name, metric, scope, at, undone, rarity: said(
            msgspec.structs.replace(EVENT, tenant=tenant, metric=metric),
            at,
            id=name,
            scope=scope,
            rarity=rarity,
            undone_at=undone,
        ),
        st.sampled_from(tenants),
        st.sampled_from(names),
        st.sampled_from("mn"),
        st.sampled_from(FeedbackScope),
        st.integers(0, 120),
        st.sampled_from([0, 0, 90, 110]),
        st.floats(1, 600),
    )


def allowed(normal: Normal, tenant: str) -> list[float]:
    return [normal.allowed(msgspec.structs.replace(EVENT, tenant=tenant, metric=metric)) for metric in "mn"]


def restarted(normal: Normal) -> Normal:
    again = Normal(BOUNDS)
    for name, part in normal.parts([]).items():
        again.restore(name, part)
    return again


OF_ALL = st.lists(st.one_of(feedback(LOUD, "0123456789"), feedback((QUIET,), "0123456789"[:SHARE])), max_size=60)


@given(OF_ALL, st.integers(0, 60))
def test_what_others_say_changes_nothing_for_a_tenant_within_its_share(events: list[FeedbackEvent], cut: int) -> None:
    together, alone = Normal(BOUNDS), Normal(BOUNDS)
    for number, event in enumerate(events):
        together.take(event)
        if event.tenant == QUIET:
            alone.take(event)
        if number == cut:
            together = restarted(together)
        assert allowed(together, QUIET) == allowed(alone, QUIET)
        assert len(together.said) <= BOUNDS.all
        for tenant in LOUD:
            kept = [one for one in together.said.of(tenant).values() if one.holds(EVENT.at)]
            expected = [max((one.rarity for one in kept if one.metric == metric), default=0.0) for metric in "mn"]
            assert allowed(together, tenant) == expected


@given(st.lists(feedback((QUIET,), "012345"), max_size=30))
def test_a_state_of_before_tenants_had_rooms_of_their_own_is_gone_on_from(events: list[FeedbackEvent]) -> None:
    newest = {event.id: event for event in events}
    normal, again = Normal(BOUNDS), Normal(BOUNDS)
    for event in newest.values():
        normal.take(event)
    assert again.restore("feedback", msgspec.msgpack.encode(list(newest.values())))
    assert allowed(again, QUIET) == allowed(normal, QUIET)
    assert len(again.said) == min(len(newest), BOUNDS.each)
