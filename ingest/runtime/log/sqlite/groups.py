"""Consumer groups in the embedded log: who is a member, who owns which partition, and how far each group has come.

A member owns what it has claimed for as long as its membership is renewed. Each member computes everybody's fair share
and acts on its own only: it gives up what is above it, and claims what is free. So a partition changes hands through
"nobody's", and never has two owners.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest.runtime.log.port import LogUnavailableError, PartitionLostError
from ingest.runtime.log.sharing import share_partitions
from ingest.runtime.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import apsw

    from ingest.runtime.log.sqlite.topics import Partition, Topics


class Standing(NamedTuple):
    """The claims that a member holds, with their epochs: under another epoch somebody else may have had it between."""

    claims: dict[Partition, int]
    generation: int


class Member(NamedTuple):
    """One life of a member: `instance` tells it from an earlier or later life under the same name."""

    group: str
    name: str
    instance: str
    topics: tuple[str, ...]
    lease_ms: int


def join(db: apsw.Connection, member: Member, now_ms: int) -> None:
    """Become a member, in place of an earlier life under the same name: its claims go on."""
    with transaction(db):
        _write_membership(db, member, now_ms)
        _next_generation(db, member.group)


def generation(db: apsw.Connection, group: str) -> int:
    """Rises whenever members or claims change."""
    return int(db.execute("SELECT generation FROM groups WHERE name = ?", (group,)).get or 0)


def rebalance(db: apsw.Connection, member: Member, topics: Topics, now_ms: int) -> Standing:
    """Renew the membership, remove members whose lease ran out, and move towards the fair share.

    Raises LogUnavailableError when another process has taken this member's name.
    """
    with transaction(db):
        returned = _require_instance(db, member) is None
        _write_membership(db, member, now_ms)
        removed = _remove_expired(db, member.group, now_ms)
        moved = _claim_share(db, member, topics)
        if returned or removed or moved:
            _next_generation(db, member.group)
        claims = _claims(db, member, topics.partitions(db, member.topics))
        return Standing(claims, generation(db, member.group))


def commit(
    db: apsw.Connection, member: Member, claims: Mapping[Partition, int], offsets: Mapping[Partition, int]
) -> None:
    """Remember the offsets of partitions that are still held. Raises PartitionLostError when one is not."""
    with transaction(db):
        held = _claims(db, member, list(offsets)) if _instance(db, member) == member.instance else {}
        lost = [partition for partition in offsets if held.get(partition, -1) != claims.get(partition)]
        kept = [(member.group, p.id, following) for p, following in offsets.items() if p not in lost]
        db.executemany("INSERT OR REPLACE INTO committed VALUES (?, ?, ?)", kept)
    if lost:
        places = ", ".join(f"{p.place.topic}/{p.place.partition}" for p in lost)
        raise PartitionLostError(f"{places}: no longer held by member {member.name!r} of group {member.group!r}")


def committed(db: apsw.Connection, group: str, partitions: Sequence[Partition]) -> dict[Partition, int]:
    """The group's committed offsets; partitions without one are left out."""
    rows = dict(db.execute("SELECT partition, next FROM committed WHERE grp = ?", (group,)))
    return {partition: int(rows[partition.id]) for partition in partitions if partition.id in rows}


def leave(db: apsw.Connection, member: Member) -> None:
    """Give up the membership and all claims, unless a later life has taken them over."""
    with transaction(db):
        if _instance(db, member) == member.instance:
            _remove(db, member.group, [member.name])
            _next_generation(db, member.group)


def _write_membership(db: apsw.Connection, member: Member, now_ms: int) -> None:
    row = (member.group, member.name, member.instance, json.dumps(member.topics), now_ms + member.lease_ms)
    db.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?)", row)


def _instance(db: apsw.Connection, member: Member) -> str | None:
    place = (member.group, member.name)
    found: str | None = db.execute("SELECT instance FROM members WHERE grp = ? AND name = ?", place).get
    return found


def _require_instance(db: apsw.Connection, member: Member) -> str | None:
    found = _instance(db, member)
    if found not in (member.instance, None):
        raise LogUnavailableError(
            f"another process is member {member.name!r} of group {member.group!r} now: give each its own name"
        )
    return found


def _next_generation(db: apsw.Connection, group: str) -> None:
    db.execute("INSERT INTO groups VALUES (?, 1) ON CONFLICT DO UPDATE SET generation = generation + 1", (group,))


def _remove_expired(db: apsw.Connection, group: str, now_ms: int) -> bool:
    expired = [
        name for (name,) in db.execute("SELECT name FROM members WHERE grp = ? AND expires <= ?", (group, now_ms))
    ]
    _remove(db, group, expired)
    return bool(expired)


def _remove(db: apsw.Connection, group: str, names: Sequence[str]) -> None:
    db.executemany("DELETE FROM claims WHERE grp = ? AND owner = ?", ((group, name) for name in names))
    db.executemany("DELETE FROM members WHERE grp = ? AND name = ?", ((group, name) for name in names))


def _claim_share(db: apsw.Connection, member: Member, topics: Topics) -> bool:
    # All members look at all partitions of the group, their own topics or not, so that all see the same shares.
    members = {name: json.loads(t) for name, t in _rows(db, "SELECT name, topics FROM members WHERE grp = ?", member)}
    everything = topics.partitions(db, sorted({name for wanted in members.values() for name in wanted}))
    holders = dict(_rows(db, "SELECT partition, owner FROM claims WHERE grp = ?", member))
    owners = {p.place: holders[p.id] for p in everything if p.id in holders}
    target = share_partitions([p.place for p in everything], members, owners)
    mine = {p for p in everything if target.get(p.place) == member.name}
    surplus = [p.id for p in everything if owners.get(p.place) == member.name and p not in mine]
    free = [p.id for p in mine if p.place not in owners]
    _give_up(db, member, surplus)
    _claim(db, member, free)
    return bool(surplus or free)


def _give_up(db: apsw.Connection, member: Member, partitions: Sequence[int]) -> None:
    rows = ((member.group, partition) for partition in partitions)
    db.executemany("DELETE FROM claims WHERE grp = ? AND partition = ?", rows)


def _claim(db: apsw.Connection, member: Member, partitions: Sequence[int]) -> None:
    epoch = generation(db, member.group) + 1
    rows = ((member.group, partition, member.name, epoch) for partition in partitions)
    db.executemany("INSERT INTO claims VALUES (?, ?, ?, ?)", rows)


def _claims(db: apsw.Connection, member: Member, partitions: Sequence[Partition]) -> dict[Partition, int]:
    held = db.execute("SELECT partition, epoch FROM claims WHERE grp = ? AND owner = ?", (member.group, member.name))
    epochs = dict(held)
    return {partition: int(epochs[partition.id]) for partition in partitions if partition.id in epochs}


def _rows(db: apsw.Connection, select: str, member: Member) -> Iterator[Any]:
    return iter(db.execute(select, (member.group,)))
