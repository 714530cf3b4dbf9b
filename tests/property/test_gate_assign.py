"""The draw: balanced, blind to order, and hardly moved by a device more or less."""

from __future__ import annotations

import math
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from analytics.rollouts.assign import Candidate, draw_arms, stratum_name
from analytics.rollouts.staging import Member, draw_stage
from ingest.contract.events import Arm, Stage
from tests.gate_world import plan_of

candidates = st.builds(
    Candidate,
    site=st.sampled_from(["north", "south"]),
    device=st.text("abcdef", min_size=1, max_size=6),
    hardware=st.sampled_from(["rev-a", "rev/b", ""]),
    group=st.sampled_from(["pumps", "fans"]),
)
fleets = st.lists(candidates, max_size=60, unique_by=lambda c: (c.site, c.device))
shares = st.floats(0.0, 1.0)
seeds = st.integers(0, 1 << 40)


def arms(fleet: list[Candidate], seed: int, share: float) -> dict[Candidate, Arm]:
    return {a.candidate: a.arm for a in draw_arms(fleet, rollout="fw", seed=seed, share=share)}


@given(fleets, seeds, shares)
def test_every_stratum_has_its_share_of_canaries_to_within_one(fleet: list[Candidate], seed: int, share: float) -> None:
    drawn = draw_arms(fleet, rollout="fw", seed=seed, share=share)
    assert {a.candidate for a in drawn} == set(fleet)
    sizes = Counter(a.stratum for a in drawn)
    canaries = Counter(a.stratum for a in drawn if a.arm is Arm.CANARY)
    for stratum, size in sizes.items():
        assert math.floor(share * size) <= canaries[stratum] <= math.floor(share * size) + 1
        assert canaries[stratum] <= size


@given(fleets, seeds, shares, st.randoms(use_true_random=False))
def test_the_order_in_which_devices_are_named_does_not_matter(
    fleet: list[Candidate], seed: int, share: float, chance: random.Random
) -> None:
    shuffled = chance.sample(fleet, len(fleet))
    assert draw_arms(shuffled, rollout="fw", seed=seed, share=share) == draw_arms(
        fleet, rollout="fw", seed=seed, share=share
    )


@given(fleets, seeds, shares, candidates)
def test_one_device_more_changes_the_arm_of_at_most_one_other_and_none_elsewhere(
    fleet: list[Candidate], seed: int, share: float, newcomer: Candidate
) -> None:
    others = [c for c in fleet if (c.site, c.device) != (newcomer.site, newcomer.device)]
    before, after = arms(others, seed, share), arms([*others, newcomer], seed, share)
    moved = [c for c in others if before[c] is not after[c]]
    assert len(moved) <= 1
    assert all(stratum_name(c) == stratum_name(newcomer) for c in moved)


def test_over_many_rollouts_every_device_is_canary_as_often_as_the_share_says() -> None:
    fleet = [Candidate("north", f"d{n}", "rev-a", "pumps") for n in range(7)]
    often = Counter(c for seed in range(2000) for c, arm in arms(fleet, seed, 0.3).items() if arm is Arm.CANARY)
    assert all(abs(often[c] / 2000 - 0.3) < 0.05 for c in fleet)


def test_strata_with_awkward_names_stay_apart() -> None:
    one, other = Candidate("s", "d", "a/b", "c"), Candidate("s", "d", "a", "b/c")
    assert stratum_name(one) != stratum_name(other)


stages = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5, unique=True).map(sorted)


@given(fleets, seeds, stages, st.floats(0.0, 0.5))
def test_stages_only_ever_promote_keep_the_hold_out_and_give_every_wave_both_arms_where_they_can(
    fleet: list[Candidate], seed: int, shares: list[float], hold_out: float
) -> None:
    plan = plan_of(seed=seed, stages=[Stage(share=share) for share in shares], hold_out=hold_out)
    sizes = Counter(stratum_name(c) for c in fleet)
    drawn = draw_arms(fleet, rollout=plan.rollout, seed=seed, share=plan.first_share())
    now = {Member(a.candidate.site, a.candidate.device, a.stratum): a.arm for a in drawn}
    for number in range(1, len(shares)):
        canaries = Counter(member.stratum for member, arm in now.items() if arm is Arm.CANARY)
        pool = [member for member, arm in now.items() if arm is Arm.CONTROL]
        wave = draw_stage(plan, number, pool, canaries)
        assert wave == draw_stage(plan, number, pool[::-1], canaries)
        assert {one.member for one in wave} <= set(pool)
        assert len({one.member for one in wave}) == len(wave)
        fresh = Counter((one.member.stratum, one.arm) for one in wave)
        now |= {one.member: one.arm for one in wave}
        for stratum, size in sizes.items():
            total = canaries[stratum] + fresh[stratum, Arm.CANARY]
            share = min(shares[number], 1.0 - hold_out)
            assert math.floor(share * size) <= total <= math.floor(share * size) + 1
            left = size - total
            has_controls = fresh[stratum, Arm.CONTROL] > 0
            assert has_controls == (fresh[stratum, Arm.CANARY] > 0 and left > 0)
            assert fresh[stratum, Arm.CONTROL] <= left


@given(fleets, seeds, st.randoms(use_true_random=False))
def test_a_stages_draw_is_blind_to_the_order_of_its_pool(
    fleet: list[Candidate], seed: int, chance: random.Random
) -> None:
    plan = plan_of(seed=seed, stages=[Stage(share=0.2), Stage(share=0.7)])
    pool = [Member(c.site, c.device, stratum_name(c)) for c in fleet]
    assert draw_stage(plan, 1, chance.sample(pool, len(pool)), {}) == draw_stage(plan, 1, pool, {})
