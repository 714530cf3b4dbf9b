"""Which processes begin with huge pages, and that nobody's own wish about them is overruled."""

from __future__ import annotations

import os
import sys

import pytest

from compose.processes.huge_pages import begin_anew, with_huge_pages

RUN = ("analytics", "run")


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.arena_max=2", "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_what_the_environment_says_of_huge_pages_is_kept(said: str | None, wanted: str) -> None:
    before = {"PATH": "/bin"} | ({} if said is None else {"GLIBC_TUNABLES": said})
    assert with_huge_pages(before) == {"PATH": "/bin", "GLIBC_TUNABLES": wanted}


@pytest.mark.parametrize(
    ("command_line", "arguments", "said", "begins"),
    [
        (["python", "-m", "compose.cli", "analytics", "run", "a.toml"], ["analytics", "run", "a.toml"], "", True),
        (
            ["python", "-m", "compose.cli", "analytics", "run", "a.toml"],
            ["analytics", "run", "a.toml"],
            "hugetlb",
            False,
        ),
        (["python", "-m", "compose.cli", "edge", "run", "a.toml"], ["edge", "run", "a.toml"], "", False),
        (["python", "-m", "pytest"], ["analytics", "run", "a.toml"], "", False),
    ],
)
def test_only_who_was_started_so_begins_anew_and_once(
    monkeypatch: pytest.MonkeyPatch, command_line: list[str], arguments: list[str], said: str, *, begins: bool
) -> None:
    begun: list[tuple[list[str], str]] = []
    monkeypatch.setattr(sys, "orig_argv", command_line)
    monkeypatch.setattr(sys, "argv", ["tidegate", *arguments])
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1" if said else "")
    monkeypatch.setattr(os, "execve", lambda _, command, environ: begun.append((command, environ["GLIBC_TUNABLES"])))
    begin_anew(RUN)
    assert begun == ([([sys.executable, *command_line[1:]], "glibc.malloc.hugetlb=1")] if begins else [])
