"""Who of a group reads which partition: balanced, and sticky so that state stays where it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ingest.contract.records import TopicPartition


def share_partitions(
    partitions: Collection[TopicPartition],
    members: Mapping[str, Collection[str]],
    owners: Mapping[TopicPartition, str],
) -> dict[TopicPartition, str]:
    """The owner that each partition should have, of the members (name to topics) that subscribe to its topic.

    Deterministic. Whoever has a partition keeps it unless another member has at least two fewer.
    """
    wanting = {p: [name for name in sorted(members) if p.topic in members[name]] for p in sorted(partitions)}
    target = {p: owner for p, owner in owners.items() if owner in wanting.get(p, ())}
    load = Counter(target.values())

    def least_loaded(partition: TopicPartition) -> str:
        return min(wanting[partition], key=lambda name: (load[name], name))

    for partition, candidates in wanting.items():
        if candidates and partition not in target:
            target[partition] = least_loaded(partition)
            load[target[partition]] += 1
    # Each move lowers the sum of the squared loads: it ends.
    while moves := [p for p in target if load[target[p]] - load[least_loaded(p)] > 1]:
        move = min(moves, key=lambda p: (-load[target[p]], p))
        load[target[move]] -= 1
        target[move] = least_loaded(move)
        load[target[move]] += 1
    return target
