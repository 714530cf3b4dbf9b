"""Batches of rollups for tests, from rows that are easy to write down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ingest.contract.batch import COLUMNS, REPLACED_COLUMNS, DeviceRow, MetricRow, Origin, RollupBatch
from ingest.contract.details import Details
from ingest.contract.ledger import GENESIS, LedgerEntry
from ingest.contract.sketch import sketch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ORIGIN = Origin("acme", "plant-7", "gw-1", "boot-1")
T0 = 1_700_000_000_000


class Row(NamedTuple):
    """One window: the samples' values decide its statistics."""

    device: str = "pump-1"
    metric: str = "temperature"
    labels: tuple[tuple[str, str], ...] = ()
    start: int = T0
    width: int = 10_000
    values: tuple[float, ...] = (1.0, 2.0, 3.0)
    revision: int = 0
    quantiles: bool = False
    growth: tuple[float, int] | None = None
    """Increase and resets."""
    changes: int | None = None


def make_batch(
    rows: Sequence[Row],
    *,
    origin: Origin = ORIGIN,
    seq: int = 1,
    replaces: Sequence[Row] = (),
    ledger: LedgerEntry | None = None,
    created: int = T0 + 60_000,
) -> RollupBatch:
    """A batch of these rows, one that the decoder takes; of `replaces` only the windows' names count."""
    devices, metrics = tables((*rows, *replaces))
    columns = {name: [row_value(row, name, devices, metrics) for row in rows] for name in COLUMNS}
    replaced = {name: [row_value(row, name, devices, metrics) for row in replaces] for name in REPLACED_COLUMNS}
    return RollupBatch(
        origin=origin,
        seq=seq,
        created=created,
        historical=False,
        devices=[DeviceRow(name, "2.2.0", "rev-a", "pumps") for name in devices],
        metrics=[MetricRow(name, labels=labels) for name, labels in metrics],
        columns={name: np.array(values, COLUMNS[name]) for name, values in columns.items()},
        replaces={name: np.array(values, REPLACED_COLUMNS[name]) for name, values in replaced.items() if replaces},
        details=_details(rows),
        ledger=ledger or balanced_entry(seq, sum(len(row.values) for row in rows)),
    )


def _details(rows: Sequence[Row]) -> Details:
    sketched, counted, stated = (
        np.array([index for index, row in enumerate(rows) if there(row)], np.int64)
        for there in (lambda row: row.quantiles, lambda row: row.growth, lambda row: row.changes is not None)
    )
    window = np.repeat(np.arange(len(sketched)), [len(rows[index].values) for index in sketched])
    values = np.array([value for index in sketched for value in rows[index].values], float)
    growth = [rows[index].growth or (0.0, 0) for index in counted]
    return Details(
        sketched,
        sketch(window, values, len(sketched)),
        counted,
        np.array([increase for increase, _ in growth], float),
        np.array([resets for _, resets in growth], np.int64),
        stated,
        np.array([rows[index].changes for index in stated], np.int64),
    )


def all_rows(batch: RollupBatch) -> Any:
    return np.arange(len(batch))


def balanced_entry(seq: int, net: int, total: int | None = None, previous: bytes = GENESIS) -> LedgerEntry:
    total = net if total is None else total
    return LedgerEntry(
        seq=seq,
        received=total,
        rolled_up=total,
        duplicate=0,
        rejected={},
        dropped={},
        open=0,
        net=net,
        previous=previous,
    )


def tables(rows: Iterable[Row]) -> tuple[list[str], list[tuple[str, tuple[tuple[str, str], ...]]]]:
    rows = list(rows)
    return list(dict.fromkeys(row.device for row in rows)), list(
        dict.fromkeys((row.metric, row.labels) for row in rows)
    )


def row_value(row: Row, name: str, devices: list[str], metrics: list[tuple[str, tuple[tuple[str, str], ...]]]) -> Any:
    statistics: dict[str, Callable[[], float]] = {
        "device": lambda: devices.index(row.device),
        "metric": lambda: metrics.index((row.metric, row.labels)),
        "count": lambda: len(row.values),
        "sum": lambda: sum(row.values),
        "sumsq": lambda: sum(value * value for value in row.values),
        "min": lambda: min(row.values),
        "max": lambda: max(row.values),
        "last": lambda: row.values[-1],
    }
    return statistics[name]() if name in statistics else getattr(row, name)
