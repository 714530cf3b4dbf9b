"""`tidegate bench detect` on simulated fleets, in small."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

from compose.bench.detect.rows import missed
from compose.cli.bench import bench

if TYPE_CHECKING:
    from pathlib import Path


def test_the_rows_asked_for_are_measured_and_held_against_their_bars(tmp_path: Path) -> None:
    rows = [part for name in ("quiet", "faults", "speed", "memory") for part in ("--only", name)]
    told = CliRunner().invoke(bench, ["detect", "--quick", *rows, "--dir", str(tmp_path), "--json"])
    figures = json.loads(told.stdout.splitlines()[-1])
    assert told.exit_code == bool(figures["missed"])
    assert {
        "false_alerts_per_1k_series_day",
        "faults",
        "rows_per_core_second",
        "bytes_per_series",
        "peak_bytes_per_series",
    } <= figures.keys()
    assert figures["quiet_series"] == 700
    assert figures["missed"] == missed(figures)
    assert "nab_standard" not in figures


def test_a_labelled_set_must_be_there_when_it_is_asked_for(tmp_path: Path) -> None:
    without = CliRunner().invoke(bench, ["detect", "--only", "nab"])
    assert without.exit_code == 1
    assert "--data FOLDER" in without.stderr
    empty = CliRunner().invoke(bench, ["detect", "--only", "skab", "--data", str(tmp_path)])
    assert empty.exit_code == 1
    assert "skab" in empty.stderr


def test_a_bar_that_is_missed_is_said_and_one_that_was_not_measured_is_not() -> None:
    assert missed({"rows_per_core_second": 5e6, "bytes_per_series": 400.0}) == []
    assert missed({"rows_per_core_second": 4.9e6}) == ["rows_per_core_second: 4900000.0 below 5e+06"]
    assert missed({"false_alerts_per_1k_series_day": 0.2, "faults_lost": ["stuck 60"]}) == [
        "false_alerts_per_1k_series_day: 0.2 above 0.1",
        "faults: stuck 60 not ahead of the textbook",
    ]
