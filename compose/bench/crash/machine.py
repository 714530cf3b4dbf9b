"""A machine whose power can go at any operation on its disk: SQLite's own file system, with an account of what was synced.

Files are real ones in a scratch folder, opened as in production (write-ahead log and shared memory included). Once the
power is gone, the account stands still: the call that was running goes on like a ghost until it returns, and nothing of
what it does counts. The account decides what the next start finds.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from compose.bench.crash.disk import Cut, Disk, Write
from compose.bench.crash.phases import Activity, Operation, Phase, phase_of
from edge_aggregator.storage import Storage

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

    from compose.bench.crash.disk import Loss
    from compose.bench.crash.phases import CrashPoint

NAME = "crashing"
CHECKPOINT_PAGES = 48
_SYNCS_ITS_FOLDER = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


class PowerCutError(Exception):
    """The power went while a call of the gateway's was running."""


class Machine:
    """One life of a machine, from power-on to power-off. `died` is the phase in which the power went."""

    def __init__(self, folder: Path, files: Mapping[str, bytes], point: CrashPoint | None) -> None:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        self._folder = folder
        self.disk = Disk({str(folder / path): content for path, content in files.items()})
        self.point = point
        self._activity = Activity.IDLE
        self._new: set[str] = set()
        self.commits = 0
        self.died: Phase | None = None
        self.seen: set[Phase] = set()

    @contextmanager
    def doing(self, activity: Activity) -> Iterator[None]:
        """The gateway's call that runs. Raises PowerCutError at its end when the power went."""
        self._activity = activity
        self._new.clear()
        yield
        self._activity = Activity.IDLE
        if not self.operate(Operation.NOTHING):
            raise PowerCutError

    def operate(self, operation: Operation, path: str = "") -> bool:
        """An operation begins; False when the power is gone."""
        if self.died is None:
            phase = phase_of(self._activity, operation, path, new=path.removesuffix("-wal") in self._new)
            self.seen.add(phase)
            if self.point and self.point.strikes(phase, self.commits):
                self.died = phase
        return self.died is None

    def left(self, loss: Loss, chance: random.Random) -> dict[str, bytes]:
        """What the next life finds, by path within the folder."""
        found = self.disk.after_crash(loss, chance)
        return {str(Path(path).relative_to(self._folder)): content for path, content in found.items()}

    def switch_off(self) -> None:
        """The power goes between two operations."""
        self.died = self.died or Phase.IDLE

    def created(self, path: str) -> None:
        """A file is opened; whether it is new is known here."""
        if path not in self.disk.files:
            self._new.add(path)
            if self.operate(Operation.CREATE, path):
                self.disk.file(path)


class CrashingFiles(apsw.VFS):
    """The file system of whichever machine has power now; one per process, because SQLite knows it by name."""

    machine: Machine

    def __init__(self) -> None:
        super().__init__(NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's own name
        """Open a file and keep account of it."""
        return _File(self.machine, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 - SQLite's own name and signature
        """Remove a file."""
        if self.machine.operate(Operation.UNLINK, filename):
            self.machine.disk.unlink(filename)
            if syncdir:
                self.machine.disk.sync_folder(str(Path(filename).parent))
        super().xDelete(filename, False)


class _File(apsw.VFSFile):
    def __init__(self, machine: Machine, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        machine.created(path)
        super().__init__("", name, flags)
        self._machine, self._path, self._inode = machine, path, machine.disk.file(path)
        # SQLite syncs the folder as well at the first sync of a journal or write-ahead log.
        self._syncs_folder = bool(flags[0] & _SYNCS_ITS_FOLDER)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's own name
        self._change(Write(offset, bytes(data)), Operation.WRITE)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's own name
        self._change(Cut(newsize), Operation.TRUNCATE)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802 - SQLite's own name and signature
        if not self._machine.operate(Operation.SYNC, self._path):
            return
        self._inode.sync()
        if self._syncs_folder:
            self._machine.disk.sync_folder(str(Path(self._path).parent))
            self._syncs_folder = False

    def _change(self, change: Write | Cut, operation: Operation) -> None:
        # The change that is under way when the power goes may be on the disk in part.
        if self._machine.died is None:
            self._inode.unsynced.append(change)
        self._machine.operate(operation, self._path)


class CrashingStorage(Storage):
    """Storage on a machine whose power can go."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(NAME, checkpoint_pages=CHECKPOINT_PAGES)
        self._machine = machine

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there."""
        if self._machine.operate(Operation.UNLINK, str(path)):
            self._machine.disk.unlink(str(path))
        super().unlink(path)

    def rename(self, path: Path, target: Path) -> None:
        """Give a file another name."""
        if self._machine.operate(Operation.RENAME, str(path)):
            self._machine.disk.rename(str(path), str(target))
        super().rename(path, target)

    def sync_folder(self, path: Path) -> None:
        """Make a folder's names durable."""
        if self._machine.operate(Operation.SYNC_FOLDER, str(path)):
            self._machine.disk.sync_folder(str(path))
