"""`tidegate bench start` runs: a full journal, a killed gateway, and all that it had committed is there after each start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from compose.bench.start.fill import COMMITS_PER_S, HERTZ, METRICS
from compose.bench.start.measure import QUICK
from compose.cli.main import tidegate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.whole
def test_starts_are_measured_and_nothing_is_lost(tmp_path: Path) -> None:
    result = CliRunner().invoke(tidegate, ["bench", "start", "--quick", "--json", "--dir", str(tmp_path)])
    assert result.exit_code in (0, 1), result.output  # how fast this machine is now, is not judged here
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["passed"] == (max(figures["start_s"], figures["lagging_start_s"]) <= 3)
    assert figures["journal_bytes"] > 0.8 * QUICK.journal_bytes
    unflushed = QUICK.unflushed * METRICS
    assert figures["lagging_recovered_samples"] == figures["recovered_samples"] + unflushed
    assert figures["lagging_received"] == figures["received"] + unflushed == figures["samples"]
    # What is read again is what was open and what was not flushed, not the journal.
    assert figures["recovered_samples"] < figures["received"] / 10
    assert figures["lagging_recovered_blocks"] - figures[
        "recovered_blocks"
    ] == unflushed // METRICS // QUICK.devices * (COMMITS_PER_S // HERTZ)
