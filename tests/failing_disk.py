"""A disk that fails: SQLite's own file system with an error at the chosen write or sync, and at all that follow."""

from __future__ import annotations

from typing import Any

import apsw

NAME = "failing"


class FailingDisk(apsw.VFS):
    """`fail_at` counts writes and syncs from 1; None: a good disk. `error` is what SQLite gets to see."""

    def __init__(self) -> None:
        super().__init__(NAME, "")
        self.fail_at: int | None = None
        self.error: type[apsw.Error] = apsw.FullError
        self.operations = 0

    def good(self) -> None:
        """From now on everything works."""
        self.fail_at = None

    def failing(self, at: int, error: type[apsw.Error]) -> None:
        """The operation of that number will fail, counted from now."""
        self.operations, self.fail_at, self.error = 0, at, error

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's own name
        return _File(self, name, flags)

    def operate(self) -> None:
        self.operations += 1
        if self.fail_at is not None and self.operations >= self.fail_at:
            raise self.error("the disk fails")


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's own name
        self._disk.operate()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's own name
        self._disk.operate()
        super().xSync(flags)
