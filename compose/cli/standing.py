"""How a gateway stands, as people read it: a table from what its files say and, while it runs, from what it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.live.protocol import LiveStatus
    from edge_aggregator.live.talkers import Talker
    from edge_aggregator.status import EdgeStatus

Line = tuple[str, str]

_MIB = 1024 * 1024
_MOST_SPANS = 5
_MOST_TALKERS = 5


def table(found: EdgeStatus, live: LiveStatus | None, config: EdgeConfig, now: int, away: str) -> str:
    """All lines; `away` says why there is no `live`."""
    lines = [*_of_files(found, config, now), *(_of_process(live) if live else [("running", f"no: {away}")])]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def _of_files(found: EdgeStatus, config: EdgeConfig, now: int) -> Iterator[Line]:
    totals = found.totals
    yield "gateway", f"{config.gateway} of {config.tenant}/{config.site}, boot {found.boot}, batch {found.seq}"
    yield "account", "balanced" if found.balanced else f"DOES NOT BALANCE, {totals.unaccounted()} samples unaccounted"
    yield "samples", _account(msgspec.structs.asdict(totals.counts()))
    for number, (hardware, counts) in enumerate(sorted(found.classes.items()) if any(found.classes) else ()):
        yield "" if number else "by hardware", f"{hardware or '(unknown)'}: {_account(counts)}"
    for name, counts in (("rejected", totals.rejected), ("dropped", totals.dropped), ("over quota", found.over_quota)):
        if counts:
            yield name, ", ".join(f"{key} {count:,}" for key, count in counts.items())
    if found.skewed:
        yield "from the future", f"{found.skewed:,} samples, held to the time of their arrival: see clocks"
    yield "devices", f"{found.devices:,} with {found.series:,} series"
    yield "journal", _fill(found.journal_bytes, config.journal_bytes)
    yield "outbox", f"{_fill(found.outbox_bytes, config.outbox_bytes)}, {found.outbox_records:,} records"
    if found.oldest_unsent is not None:
        yield "oldest unsent", f"{rfc3339(found.oldest_unsent)}, {max(0, now - found.oldest_unsent) / 1000:,.1f} s ago"
    yield "waiting", f"{found.commands_waiting} commands, {found.requests_waiting} requests for samples"
    for alarm in found.alarms:
        yield "ALARM", f"{alarm.rule} of {alarm.device} {alarm.metric}: {alarm.state}, {rfc3339(alarm.at)}"
    if found.quarantined_blocks:
        yield "QUARANTINED", f"{found.quarantined_blocks} blocks of the journal cannot be read"
        for span in found.lost_blocks[-_MOST_SPANS:]:
            yield "", f"{span.first} to {span.last}: {span.reason}"


def _account(counts: Mapping[str, int]) -> str:
    parts = {name.replace("_", " "): f"{count:,}" for name, count in counts.items()}
    received = parts.pop("received")
    return f"{received} received = {' + '.join(f'{count} {name}' for name, count in parts.items())}"


def _of_process(live: LiveStatus) -> Iterator[Line]:
    yield "running", f"for {live.up_s:,.0f} s, {', '.join(f'{n}: {s}' for n, s in live.receivers.items())}"
    for part, reason in live.not_ready.items():
        yield "NOT READY", f"{part}: {reason}"
    yield "last minute", f"{live.rates.samples_per_s:,.1f} samples/s in {live.rates.messages_per_s:,.1f} messages/s"
    if live.lag:
        yield (
            "lag",
            f"{live.lag.newest_s:.2f} s from a window's end to Kafka's acknowledgement, p99 {live.lag.p99_s:.2f} s",
        )
    yield from _talkers("most samples", live.talkers_by_samples)
    yield from _talkers("most bytes", live.talkers_by_bytes)
    if live.clocks_ahead:
        yield "clocks", ", ".join(f"{c.device} {c.ahead_ms / 1000:+.3f} s" for c in live.clocks_ahead[:_MOST_TALKERS])


def _talkers(title: str, talkers: Sequence[Talker]) -> Iterator[Line]:
    shown = talkers[:_MOST_TALKERS]
    width = max((len(talker.device) for talker in shown), default=0)
    for number, talker in enumerate(shown):
        rates = f"{talker.samples_per_s:,.1f} samples/s, {talker.bytes_per_s / 1024:,.1f} KiB/s"
        yield title if number == 0 else "", f"{talker.device:<{width}}  {rates}"


def _fill(used: int, bound: int) -> str:
    unit, size = ("MiB", _MIB) if bound >= _MIB else ("KiB", 1024)
    return f"{used / size:,.1f} of {bound / size:,.0f} {unit}, {used / bound:.0%}"
