"""What people made is bounded by tenant: whoever keeps within an even share loses nothing, whatever others do."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from analytics.by_tenant import Bounds, ByTenant

TENANTS = "abc"
BOUNDS = Bounds(each=5, all=9)


class Made(NamedTuple):
    tenant: str
    id: str
    until: int


@given(st.lists(st.builds(Made, st.sampled_from(TENANTS), st.sampled_from("0123456789"), st.integers(0, 20))))
def test_no_tenant_takes_anothers_room(said: list[Made]) -> None:
    kept: ByTenant[Made] = ByTenant(BOUNDS, lambda one: one.until)
    newest: dict[str, dict[str, Made]] = {tenant: {} for tenant in TENANTS}
    for one in said:
        before = list(kept)
        gone = kept.put(one)
        newest[one.tenant][one.id] = one
        assert sorted(gone + list(kept)) == sorted([*before, one])
        lost = [other for other in before if other not in list(kept) and other[:2] != one[:2]]
        assert len(lost) <= 1
        for other in lost:
            had = [held for held in before if held.tenant == other.tenant]
            assert other.until <= min(held.until for held in had)
            assert other.tenant == one.tenant or len(had) > BOUNDS.all // len(TENANTS)
        assert len(kept) == len(list(kept)) <= BOUNDS.all
        assert all(len(kept.of(tenant)) <= BOUNDS.each for tenant in TENANTS)
    for tenant, theirs in newest.items():
        if len(theirs) <= BOUNDS.all // len(TENANTS):
            assert kept.of(tenant) == theirs
    again: ByTenant[Made] = ByTenant(BOUNDS, lambda one: one.until)
    again.keep(kept.named().values())
    assert again.named() == kept.named()
