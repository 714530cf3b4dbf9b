"""The whole loop, as a newcomer runs it: the command, its last line, its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.whole


def start(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "compose.cli", "demo", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(running: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, err = running.communicate(timeout=900)
    assert out.strip(), err
    return running.returncode, json.loads(out.strip().splitlines()[-1])


def demo(*options: str) -> tuple[int, dict[str, Any]]:
    return result(start(*options))


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
    with start() as bad, start("--release", "good", "--seed", "1") as good:  # which ends them, whatever happens
        code, summary = result(bad)
        code_of_good, summary_of_good = result(good)
    assert (code, summary["ok"], summary["missing"]) == (0, True, "")
    assert_books(summary)
    assert_rolled_back(summary)
    assert summary["peak_mib"] <= 300
    code, summary = code_of_good, summary_of_good
    assert (code, summary["ok"], summary["missing"]) == (0, True, "")
    assert_books(summary)
    assert_left_alone(summary)


@pytest.mark.servers
def test_a_bad_release_is_rolled_back_through_the_real_servers() -> None:
    code, summary = demo("--stack")
    assert (code, summary["ok"], summary["missing"]) == (0, True, "")
    assert_books(summary)
    assert_rolled_back(summary)


@pytest.mark.servers
def test_a_good_release_is_left_alone_through_the_real_servers() -> None:
    code, summary = demo("--release", "good", "--stack")
    assert (code, summary["ok"], summary["missing"]) == (0, True, "")
    assert_books(summary)
    assert_left_alone(summary)
