"""Readings of SKAB, the Skoltech Anomaly Benchmark: a real water pump, eight noisy sensors once a second.

The data set (GPL-3) is for measuring only and no part of this project: it is read where somebody has put it.
"""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from compose.bench.readings import Readings

if TYPE_CHECKING:
    from pathlib import Path

SENSORS = 8
_DECIMALS = 6
_SECOND = 1_000


def read_skab(folder: Path) -> Readings:
    """All runs below `folder` (`*/*.csv.gz`, `;` between fields), each as one device; run after run.

    Raises FileNotFoundError when there are none.
    """
    files = sorted(folder.glob("*/*.csv.gz"))
    if not files:
        raise FileNotFoundError(f"{folder} has no */*.csv.gz: put the SKAB data set there")
    runs = [_read(path) for path in files]
    device = np.repeat(np.arange(len(runs)), [len(ts) for _, ts, _ in runs])
    ts, value = np.concatenate([ts for _, ts, _ in runs]), np.concatenate([value for _, _, value in runs])
    return Readings(runs[0][0], (_DECIMALS,) * SENSORS, device, ts, value)


def fleet(readings: Readings, devices: int, seconds: int, start_ms: int) -> Readings:
    """`devices` pumps that repeat `seconds` of the runs from `start_ms` on, in order of arrival.

    Each begins at another place of a run, so that no two say the same at the same time, and speaks at its own place in the
    second.
    """
    runs = np.unique(readings.device, return_index=True)[1]
    ends = np.append(runs[1:], len(readings.device))
    rounds = -(-devices // len(runs))
    parts = []
    for device in range(devices):
        first, last = int(runs[device % len(runs)]), int(ends[device % len(runs)])
        ts = readings.ts[first:last] - readings.ts[first]
        begin = max(0, int(ts[-1]) - 1000 * seconds) // _SECOND * (device // len(runs)) // rounds * _SECOND
        rows = np.flatnonzero((ts >= begin) & (ts < begin + 1000 * seconds))
        at = ts[rows] - begin + start_ms + device * 37 % _SECOND
        parts.append((np.full(len(rows), device), at, readings.value[first + rows]))
    number, ts, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(ts, kind="stable")
    return readings._replace(device=number[order], ts=ts[order], value=value[order])


def _read(path: Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    with gzip.open(path, "rt", newline="") as lines:
        head, *rows = csv.reader(lines, delimiter=";")
    names = tuple(name.lower().replace(" ", "_") for name in head[1 : 1 + SENSORS])
    # The pump's computer wrote no milliseconds and no time zone.
    seconds = [datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp() for row in rows]
    values = np.array([row[1 : 1 + SENSORS] for row in rows], np.float64)
    return names, (np.array(seconds) * 1000).astype(np.int64), values
