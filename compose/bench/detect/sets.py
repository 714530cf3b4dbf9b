"""The labelled sets, each as recordings; read where somebody has put them, for measuring only."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from compose.bench.detect.vus import runs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MINUTE = 60_000
_SMD_START = 1_577_836_800_000
"""The set names no times, only minutes: any Wednesday will do."""


class Recording(NamedTuple):
    """One device: `times` i8 (ms) of shape (rows,), `values` f8 (rows, metrics), `events` i8 (events, 2), last included.

    The first `unscored` rows are there to be learned from. `causes`: the metrics of each event, by number, where known.
    """

    name: str
    metrics: tuple[str, ...]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    events: NDArray[np.int64]
    unscored: int = 0
    causes: tuple[frozenset[int], ...] = ()

    def labels(self) -> NDArray[np.bool_]:
        """Which rows lie in an event, shape (rows,)."""
        inside = np.zeros(len(self.times), np.bool_)
        for first, last in self.events:
            inside[first : last + 1] = True
        return inside


def read_nab(folder: Path) -> list[Recording]:
    """The Numenta Anomaly Benchmark's 58 series. Raises FileNotFoundError when they are not there."""
    windows = json.loads((folder / "labels/combined_windows.json").read_text())
    return [_nab_file(folder, name, windows[name]) for name in sorted(windows)]


def read_skab(folder: Path) -> list[Recording]:
    """The Skoltech Anomaly Benchmark's 34 runs of one pump. Raises FileNotFoundError when there are none."""
    files = sorted(path for path in folder.glob("*/*.csv.gz") if path.parent.name != "anomaly-free")
    if not files:
        raise FileNotFoundError(f"{folder} has no */*.csv.gz: put the SKAB data set there")
    return [_skab_file(path) for path in files]


def read_smd(folder: Path) -> list[Recording]:
    """Machines of the Server Machine Dataset, what is unlabelled first. Raises FileNotFoundError when there are none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder} has no *.npz: put the SMD data set there")
    return [_smd_file(path) for path in files]


def _nab_file(folder: Path, name: str, windows: list[list[str]]) -> Recording:
    with gzip.open(folder / f"{name}.gz", "rt", newline="") as lines:
        _, *rows = csv.reader(lines)
    times = np.array([_milliseconds(row[0]) for row in rows], np.int64)
    values = np.array([[float(row[1])] for row in rows])
    bounds = np.array([[_milliseconds(stamp) for stamp in window] for window in windows], np.int64).reshape(-1, 2)
    # As the benchmark does: by the first row of that time, in the file's own order.
    events = np.array([[int(np.flatnonzero(times == bound)[0]) for bound in pair] for pair in bounds], np.int64)
    return Recording(name, ("value",), times, values, events.reshape(-1, 2))


def _skab_file(path: Path) -> Recording:
    with gzip.open(path, "rt", newline="") as lines:
        head, *rows = csv.reader(lines, delimiter=";")
    label = head.index("anomaly")
    times = np.array([_milliseconds(row[0]) for row in rows], np.int64)
    values = np.array([row[1:label] for row in rows], np.float64)
    labels = np.array([float(row[label]) > 0 for row in rows])
    return Recording(f"{path.parent.name}/{path.name}", tuple(head[1:label]), times, values, runs(labels))


def _smd_file(path: Path) -> Recording:
    with np.load(path) as content:
        train, test, labels = content["train"], content["test"], content["label"].astype(np.bool_)
        causes = [str(line) for line in np.atleast_1d(content["root_cause"])]
    values = np.concatenate([train, test]).astype(np.float64)
    named = [line.split(":") for line in causes if ":" in line]
    spans = np.array([[int(edge) for edge in span.split("-")] for span, _ in named], np.int64)
    metrics = tuple(frozenset(int(metric) - 1 for metric in listed.split(",")) for _, listed in named)
    events = runs(labels) + len(train)
    matched = tuple(_cause_of(event - len(train), spans, metrics) for event in events)
    times = _SMD_START + np.arange(len(values), dtype=np.int64) * _MINUTE
    names = tuple(f"metric-{number + 1}" for number in range(values.shape[1]))
    return Recording(path.stem, names, times, values, events, len(train), matched)


def _cause_of(
    event: NDArray[np.int64], spans: NDArray[np.int64], metrics: tuple[frozenset[int], ...]
) -> frozenset[int]:
    overlap = np.minimum(spans[:, 1], event[1]) - np.maximum(spans[:, 0], event[0])
    return metrics[int(np.argmax(overlap))]


def _milliseconds(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp() * 1000)
