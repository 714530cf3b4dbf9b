"""Processes that outlive their starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest
from msgspec.structs import replace

from compose.stack.process import OwnedProcess, end, find, launch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_S = 0.01
STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def started(tmp_path: Path, *argv: str) -> OwnedProcess:
    return launch([*argv], home=tmp_path, log=tmp_path / "log", env=dict(os.environ) | {"SECRET": "x"})


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[OwnedProcess]:
    owned = started(tmp_path, "/bin/sleep", "600")
    yield owned
    end(owned, signal.SIGKILL)


def test_a_launched_process_is_found_and_ended(sleeper: OwnedProcess) -> None:
    assert find(sleeper)
    assert end(sleeper, signal.SIGTERM)
    assert find(sleeper) is None
    assert not psutil.pid_exists(sleeper.pid)
    assert not end(sleeper, signal.SIGTERM)


def test_another_process_with_the_same_pid_is_left_alone(sleeper: OwnedProcess) -> None:
    earlier = replace(sleeper, started=sleeper.started - 60)
    assert find(earlier) is None
    assert not end(earlier, signal.SIGKILL)
    assert find(sleeper)


def test_one_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    owned = started(tmp_path, sys.executable, "-c", STUBBORN)
    while b"deaf" not in (tmp_path / "log").read_bytes():
        assert find(owned), (tmp_path / "log").read_text()
        time.sleep(POLL_S)
    assert end(owned, signal.SIGTERM, patience_s=0.2)
    assert find(owned) is None


def test_one_that_ended_by_itself_is_not_found(tmp_path: Path) -> None:
    owned = started(tmp_path, "/bin/true")
    while find(owned):
        time.sleep(POLL_S)
    assert not psutil.pid_exists(owned.pid)


def test_it_leads_its_own_session_and_carries_no_secrets(sleeper: OwnedProcess) -> None:
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert "SECRET" not in psutil.Process(sleeper.pid).environ()


def test_signals_that_the_starter_ignores_still_end_it(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        owned = started(tmp_path, "/bin/sleep", "600")
    finally:
        signal.signal(signal.SIGINT, before)
    assert end(owned, signal.SIGINT, patience_s=10)


def test_a_starter_that_ends_leaves_its_process_running(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from compose.stack.process import launch; import msgspec;"
        "home = Path(sys.argv[1]); owned = launch(['/bin/sleep', '600'], home=home, log=home / 'log', env=os.environ);"
        "print(msgspec.json.encode(owned).decode())"
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True).stdout
    owned = msgspec.json.decode(told, type=OwnedProcess)
    assert find(owned)
    assert end(owned, signal.SIGTERM)
    assert find(owned) is None
