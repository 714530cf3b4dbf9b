"""What every Log does for groups: sharing, handing over, remembering how far each has come."""

from __future__ import annotations

import pytest

from ingest.contract.records import Outgoing, Record, TopicPartition
from ingest.runtime.log.port import Consumer, PartitionLostError
from tests.contract.log_place import (
    LogPlace,
    commit_what_is_held,
    following,
    numbered,
    polled,
    settle,
    take,
    values,
)


class GroupBehaviour:
    """Groups and their members."""

    async def test_members_share_a_topic_and_groups_do_not(self, place: LogPlace) -> None:
        log, other = place.open(), place.open()
        topic = await place.topic(6, log=log)
        one = await place.join(log, topic, f"{topic}.g", "one")
        two = await place.join(other, topic, f"{topic}.g", "two")
        await settle(6, one, two)
        alone = await place.join(log, topic, f"{topic}.h", "one")
        await settle(6, alone)
        await log.append(numbered(topic, 200))
        shared = await polled(one, two, until=lambda found: len(found) >= 200)
        assert values(shared) == list(range(200))
        assert values(await take(alone, 200)) == list(range(200))

    async def test_several_topics_are_shared_together(self, place: LogPlace) -> None:
        log = place.open()
        topics = [await place.topic(3, log=log), await place.topic(1, log=log)]
        one = await place.join(log, topics, f"{topics[0]}.g", "one")
        two = await place.join(log, topics, f"{topics[0]}.g", "two")
        await settle(4, one, two)

    async def test_a_member_keeps_what_it_has_when_another_joins(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        one = await place.join(log, topic, f"{topic}.g", "one")
        await settle(4, one)
        two = await place.join(log, topic, f"{topic}.g", "two")
        await settle(4, one, two)
        kept = one.assigned()
        three = await place.join(log, topic, f"{topic}.g", "three")
        await settle(4, one, two, three)
        assert one.assigned() <= kept

    async def test_who_leaves_hands_over_at_the_committed_offsets(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        await log.append(numbered(topic, 100))
        one = await place.join(log, topic, f"{topic}.g", "one")
        first = await take(one, 100)
        done = dict.fromkeys(following(first), 3)
        await one.commit(done)
        two = await place.join(place.open(), topic, f"{topic}.g", "two")
        await one.close()
        expected = [r for r in first if r.offset >= done[r.topic_partition]]
        second = await take(two, len(expected))
        assert values(second) == values(expected)
        assert two.assigned() == {TopicPartition(topic, part) for part in range(4)}

    async def test_nothing_is_lost_while_members_come_and_go(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        members: list[Consumer] = []
        seen: list[Record] = []
        for turn in range(6):
            members.append(await place.join(place.open(), topic, f"{topic}.g", f"m{turn}"))
            await log.append(numbered(topic, 50, first=50 * turn))
            for consumer in members:
                seen += await consumer.poll(30, 0.2)
                await commit_what_is_held(consumer, seen)
            if turn % 2:
                await members.pop(0).close()
        seen += await polled(*members, until=lambda found: {*values(seen), *values(found)} == set(range(300)))
        assert set(values(seen)) == set(range(300))

    async def test_resume_wins_over_what_was_committed(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        await log.append([Outgoing(topic, b"key-%d" % n, b"%d" % n) for n in range(60)])
        one = await place.join(log, topic, f"{topic}.g")
        everything = await take(one, 60)
        ends = following(everything)
        await one.commit(dict.fromkeys(ends, 5))
        await one.close()
        places = {TopicPartition(topic, 0): 7}
        again = await place.join(log, topic, f"{topic}.g", resume=places.get)
        count = ends[TopicPartition(topic, 0)] - 7 + ends[TopicPartition(topic, 1)] - 5
        records = await take(again, count)
        assert min(r.offset for r in records if r.partition == 0) == 7
        assert min(r.offset for r in records if r.partition == 1) == 5

    async def test_an_offset_beyond_the_end_is_one_of_another_log(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(1, log=log)
        await log.append(numbered(topic, 3))
        assert values(await take(await place.join(log, topic, f"{topic}.g", resume=lambda _: 1000), 3)) == [0, 1, 2]

    async def test_what_was_not_committed_is_seen_again(self, place: LogPlace) -> None:
        topic = await place.topic(2)
        log = place.open()
        await log.append(numbered(topic, 20))
        one = await place.join(log, topic, f"{topic}.g")
        await take(one, 20)
        await one.close()
        again = await place.join(place.open(), topic, f"{topic}.g")
        records = await take(again, 20)
        await again.commit(following(records))
        await again.close()
        await log.append(numbered(topic, 5, first=20))
        third = await place.join(log, topic, f"{topic}.g")
        assert values(await take(third, 5)) == [20, 21, 22, 23, 24]

    async def test_a_commit_for_a_partition_that_moved_is_refused(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        await log.append(numbered(topic, 40))
        one = await place.join(log, topic, f"{topic}.g", "one")
        records = await take(one, 40)
        two = await place.join(place.open(), topic, f"{topic}.g", "two")
        await settle(2, one, two)
        (moved,) = two.assigned()
        with pytest.raises(PartitionLostError, match=topic):
            await one.commit({moved: following(records)[moved]})
        await one.close()
        await two.close()
        three = await place.join(log, topic, f"{topic}.g", "three")
        assert values(await take(three, 40)) == list(range(40))

    async def test_a_member_that_died_comes_back_to_its_partitions_at_once(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        one = await place.join(log, topic, f"{topic}.g", "one")
        two = await place.join(place.open(), topic, f"{topic}.g", "two")
        await settle(4, one, two)
        had = one.assigned()
        await place.crash(one)
        again = await place.join(place.open(), topic, f"{topic}.g", "one")
        await polled(again, until=lambda _: bool(again.assigned()))
        assert again.assigned() == had
        await settle(4, again, two)

    async def test_others_take_over_from_a_member_that_died(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        await log.append(numbered(topic, 40))
        one = await place.join(log, topic, f"{topic}.g", "one")
        two = await place.join(place.open(), topic, f"{topic}.g", "two")
        await settle(4, one, two)
        await place.crash(one)
        place.pass_lease()
        await settle(4, two)

    async def test_end_offsets_are_those_of_the_next_records(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        member = await place.join(log, topic, f"{topic}.g")
        await settle(2, member)
        assert await member.end_offsets() == {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0}
        await log.append(numbered(topic, 30))
        records = await take(member, 30)
        assert await member.end_offsets() == following(records)
        tail = await place.join(log, topic, None)
        assert await tail.end_offsets() == following(records)
