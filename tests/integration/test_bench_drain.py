"""`tidegate bench drain` does what it says, in small: a backlog of the gateway's own, the real process, real Kafka."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from compose.cli.bench import bench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.servers("kafka", "mosquitto")
def test_a_quick_drain_leaves_nothing_behind(tmp_path: Path) -> None:
    done = CliRunner().invoke(bench, ["drain", "--quick", "--dir", str(tmp_path), "--json"])
    assert done.exit_code in (0, 1), done.output  # how fast this machine is now, is not judged here
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["backlog_marked"], figures["live_lossless"]) == (True, True)
    assert figures["backlog_records"] > 0
    assert figures["live_lag_p99_s"] >= figures["live_lag_p50_s"] >= 0
    assert figures["passed"] == (figures["times_real_time"] >= 100 and figures["live_lag_p99_windows"] <= 2)
    assert not list(tmp_path.iterdir()), "a bench leaves nothing behind"
