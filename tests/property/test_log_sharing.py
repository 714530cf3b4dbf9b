"""Who reads what: every partition has an owner, shares are even, and nobody gives up more than needed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.records import TopicPartition
from ingest.runtime.log.sharing import share_partitions
from tests.examples import examples

TOPICS = ("a", "b", "c")
names = st.sampled_from(["m1", "m2", "m3", "m4", "m5"])
members = st.dictionaries(names, st.sets(st.sampled_from(TOPICS), min_size=1), max_size=5)
sizes = st.fixed_dictionaries({topic: st.integers(1, 9) for topic in TOPICS})


def places(size: dict[str, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, part) for topic, count in size.items() for part in range(count)]


@st.composite
def situations(
    draw: st.DrawFn,
) -> tuple[list[TopicPartition], dict[str, set[str]], dict[TopicPartition, str]]:
    partitions = places(draw(sizes))
    owned = st.dictionaries(st.sampled_from([*partitions, TopicPartition("gone", 0)]), names)
    return partitions, draw(members), draw(owned)


@settings(max_examples=examples(50))
@given(situations())
def test_every_partition_that_somebody_wants_has_one_owner_that_wants_it(
    situation: tuple[list[TopicPartition], dict[str, set[str]], dict[TopicPartition, str]],
) -> None:
    partitions, wanted, owners = situation
    target = share_partitions(partitions, wanted, owners)
    assert set(target) == {p for p in partitions if any(p.topic in topics for topics in wanted.values())}
    assert all(p.topic in wanted[owner] for p, owner in target.items())


@settings(max_examples=examples(50))
@given(situations())
def test_no_move_would_make_it_more_even(
    situation: tuple[list[TopicPartition], dict[str, set[str]], dict[TopicPartition, str]],
) -> None:
    partitions, wanted, owners = situation
    target = share_partitions(partitions, wanted, owners)
    load = Counter(target.values())
    for partition, owner in target.items():
        assert all(load[owner] - load[name] <= 1 for name, topics in wanted.items() if partition.topic in topics)


@settings(max_examples=examples(50))
@given(sizes, st.sets(names, min_size=1), st.data())
def test_alike_members_get_even_shares_and_move_as_little_as_that_takes(
    size: dict[str, int], who: set[str], data: st.DataObject
) -> None:
    partitions = places(size)
    wanted = {name: set(TOPICS) for name in who}
    owners = data.draw(st.dictionaries(st.sampled_from(partitions), st.sampled_from(sorted(who))))
    target = share_partitions(partitions, wanted, owners)
    load = Counter(target.values())
    shares = [load[name] for name in who]
    assert max(shares) - min(shares) <= 1
    kept = sum(target[p] == owner for p, owner in owners.items())
    assert kept >= _most_that_can_stay(Counter(owners.values()), len(partitions), len(who))


@settings(max_examples=examples(50))
@given(situations())
def test_it_is_stable(situation: tuple[list[TopicPartition], dict[str, set[str]], dict[TopicPartition, str]]) -> None:
    partitions, wanted, owners = situation
    target = share_partitions(partitions, wanted, owners)
    assert share_partitions(partitions[::-1], dict(reversed(wanted.items())), target) == target


def _most_that_can_stay(held: Counter[str], partitions: int, members_count: int) -> int:
    """Owners keep up to the even share; as many as there are larger shares keep one more."""
    small, larger = divmod(partitions, members_count)
    counts = sorted(held.values(), reverse=True)
    return sum(min(count, small + (1 if rank < larger else 0)) for rank, count in enumerate(counts))
