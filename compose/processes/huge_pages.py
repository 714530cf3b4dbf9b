"""Huge pages for what is allocated between a batch and its decisions: a sixth less of detection's time.

glibc asks the kernel for them (madvise) if it is told to before a process begins; `GLIBC_TUNABLES` is how (since glibc 2.35).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb"


def with_huge_pages(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is to have them; as it is where it already says something about them."""
    said = environ.get(TUNABLES, "")
    wanted = said if HUGE_PAGES in said else ":".join(filter(None, [said, f"{HUGE_PAGES}=1"]))
    return {**environ, TUNABLES: wanted}


def begin_anew(*commands: tuple[str, ...]) -> None:
    """If this process was started as one of these commands of ours, and without huge pages: start it as such with them.

    Its number, files and arguments stay. A process that only acts as if it had been started so is left alone.
    """
    asked, wanted = sys.argv[1:], with_huge_pages(os.environ)
    is_one = any(tuple(asked[: len(command)]) == command for command in commands)
    if is_one and sys.orig_argv[-len(asked) :] == asked and wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)  # noqa: S606 - itself
