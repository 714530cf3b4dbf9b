"""`tidegate bench flood` runs, and what the flooder sends beyond its quota is accounted for to the last sample."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

from compose.cli.main import tidegate

if TYPE_CHECKING:
    from pathlib import Path


def test_a_flood_is_measured_and_accounted_for(tmp_path: Path) -> None:
    arguments = [
        "bench",
        "flood",
        "--seconds",
        "1",
        "--runs",
        "1",
        "--neighbours",
        "5",
        "--json",
        "--dir",
        str(tmp_path),
    ]
    result = CliRunner().invoke(tidegate, arguments)
    assert result.exit_code in (0, 1), result.output  # how fast this machine is now, is not judged here
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["unaccounted"] == 0
    assert figures["passed"] == (figures["ratio"] <= 1.5 or figures["flooded_ack_p99_ms"] <= 250)
    assert min(figures["flood_rate"], figures["highest_rate"]) > 0
    assert set(figures["over_quota"]) <= {"flooder", "flooder-0"}
    assert set(figures["rejected"]) <= {"over_quota"}
