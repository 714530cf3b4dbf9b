"""The bench looks at a recording of a labelled set as `tidegate detect` looks at its file."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from analytics.detect.recording import DEFAULT_RATE
from compose.bench.detect.run import skab, smd
from compose.bench.detect.sets import Recording, read_skab
from compose.bench.detect.side_by_side import alarms_together, watch_files, watch_together
from compose.cli.detect import detect_files

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 720


def pump(name: str, seed: int) -> Recording:
    """Three metrics that follow two hidden causes; one of them leaves the others after row 650."""
    rng = np.random.default_rng(seed)
    values = 50 + rng.normal(size=(ROWS, 2)) @ rng.normal(size=(2, 3)) + rng.normal(0, 0.2, (ROWS, 3))
    values[650:, 1] += 6
    times = 1_700_000_000_000 + np.arange(ROWS, dtype=np.int64) * 1000
    return Recording(name, ("pressure", "flow", "current"), times, values, np.array([[650, ROWS - 1]]))


@pytest.fixture(scope="module")
def pumps() -> list[Recording]:
    # More than the five of a kind that are pooled where somebody looks at them at once.
    return [pump(f"pump-{seed}", seed) for seed in range(6)]


def test_its_score_is_the_one_that_detect_writes_for_the_file_alone(pumps: list[Recording], tmp_path: Path) -> None:
    for one, found in zip(pumps[:2], watch_files(pumps)[:2], strict=True):
        path = tmp_path / f"{one.name}.csv"
        lines = [
            ",".join(map(repr, [int(time), *row])) for time, row in zip(one.times, one.values.tolist(), strict=True)
        ]
        path.write_text("\n".join([",".join(["timestamp", *one.metrics]), *lines]))
        told = CliRunner().invoke(detect_files, [str(path)])
        written = list(csv.DictReader(io.StringIO(told.stdout)))
        assert [row["score"] for row in written] == [f"{score:.4f}" for score in found.score()]
        assert [row["alert"] for row in written] == [str(int(alert)) for alert in found.alert()]
        assert found.score()[660] > 0.5


def test_the_distance_that_ranks_rows_is_of_the_same_windows(pumps: list[Recording]) -> None:
    for found, alone in zip(watch_files(pumps), watch_together(pumps), strict=True):
        assert found.joint is not None
        np.testing.assert_array_equal(found.joint.distance, alone.distance)
        np.testing.assert_array_equal(found.joint.surprise, alone.surprise)
        assert alone.distance[652:].min() > np.median(alone.distance[100:650])


def test_alarms_at_many_rates_are_at_the_default_rate_those_of_detect(pumps: list[Recording]) -> None:
    rates = (1e-6, DEFAULT_RATE, 1e3)
    for one, found in zip(pumps, watch_together(pumps), strict=True):
        alarms = alarms_together(one, found.surprise, rates)
        np.testing.assert_array_equal(alarms[:, rates.index(DEFAULT_RATE)], found.alert)
        assert alarms[650:].any(axis=0).all()


def test_a_set_in_the_form_of_skab_gets_both_figures(pumps: list[Recording], tmp_path: Path) -> None:
    (tmp_path / "valve1").mkdir()
    for one in pumps[:2]:
        stamps = [f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M:%S}" for time in one.times.tolist()]
        rows = zip(stamps, one.values.tolist(), one.labels().tolist(), strict=True)
        lines = [";".join(map(str, [stamp, *row, float(label), 0.0])) for stamp, row, label in rows]
        head = ";".join(["datetime", *one.metrics, "anomaly", "changepoint"])
        (tmp_path / f"valve1/{one.name}.csv.gz").write_bytes(gzip.compress("\n".join([head, *lines]).encode()))
    figures = skab(tmp_path)
    assert figures.keys() == {"skab_auc_pr", "skab_detect_auc_pr", "skab_default_f1", "skab_default_over_best_f1"}
    assert min(figures["skab_auc_pr"], figures["skab_detect_auc_pr"]) > 0.8
    assert figures["skab_default_f1"] == 1.0


def test_a_set_in_the_form_of_smd_gets_both_figures_and_the_cause(pumps: list[Recording], tmp_path: Path) -> None:
    for one in pumps[:2]:
        content = {"train": one.values[:600], "test": one.values[600:], "label": one.labels()[600:].astype(np.uint8)}
        np.savez(tmp_path / f"{one.name}.npz", root_cause=np.array(["50-119:2"]), **content)
    figures = smd(tmp_path)
    assert min(figures["smd_vus_pr"], figures["smd_detect_vus_pr"]) > 0.8
    assert (figures["smd_rca_at1"], figures["smd_default_f1"]) == (1.0, 1.0)


def test_a_set_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="SKAB"):
        read_skab(tmp_path)
