"""What the next owner of a partition continues from: its state with the offset it stands for, in a folder all members see.

A member of a consumer group keeps its state in a file of its own. When a partition moves to another member, on whatever
machine, the state has to come along: each member leaves that of its partitions in the shared folder now and then, and when it
ends in order. Whoever gets a partition takes the newer of this and its own, and reads the log on from there, so that it says
what the one before would have said; what that one had said already is said again, with the same ids.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ingest.contract.names import HANDOVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ingest.contract.records import TopicPartition
    from ingest.runtime.checkpoint import Checkpoint
    from ingest.runtime.telemetry import Telemetry

BYTES_A_SECOND = 1_000_000
"""Large states are left less often, so that no more than this is written in the long run."""
_MAGIC = b"tidegate state 1"
_HEAD = len(_MAGIC) + 8


class Left(NamedTuple):
    """A partition's state by parts, and the offset of the first record that is not in it."""

    position: int
    parts: dict[str, bytes]


class Handover:
    """One member's view of the folder. `partition_of` says which partition a part of the state belongs to, if any does."""

    def __init__(
        self, folder: Path, partition_of: Callable[[str], int | None], telemetry: Telemetry, stage: str, every_ms: int
    ) -> None:
        self._folder, self._partition_of = folder, partition_of
        self._telemetry, self._stage, self._every_ms = telemetry, stage, every_ms
        self._due_at = 0
        self.left: dict[TopicPartition, int] = {}
        """The offsets of the states that are in the folder, as far as this member knows."""

    def due(self, now: int) -> bool:
        """Whether it is time to leave something; `now` in ms."""
        return now >= self._due_at

    def newer(self, place: TopicPartition, position: int | None) -> Left | None:
        """What another member has left, if its offset is beyond `position`. A file that cannot be used is counted, no more."""
        try:
            path = self._path(place)
            found = _read(path) if _position(path) > (position or 0) else None
        except (OSError, ValueError, msgspec.DecodeError):
            self._count("failed")
            return None
        if found is not None:
            self._count("taken")
        return found

    def leave(self, checkpoint: Checkpoint, places: Iterable[TopicPartition], now: int) -> None:
        """Leave the saved state of these partitions where it has moved on, once all that it led to is in the log."""
        self._due_at = now + self._every_ms
        if checkpoint.unsent().records:
            return
        positions, names = checkpoint.positions(), checkpoint.names()
        written = 0
        for place in sorted(places):
            position = positions.get(place, 0)
            if position > self.left.get(place, 0):
                mine = [name for name in names if self._partition_of(name) == place.partition]
                written += self._write(place, Left(position, {name: checkpoint.part(name) for name in mine}))
        self._due_at = now + max(self._every_ms, 1000 * written // BYTES_A_SECOND)

    def _write(self, place: TopicPartition, left: Left) -> int:
        try:
            path = self._path(place)
            size = 0 if _position(path) >= left.position else _replace(path, left)
        except OSError:
            self._count("failed")
            return 0
        self.left[place] = left.position
        self._count("left")
        return size

    def _path(self, place: TopicPartition) -> Path:
        return self._folder / f"{place.topic}-{place.partition}.state"

    def _count(self, outcome: str) -> None:
        self._telemetry.count(HANDOVERS, stage=self._stage, outcome=outcome)


def _replace(path: Path, left: Left) -> int:
    body = msgspec.msgpack.encode(left)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = path.with_suffix(f".{os.getpid()}.new")
    with ours.open("wb") as file:
        file.write(_MAGIC + left.position.to_bytes(8) + hashlib.sha256(body).digest() + body)
        file.flush()
        os.fsync(file.fileno())
    ours.replace(path)
    return len(body)


def _position(path: Path) -> int:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        return 0
    return int.from_bytes(head[len(_MAGIC) :]) if head.startswith(_MAGIC) else 0


def _read(path: Path) -> Left | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    body = content[_HEAD + 32 :]
    if not content.startswith(_MAGIC) or hashlib.sha256(body).digest() != content[_HEAD : _HEAD + 32]:
        raise ValueError(f"{path}: not what was written")
    return msgspec.msgpack.decode(body, type=Left)
