"""Long commands: their logs, their heartbeat, their end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psutil
import pytest

from compose.stack import steps
from compose.stack.errors import CannotObtain

if TYPE_CHECKING:
    from pathlib import Path


def run(tmp_path: Path, script: str) -> list[str]:
    said: list[str] = []
    shell = ["/bin/sh", "-c", script]
    steps.run(shell, what="toasting", folder=tmp_path, env=os.environ, log=tmp_path / "log", say=said.append)
    return said


def test_both_outputs_are_in_the_log(tmp_path: Path) -> None:
    assert run(tmp_path, "echo out; echo err >&2") == []
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_a_failure_tells_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(CannotObtain, match=r"toasting failed with exit code 3; the log .*/log ends:\n") as told:
        run(tmp_path, "seq 1 100; exit 3")
    assert str(told.value).endswith("\n99\n100")
    assert "\n50\n" not in str(told.value)


def test_whoever_waits_is_told_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "HEARTBEAT_S", 0.05)
    assert "toasting: 0.05 s so far" in run(tmp_path, "sleep 0.3")


def test_it_ends_with_the_block_that_waits_for_it(tmp_path: Path) -> None:
    children: list[psutil.Process] = []

    def interrupted() -> None:
        sleep = ["/bin/sleep", "600"]
        with steps.started(sleep, what="toasting", folder=tmp_path, env=os.environ, log=tmp_path / "log") as step:
            children.append(psutil.Process(step._child.pid))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [child.is_running() for child in children] == [False]


def test_a_quick_answer_that_fails_tells_why(tmp_path: Path) -> None:
    assert steps.answer(["/bin/echo", "yes"], folder=tmp_path, env=os.environ) == "yes\n"
    with pytest.raises(CannotObtain, match="exit code 2: burnt"):
        steps.answer(["/bin/sh", "-c", "echo burnt >&2; exit 2"], folder=tmp_path, env=os.environ)
