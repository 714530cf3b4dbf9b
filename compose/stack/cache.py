"""The user's cache of servers: one folder by name and version, filled by one process at a time, in one atomic move."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def user_folder(variable: str, otherwise: str, env: Mapping[str, str]) -> Path:
    """The folder a freedesktop variable names, or its default below the home folder (XDG Base Directory 0.8)."""
    named = env.get(variable, "")
    # The specification says that a relative path is to be ignored.
    return Path(named) if named.startswith("/") else Path.home() / otherwise


def cache_root(env: Mapping[str, str]) -> Path:
    """The folder of everything obtained by `tidegate stack obtain`."""
    return user_folder("XDG_CACHE_HOME", ".cache", env) / "tidegate"


def entry(name: str, version: str, env: Mapping[str, str]) -> Path:
    """Where one server of one version is kept once it is complete."""
    return cache_root(env) / name / version


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the file lock `path`; calls `waiting` once when another process has it. Released by the kernel on a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def removed(folder: Path) -> None:
    """Removes a folder of ours, also one whose files were made read-only."""
    if not folder.exists():
        return
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())):
        inner.chmod(0o700)
    shutil.rmtree(folder)


def emptied(folder: Path) -> None:
    """Makes a folder that exists and has nothing in it."""
    removed(folder)
    folder.mkdir(parents=True)


def move_in(staged: Path, final: Path) -> None:
    """Moves a finished folder to its place: readers see nothing or all of it. Call under the entry's lock."""
    removed(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(staged, final)  # noqa: PTH105 - Path.replace would do the same; this names the atomic call
