"""The columnar batch of rollups: what travels from a gateway to the centre."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from ingest.contract.details import NO_DETAILS, Details
from ingest.contract.ledger import LedgerEntry

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 2
"""The version written; the current one and the two before it are read."""

COLUMNS: dict[str, np.dtype[Any]] = {
    "device": np.dtype("<u4"),
    "metric": np.dtype("<u2"),
    "start": np.dtype("<i8"),
    "width": np.dtype("<u4"),
    "count": np.dtype("<u4"),
    "sum": np.dtype("<f8"),
    "sumsq": np.dtype("<f8"),
    "min": np.dtype("<f8"),
    "max": np.dtype("<f8"),
    "last": np.dtype("<f8"),
    "revision": np.dtype("<u2"),
}
"""Column name to little-endian dtype; `start` and `width` in ms, `device` and `metric` are indexes into the tables."""

REPLACED_COLUMNS: dict[str, np.dtype[Any]] = {
    "device": np.dtype("<u4"),
    "metric": np.dtype("<u2"),
    "start": np.dtype("<i8"),
    "width": np.dtype("<u4"),
}
"""The windows that this batch replaces by others of another width: the store removes them."""


class DeviceRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A device with its attributes as they were in the batch's windows."""

    device: str
    firmware: str = ""
    hardware: str = ""
    group: str = ""


class MetricRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A metric: `kind` is gauge, counter or state; `labels` are sorted (name, value) pairs."""

    name: str
    unit: str = ""
    kind: str = "gauge"
    labels: tuple[tuple[str, str], ...] = ()


class Origin(NamedTuple):
    """Who made a batch; `boot` names the gateway's durable state and changes only when that is lost."""

    tenant: str
    site: str
    gateway: str
    boot: str


class RollupBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Rollups of one gateway as columns of equal length (rows,), dtypes as in `COLUMNS`.

    `replaces` holds columns as in `REPLACED_COLUMNS`, empty when nothing is replaced; `details` what some rows say
    beside their statistics.
    """

    origin: Origin
    seq: int
    created: int
    historical: bool
    devices: list[DeviceRow]
    metrics: list[MetricRow]
    columns: dict[str, Any]
    ledger: LedgerEntry
    replaces: dict[str, Any] = msgspec.field(default_factory=dict)
    details: Details = NO_DETAILS
    version: int = VERSION

    def __len__(self) -> int:
        return len(self.columns["device"])

    def column(self, name: str) -> NDArray[Any]:
        """One column, shape (rows,), dtype as in `COLUMNS`."""
        array: NDArray[Any] = self.columns[name]
        return array


def empty_columns(spec: dict[str, np.dtype[Any]] = COLUMNS) -> dict[str, NDArray[Any]]:
    """Columns without rows, of the right dtypes."""
    return {name: np.empty(0, dtype) for name, dtype in spec.items()}
