"""What a gateway answers to a request: chunks of samples, the last one with its summary, and the line of the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from edge_aggregator.recorder.selection import rows_of
from ingest.contract.batch import DeviceRow, MetricRow
from ingest.contract.batch_checks import TEXT_LIMIT
from ingest.contract.events import PullEvent
from ingest.contract.records import LATEST_MS, Outgoing, cloud_event_headers, event_record
from ingest.contract.samples import (
    SAMPLE_COLUMNS,
    UNREADABLE_LIMIT,
    SampleChunk,
    Summary,
    UnreadableBlock,
    encode_samples,
)
from ingest.contract.topics import PULLS, SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_aggregator.decode.decoded import Samples
    from edge_aggregator.journal.block import LostBlock
    from edge_aggregator.names import Names
    from edge_aggregator.recorder.table import OpenRequest
    from ingest.contract.batch import Origin
    from ingest.contract.requests import SampleRequest

CHUNK_BYTES = 900_000
CHUNK_SAMPLES = 32_768
"""22 bytes each, and their names beside them."""


class Answer(msgspec.Struct, frozen=True):
    """How a request was answered; `told`: the last chunk has been sent already. Fields as in Summary and PullEvent."""

    outcome: str
    attempt: int = 0
    samples: int = 0
    chunks: int = 0
    bytes: int = 0
    covered_from: int = 0
    covered_until: int = 0
    unreadable_blocks: int = 0
    unreadable: tuple[UnreadableBlock, ...] = ()
    told: bool = False


class Part(NamedTuple):
    """A chunk that can be sent: the record, not signed yet, and how many samples it has."""

    record: Outgoing
    samples: int


class Answers:
    """Makes records; `names` may grow meanwhile, in another thread."""

    def __init__(self, origin: Origin, names: Names) -> None:
        self._origin, self._names = origin, names
        self._source = f"tidegate/{origin.site}/{origin.gateway}"

    def parts(self, begun: OpenRequest, samples: Samples, first: int, now: int) -> Iterator[Part]:
        """Samples as chunks, numbered from `first` on, none above `CHUNK_BYTES`."""
        pieces = [self._named(samples)]
        while pieces:
            piece = pieces.pop()
            count = len(piece.ts)
            if not count:
                continue
            value = encode_samples(self._chunk(begun, piece, first, now)) if count <= CHUNK_SAMPLES else b""
            if value and (len(value) <= CHUNK_BYTES or count == 1):
                name = f"{begun.request.request}/{begun.attempt}/{first}"
                yield Part(self._record(name, value, now, begun.trace), count)
                first += 1
            else:  # too many, or with names that are too long
                half = CHUNK_SAMPLES if count > CHUNK_SAMPLES else count // 2
                pieces += [rows_of(piece, slice(half, None)), rows_of(piece, slice(half))]

    def last(
        self, request: SampleRequest, answer: Answer, *, attempt: int, now: int, trace: str
    ) -> tuple[Outgoing, int]:
        """The chunk that closes an answer of `answer.chunks` chunks, and its size in bytes."""
        summary = Summary(
            outcome=answer.outcome,
            samples=answer.samples,
            chunks=answer.chunks + 1,
            covered_from=answer.covered_from,
            covered_until=answer.covered_until,
            unreadable_blocks=answer.unreadable_blocks,
            unreadable=list(answer.unreadable),
        )
        chunk = SampleChunk(
            origin=self._origin,
            request=request.request,
            attempt=attempt,
            chunk=answer.chunks,
            created=now,
            devices=[],
            metrics=[],
            columns={name: np.empty(0, dtype) for name, dtype in SAMPLE_COLUMNS.items()},
            summary=summary,
        )
        value = encode_samples(chunk)
        name = f"{request.request}/{attempt}/{answer.chunks}"
        return self._record(name, value, now, trace), len(value)

    def audit(self, request: SampleRequest, answer: Answer, now: int, trace: str) -> Outgoing:
        """What became of a request here."""
        origin = self._origin
        event = PullEvent(
            tenant=origin.tenant,
            site=origin.site,
            gateway=origin.gateway,
            request=request.request,
            asked_by=request.asked_by,
            asked=request.issued,
            device=request.device,
            metrics=request.metrics,
            start=request.start,
            end=request.end,
            outcome=answer.outcome,
            samples=answer.samples,
            chunks=answer.chunks,
            bytes=answer.bytes,
            unreadable_blocks=answer.unreadable_blocks,
            at=now,
        )
        identity = f"{origin.gateway}/{origin.boot}/pull/{request.request}"
        return event_record(
            PULLS, origin.site, event, event_id=identity, source=self._source, time=now, trace=trace or None
        )

    def _named(self, samples: Samples) -> Samples:
        # A series may be forgotten meanwhile, together with the last file that had samples of it.
        series, index = np.unique(samples.series, return_inverse=True)
        known = np.array([bool(name.metric) for name in self._names.series.of(series.tolist())], np.bool_)
        return samples if known.all() else rows_of(samples, known[index])

    def _chunk(self, begun: OpenRequest, samples: Samples, number: int, now: int) -> SampleChunk:
        series, index = np.unique(samples.series, return_inverse=True)
        named = self._names.series.of(series.tolist())
        devices = {device: row for row, device in enumerate(dict.fromkeys(name.device for name in named))}
        metrics = {metric: row for row, metric in enumerate(dict.fromkeys((n.metric, n.labels) for n in named))}
        device = np.array([devices[name.device] for name in named], np.uint32)
        metric = np.array([metrics[name.metric, name.labels] for name in named], np.uint16)
        return SampleChunk(
            origin=self._origin,
            request=begun.request.request,
            attempt=begun.attempt,
            chunk=number,
            created=now,
            devices=[DeviceRow(self._names.devices[number]) for number in devices],
            metrics=[MetricRow(name, labels=labels) for name, labels in metrics],
            columns={"device": device[index], "metric": metric[index], "ts": samples.ts, "value": samples.value},
        )

    def _record(self, name: str, value: bytes, now: int, trace: str) -> Outgoing:
        headers = cloud_event_headers(
            event_id=f"{self._origin.gateway}/{self._origin.boot}/samples/{name}",
            source=self._source,
            event_type=f"tidegate.{SAMPLES}",
            time=now,
            content_type="application/msgpack",
            trace=trace or None,
        )
        return Outgoing(SAMPLES, self._origin.site.encode(), value, headers)


def unreadable(lost: Iterable[LostBlock]) -> tuple[UnreadableBlock, ...]:
    """Blocks that could not be read, as a summary names them."""
    first = sorted(lost, key=lambda block: block.position)[:UNREADABLE_LIMIT]
    return tuple(
        UnreadableBlock(block.position, _printable(block.reason), _time(block.min_ts), _time(block.max_ts))
        for block in first
    )


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:TEXT_LIMIT]


def _time(ms: int) -> int:
    return min(max(ms, 0), LATEST_MS)
