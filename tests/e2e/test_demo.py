"""The whole loop, as a newcomer runs it: the command, its last line, its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = [pytest.mark.whole, pytest.mark.timeout(900)]


def start(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "compose.cli", "demo", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(running: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, err = running.communicate(timeout=900)
    assert out.strip(), err
    return running.returncode, json.loads(out.strip().splitlines()[-1])


def both(*options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a bad release ended with, and a good one beside it."""
    with start(*options) as bad, start("--release", "good", "--seed", "1", *options) as good:  # which ends them anyhow
        found = result(bad), result(good)
    for code, summary in found:
        assert (code, summary["ok"], summary["missing"]) == (0, True, "")
        assert_books(summary)
    return found[0][1], found[1][1]


def assert_books(summary: dict[str, Any]) -> None:
    samples = summary["samples"]
    assert summary["ledger"] == "balanced", summary
    assert samples["sent"] == samples["received"]
    assert samples["received"] == samples["rolled_up"] + samples["duplicate"] + samples["rejected"]
    assert samples["stored"] == samples["rolled_up"]
    assert samples["dropped"] == 0
    assert samples["duplicate"] > 0  # one device sends some messages twice
    assert samples["rejected"] > 0  # one device sends text where a number belongs


def assert_rolled_back(summary: dict[str, Any]) -> None:
    gate, rollback = summary["gate"], summary["rollback"]
    assert gate["verdict"] == "fail", summary
    assert gate["e_value"] >= 1 / gate["alpha"]
    assert gate["decided_after_s"] > 0
    assert rollback["commanded"] == gate["n_canary"]
    assert rollback["recovered"] + rollback["unreachable"] == rollback["commanded"]
    assert rollback["recovered"] > 0
    assert summary["alerts"]["delivered"] == summary["alerts"]["fired"] > 0


def assert_left_alone(summary: dict[str, Any]) -> None:
    assert summary["gate"]["verdict"] in {"inconclusive", "pass"}, summary
    assert summary["rollback"] == {"commanded": 0, "done": 0, "recovered": 0, "unreachable": 0}


def test_a_bad_release_is_rolled_back_and_a_good_one_left_alone() -> None:
    bad, good = both()
    assert_rolled_back(bad)
    assert bad["peak_mib"] <= 300
    assert_left_alone(good)


@pytest.mark.servers
def test_so_they_are_through_the_real_servers() -> None:
    bad, good = both("--stack")
    assert_rolled_back(bad)
    assert_left_alone(good)
