"""The published device mix: what it is made of, and that it is the same everywhere."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from compose.bench.mix import METRICS, mix
from compose.bench.skab import read_skab

NAMES = [name for name, _ in METRICS]


def test_the_same_seed_gives_the_same_fleet_and_another_seed_another():
    one, again, other = mix(20, 30, 7), mix(20, 30, 7), mix(20, 30, 8)
    assert one.value.tobytes() == again.value.tobytes()
    assert one.ts.tobytes() == again.ts.tobytes()
    assert one.value.tobytes() != other.value.tobytes()


def test_every_device_speaks_once_a_second_in_rising_time():
    found = mix(50, 60, 1)
    assert (np.diff(found.ts) >= 0).all()
    for device in range(50):
        steps = np.diff(found.ts[found.device == device])
        assert len(steps) == 59
        assert steps.min() > 900
        assert steps.max() < 1100
        assert len(set(steps.tolist())) > 3


def test_what_is_written_is_what_the_columns_have():
    found = mix(5, 20, 2)
    for ts, values, payload in zip(found.ts, found.value, found.payloads(), strict=True):
        document = json.loads(payload)
        assert document["ts"] == ts
        assert list(document["metrics"]) == NAMES
        assert list(document["metrics"].values()) == values.tolist()


def test_counters_count_states_stay_and_set_points_are_constant():
    found = mix(10, 600, 3)
    for device in range(10):
        values = dict(zip(NAMES, found.value[found.device == device].T, strict=True))
        assert (np.diff(values["uptime_s"]) == 1).all()
        assert (np.diff(values["energy_wh"]) >= 0).all()
        assert (np.diff(values["battery_percent"]) <= 0).all()
        assert len(set(values["setpoint_c"])) == 1
        assert (np.diff(values["state"]) != 0).sum() < 20
        assert len(set(values["vibration_rms_mm_s"])) > 100


def test_columns_number_series_by_device_and_metric():
    series, ts, value = mix(4, 3, 1).columns()
    assert len(series) == len(ts) == len(value) == 4 * 3 * 10
    assert sorted(set(series.tolist())) == list(range(40))


def test_runs_of_skab_become_devices(tmp_path: Path):
    names = "Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;Thermocouple;Voltage;Volume Flow RateRMS"
    for run in range(2):
        (tmp_path / f"valve{run}").mkdir()
        with gzip.open(tmp_path / f"valve{run}" / "0.csv.gz", "wt") as file:
            file.write(f"datetime;{names};anomaly\n2020-03-09 10:14:33;1;2;3;4;5;6;7;{run}.5;0\n")
    found = read_skab(tmp_path)
    assert found.device.tolist() == [0, 1]
    assert found.ts.tolist() == [1_583_748_873_000] * 2
    assert found.value[1].tolist() == [1, 2, 3, 4, 5, 6, 7, 1.5]
    assert found.metrics[-1] == "volume_flow_raterms"


def test_without_the_data_set_it_says_where_it_was_looked_for(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="SKAB"):
        read_skab(tmp_path)
