"""`tidegate bench api` runs: a fleet in a log, an API over it, reads at an open loop while devices change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

from compose.bench.api.rows import missed
from compose.cli.main import tidegate

if TYPE_CHECKING:
    from pathlib import Path


def test_reads_are_timed(tmp_path: Path) -> None:
    asked = ["bench", "api", "--quick", "--only", "reads", "--json", "--dir", str(tmp_path)]
    result = CliRunner().invoke(tidegate, asked)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout.splitlines()[-1])
    assert 0 < figures["api_p50_ms"] <= figures["api_p99_ms"]
    assert figures["api_cpu_ms"] > 0
    assert figures["missed"] == [], "how fast a small fleet is read on this machine now is not judged"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_what_is_above_its_bar_is_missed() -> None:
    assert missed({"api_p99_ms": 29.9, "first_paint_ms": 500.0}) == []
    assert missed({"api_p99_ms": 30.1}) == ["api_p99_ms: 30.1 above 30.0"]
