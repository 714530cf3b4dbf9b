"""What the latency's fleet did before the bench began: windows that its gateway would have sent, for detection to learn from.

They are signed by the gateway's key and go through Kafka to the analytics process like all others, only faster than time.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import httpx
import numpy as np

from compose.bench.detect.fleet_batches import ledger_entry
from compose.bench.detect.latency_devices import LEVEL, METRICS, SITE
from compose.bench.detect.latency_processes import TENANT
from compose.bench.load import BenchFailedError
from edge_aggregator.outbox.fitting import MOST_ROWS
from ingest.contract.batch import DeviceRow, MetricRow, Origin, RollupBatch
from ingest.contract.batch_wire import encode_batch
from ingest.contract.commands import key_id
from ingest.contract.names import ANALYTICS_ROWS
from ingest.contract.records import Outgoing
from ingest.contract.topics import ROLLUPS
from ingest.runtime.gateways import signature_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from compose.bench.detect.latency_devices import LatencyPlan
    from compose.bench.load import Stand

_STANDSTILL_S = 120.0
_LOOK_S = 0.5
_ROWS = re.compile(rf"^{ANALYTICS_ROWS.name}{{.*}} (\S+)$", re.MULTILINE)


class Past:
    """`plan.past` windows of all devices, the last of which ends at or before `until` (ms); nothing is wrong in them."""

    def __init__(self, plan: LatencyPlan, key: Ed25519PrivateKey, until: int) -> None:
        self._plan, self._key, self._name = plan, key, key_id(key.public_key())
        self._chance = np.random.default_rng([plan.seed, 1])
        self._width = round(plan.window_s * 1000)
        self._first = (until // self._width - plan.past) * self._width
        self._seq = 0

    @property
    def rows(self) -> int:
        """Of all windows."""
        return self._plan.past * self._plan.devices * METRICS

    async def write(self, stand: Stand) -> None:
        """To the topic, a window at a time."""
        for number in range(self._plan.past):
            await stand.log.append(list(self.window(number)))

    def window(self, number: int) -> Iterator[Outgoing]:
        """All devices' rows of one window, in as many batches as a gateway would make of them."""
        most = MOST_ROWS // METRICS
        for first in range(0, self._plan.devices, most):
            devices = range(first, min(first + most, self._plan.devices))
            value = encode_batch(self._batch(devices, self._first + number * self._width))
            yield Outgoing(ROLLUPS, SITE.encode(), value, signature_headers(value, self._key, self._name))

    def _batch(self, devices: range, start: int) -> RollupBatch:
        self._seq += 1
        rows, samples = METRICS * len(devices), max(1, round(self._plan.window_s / self._plan.period_s))
        said = np.round(LEVEL + self._chance.normal(0, 1, (samples, rows)), 3)
        columns = {
            "device": np.tile(np.arange(len(devices), dtype="<u4"), METRICS),
            "metric": np.repeat(np.arange(METRICS, dtype="<u2"), len(devices)),
            "start": np.full(rows, start, "<i8"),
            "width": np.full(rows, self._width, "<u4"),
            "count": np.full(rows, samples, "<u4"),
            "sum": said.sum(axis=0),
            "sumsq": (said**2).sum(axis=0),
            "min": said.min(axis=0),
            "max": said.max(axis=0),
            "last": said[-1],
            "revision": np.zeros(rows, "<u2"),
        }
        return RollupBatch(
            origin=Origin(TENANT, SITE, f"gateway-{SITE}", "past"),
            seq=self._seq,
            created=start + self._width,
            historical=False,
            devices=[DeviceRow(f"device-{number}") for number in devices],
            metrics=[MetricRow(f"m{metric}") for metric in range(METRICS)],
            columns=columns,
            ledger=ledger_entry(self._seq, samples * rows),
        )


async def until_learned(port: int, rows: int) -> None:
    """The process that is observed at this port has seen so many rows. Raises BenchFailedError when it stands still."""
    seen = 0.0
    async with httpx.AsyncClient() as client:
        while seen < rows:
            before = seen
            try:
                async with asyncio.timeout(_STANDSTILL_S):
                    while (seen := await _seen(client, port)) == before:  # noqa: ASYNC110 - what is counted has no event
                        await asyncio.sleep(_LOOK_S)
            except (TimeoutError, httpx.TransportError) as error:
                said = f"detection has looked at {before:.0f} of {rows} rows and goes no further"
                raise BenchFailedError(said) from error


async def _seen(client: httpx.AsyncClient, port: int) -> float:
    answer = await client.get(f"http://127.0.0.1:{port}/metrics", timeout=_STANDSTILL_S)
    return sum(float(found) for found in _ROWS.findall(answer.text))
