"""One process per data folder."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from edge_aggregator.storage import StorageFailedError, fatal

if TYPE_CHECKING:
    from pathlib import Path

    from edge_aggregator.storage import Storage

_FILE_NAME = "lock"


class FolderLock:
    """Held until `release` or the end of the process, however it ends. Raises StorageFailedError when it is taken."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        with fatal(f"opening {folder}"):
            storage.make_folder(folder)
            self._handle = os.open(folder / _FILE_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise StorageFailedError(
                f"{folder} is in use by another edge aggregator: give each its own data_dir"
            ) from None

    def release(self) -> None:
        """Let others have the folder."""
        os.close(self._handle)
