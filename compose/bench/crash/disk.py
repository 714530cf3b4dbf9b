"""What a disk may hold after a power cut: what was synced, and any part of what was not."""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping


class Write(NamedTuple):
    """Bytes written and not synced."""

    offset: int
    data: bytes


class Cut(NamedTuple):
    """A file made shorter (or longer), not synced."""

    size: int


class Inode:
    """One file's content: what is durable, and what was done since, in order."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = bytearray(durable)
        self.unsynced: list[Write | Cut] = []

    def sync(self) -> None:
        """What fsync does: everything so far is durable."""
        for change in self.unsynced:
            _apply(self.durable, change)
        self.unsynced.clear()


class Loss(NamedTuple):
    """How bad a crash is: `kept`, the chance of each unsynced piece to have reached the disk; `sector`, where writes tear.

    `kept` 1: a process that was killed, the system lives on; 0: a page cache that is dropped whole.
    """

    kept: float
    sector: int


_Renaming = tuple[tuple[str, Inode | None], ...]
"""Names that change together: what each stands for from then on, None for nothing."""


class Disk:
    """Files by path, as one generation of processes leaves them. Pure: it only keeps account."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = {path: Inode(content) for path, content in files.items()}
        self._durable_names: dict[str, Inode] = dict(self.files)
        self._unsynced_names: dict[str, list[_Renaming]] = defaultdict(list)

    def file(self, path: str) -> Inode:
        """The file of that name, a new one if need be."""
        if path not in self.files:
            self.files[path] = Inode()
            self._renamed((path, self.files[path]))
        return self.files[path]

    def unlink(self, path: str) -> None:
        """Remove a name."""
        if self.files.pop(path, None) is not None:
            self._renamed((path, None))

    def rename(self, path: str, target: str) -> None:
        """Give a file another name in the same folder."""
        self.files[target] = self.files.pop(path)
        self._renamed((path, None), (target, self.files[target]))

    def sync_folder(self, folder: str) -> None:
        """What fsync of a folder does: its names are durable."""
        for names in self._unsynced_names.pop(folder, ()):
            _set_names(self._durable_names, names)

    def after_crash(self, loss: Loss, chance: random.Random) -> dict[str, bytes]:
        """What the next start finds, by path: one of all the states that the contract of fsync allows."""
        names = dict(self._durable_names)
        for changes in self._unsynced_names.values():
            for change in changes:
                if chance.random() < loss.kept:
                    _set_names(names, change)
        return {path: _content(names[path], loss, chance) for path in sorted(names)}

    def _renamed(self, *names: tuple[str, Inode | None]) -> None:
        self._unsynced_names[str(PurePath(names[0][0]).parent)].append(names)


def _set_names(names: dict[str, Inode], change: _Renaming) -> None:
    for path, inode in change:
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode


def _content(inode: Inode, loss: Loss, chance: random.Random) -> bytes:
    content = bytearray(inode.durable)
    for change in inode.unsynced:
        for part in _torn(change, loss.sector):
            if chance.random() < loss.kept:
                _apply(content, part)
    return bytes(content)


def _torn(change: Write | Cut, sector: int) -> list[Write | Cut]:
    if isinstance(change, Cut):
        return [change]
    parts: list[Write | Cut] = []
    offset, end = change.offset, change.offset + len(change.data)
    while offset < end:
        until = min(end, (offset // sector + 1) * sector)
        parts.append(Write(offset, change.data[offset - change.offset : until - change.offset]))
        offset = until
    return parts


def _apply(content: bytearray, change: Write | Cut) -> None:
    size = change.size if isinstance(change, Cut) else change.offset
    if len(content) < size:
        content.extend(bytes(size - len(content)))  # what was never written reads as zeros
    if isinstance(change, Cut):
        del content[size:]
    else:
        content[change.offset : change.offset + len(change.data)] = change.data
