"""The embedded log against models so simple that they are plainly right."""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingest.contract.records import Outgoing, Record, TopicPartition
from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import ManualClock
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError
from ingest.runtime.log.sqlite import SqliteLog
from tests.examples import examples

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ingest.runtime.log.port import Consumer

TOPIC = "test.model"
PARTITIONS = 3
LEASE_S = 30.0
keys = st.sampled_from([b"", b"a", b"b", b"c", b"d"])
outgoing = st.builds(
    Outgoing,
    st.just(TOPIC),
    keys,
    st.none() | st.binary(max_size=5),
    st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=2).map(tuple),
)


class InFolder(RuleBasedStateMachine):
    """Runs coroutines on a loop of its own, on a log in a folder of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._runner = asyncio.Runner()
        self.clock = ManualClock()
        self.log = self.open()
        self.run(self.log.ensure_topics({TOPIC: TopicSettings(PARTITIONS, compacted=True, retention_ms=-1)}))

    def open(self) -> SqliteLog:
        return SqliteLog(Path(self._folder.name) / "log.db", self.clock, lease_s=LEASE_S)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def teardown(self) -> None:
        self.run(self.log.close())
        self._runner.close()
        self._folder.cleanup()


class OneReader(InFolder):
    """A list per partition is the model: appending, reading on, committing, resuming, tables, reopening."""

    @initialize()
    def begin(self) -> None:
        self.model: list[list[Outgoing]] = [[] for _ in range(PARTITIONS)]
        self.positions = [0] * PARTITIONS
        self.committed = [0] * PARTITIONS
        self.subscribe(None)

    def subscribe(self, resume: list[int] | None) -> None:
        places = {TopicPartition(TOPIC, part): offset for part, offset in enumerate(resume or [])}
        self.consumer: Consumer = self.run(self.log.subscribe([TOPIC], group="g", member="m", resume=places.get))
        self.resume = resume or []

    def start(self, part: int) -> int:
        offset = self.resume[part] if part < len(self.resume) else self.committed[part]
        return offset if offset <= len(self.model[part]) else 0

    @rule(records=st.lists(outgoing, max_size=6))
    def append(self, records: list[Outgoing]) -> None:
        self.run(self.log.append(records))
        for record in records:
            self.model[zlib.crc32(record.key) % PARTITIONS].append(record)

    @rule(most=st.integers(1, 9))
    def poll(self, most: int) -> None:
        if not self.consumer.assigned():
            self.positions = [self.start(part) for part in range(PARTITIONS)]
        found: list[Record] = self.run(self.consumer.poll(most, 0))
        assert len(found) == min(most, sum(map(len, self.model)) - sum(self.positions))
        for record in found:
            part = record.partition
            assert record.offset == self.positions[part]
            expected = self.model[part][record.offset]
            assert (record.key, record.value, record.headers) == (expected.key, expected.value, expected.headers)
            self.positions[part] += 1

    @precondition(lambda self: self.consumer.assigned())
    @rule(part=st.integers(0, PARTITIONS - 1))
    def commit(self, part: int) -> None:
        self.run(self.consumer.commit({TopicPartition(TOPIC, part): self.positions[part]}))
        self.committed[part] = self.positions[part]

    @rule(in_order=st.booleans(), resume=st.none() | st.lists(st.integers(0, 12), max_size=PARTITIONS))
    def restart(self, *, in_order: bool, resume: list[int] | None) -> None:
        if in_order:
            self.run(self.consumer.close())
        self.subscribe(resume)

    @rule()
    def reopen(self) -> None:
        self.run(self.log.close())
        self.log = self.open()
        self.subscribe(None)

    @invariant()
    def the_table_is_the_newest_of_each_key(self) -> None:
        newest = {record.key: record.value for records in self.model for record in records}
        table: dict[bytes, Record] = self.run(self.log.read_compacted(TOPIC))
        assert {key: r.value for key, r in table.items()} == {k: v for k, v in newest.items() if v is not None}


class ManyMembers(InFolder):
    """Members join, poll, commit, leave, die and come back: never two owners, and no record is passed over."""

    @initialize()
    def begin(self) -> None:
        self.members: dict[str, Consumer] = {}
        self.appended = 0
        self.read: dict[TopicPartition, set[int]] = defaultdict(set)
        self.done: dict[TopicPartition, int] = {}
        self.unsaved: dict[str, dict[TopicPartition, int]] = {}

    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        self.run(self.log.append([Outgoing(TOPIC, b"%d" % (self.appended + n), b"") for n in range(count)]))
        self.appended += count

    @rule(name=st.sampled_from("xyz"))
    def join(self, name: str) -> None:
        self.members[name] = self.run(self.log.subscribe([TOPIC], group="g", member=name))
        self.unsaved[name] = {}

    @precondition(lambda self: self.members)
    @rule(data=st.data(), most=st.integers(1, 6))
    def poll(self, data: st.DataObject, most: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.members)))
        found: list[Record] = self.run(self.members[name].poll(most, 0))
        holds = self.members[name].assigned()
        self.unsaved[name] = {p: n for p, n in self.unsaved[name].items() if p in holds}
        for record in found:
            assert record.topic_partition in holds
            self.read[record.topic_partition].add(record.offset)
            self.unsaved[name][record.topic_partition] = record.offset + 1

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.members)))
        for partition, offset in self.unsaved[name].items():
            try:
                self.run(self.members[name].commit({partition: offset}))
            except PartitionLostError:
                continue
            self.done[partition] = offset

    @precondition(lambda self: self.members)
    @rule(data=st.data(), in_order=st.booleans())
    def depart(self, data: st.DataObject, *, in_order: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.members)))
        consumer = self.members.pop(name)
        if in_order:
            self.run(consumer.close())

    @rule(seconds=st.sampled_from([1, 9, 31]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def no_partition_has_two_owners(self) -> None:
        owners = self.run(self.log._thread.run(lambda db: db.execute("SELECT partition, owner FROM claims").fetchall()))
        assert len({partition for partition, _ in owners}) == len(owners)

    @invariant()
    def what_is_committed_was_read(self) -> None:
        for partition, offset in self.done.items():
            assert self.read[partition] >= set(range(offset))

    def teardown(self) -> None:
        if hasattr(self, "members"):
            self._everything_is_read_in_the_end()
        super().teardown()

    def _everything_is_read_in_the_end(self) -> None:
        self.clock.advance(LEASE_S + 1)
        self.join("last")
        for name in [name for name in self.members if name != "last"]:
            self.run(self.members.pop(name).close())
        found: list[Record] = self.run(self.members["last"].poll(10_000, 0))
        assert len(self.members["last"].assigned()) == PARTITIONS
        for record in found:
            self.read[record.topic_partition].add(record.offset)
        assert sum(map(len, self.read.values())) == self.appended
        assert not found or min(r.offset - self.done.get(r.topic_partition, 0) for r in found) == 0
        try:
            assert self.run(self.members["last"].poll(1, 0)) == []
        except LogUnavailableError as error:
            raise AssertionError from error


TestOneReader = OneReader.TestCase
TestOneReader.settings = settings(max_examples=examples(15), stateful_step_count=30, deadline=None)
TestManyMembers = ManyMembers.TestCase
TestManyMembers.settings = settings(max_examples=examples(15), stateful_step_count=40, deadline=None)
