"""A device's flash: areas for images that are written block by block, and small records that change in one step."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class Flash(Protocol):
    """What the boot loader and the agent keep things in; both calls are durable when they return."""

    def read(self, name: str) -> bytes:
        """What is there; nothing when there never was anything."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Fill an area: a power cut meanwhile leaves any part of it."""
        ...

    def replace(self, name: str, content: bytes) -> None:
        """Change a record: a power cut meanwhile leaves the old one or the new one."""
        ...


class FolderFlash:
    """Files in a folder whose names begin with `prefix`."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder, self._prefix = folder, prefix

    def read(self, name: str) -> bytes:
        """The file's content."""
        path = self._path(name)
        return path.read_bytes() if path.exists() else b""

    def write(self, name: str, content: bytes) -> None:
        """Write in place."""
        _write(self._path(name), content)
        _sync(self._folder)

    def replace(self, name: str, content: bytes) -> None:
        """Write beside it, then rename."""
        partial = self._path(f"{name}.new")
        _write(partial, content)
        partial.replace(self._path(name))
        _sync(self._folder)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._prefix}.{name}"


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
