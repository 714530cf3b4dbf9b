"""The draw: balanced, blind to order, and hardly moved by a device more or less."""

from __future__ import annotations

import math
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from analytics.rollouts.assign import Candidate, draw_arms, stratum_name
from ingest.contract.events import Arm

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
