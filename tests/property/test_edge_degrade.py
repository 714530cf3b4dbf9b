"""A full outbox: whatever is merged, dropped, sent out of order, late or restarted, the store's windows tile time and add up."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.config import MetricConfig
from edge_aggregator.forward import Signer
from edge_aggregator.outbox.coarsen import Span, coarsen
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.outbox.pile import Pile, pile
from ingest.contract.reasons import LedgerFinding
from ingest.contract.records import Record
from ingest.contract.topics import ROLLUPS
from ingest.door.account import Account
from ingest.door.book import Book
from ingest.door.keeping import Keeper
from ingest.door.passage import Passage
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.health import Health
from ingest.runtime.secrets import public_key_text
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import SITE, T0, Bench, Sample, edge_config, message
from tests.examples import examples
from tests.memory_store import MemoryStore
from tests.rollup_batches import Row, make_batch

if TYPE_CHECKING:
    from ingest.contract.records import Outgoing

TELEMETRY = Telemetry("degrade")
KEY = Ed25519PrivateKey.generate()
EVERY_MS = 5_000
STEP_MS = 60_000


class Act(NamedTuple):
    """A minute of one sample every five seconds from some devices, and what comes after it."""

    devices: frozenset[str]
    late: list[int]
    bound: int
    send: str
    restart: bool


acts = st.lists(
    st.builds(
        Act,
        devices=st.frozensets(st.sampled_from("ab")),
        late=st.lists(st.integers(0, 2000), max_size=3),
        bound=st.sampled_from([0, 3000, 6000, 20_000, 1 << 30]),
        send=st.sampled_from(["", "", "", "fresh", "backlog", "tried"]),
        restart=st.integers(0, 5).map(lambda number: number == 0),
    ),
    min_size=3,
    max_size=30,
)


widths = st.fixed_dictionaries(dict.fromkeys("mn", st.sampled_from([10.0, 10.0, 5.0, 45.0, 120.0, 420.0, 900.0])))


@settings(max_examples=examples(12), deadline=None)
@given(acts, widths, st.randoms(use_true_random=False))
def test_what_arrives_in_the_end_tiles_time_and_adds_up(story: list[Act], width: dict[str, float], random: Any) -> None:
    metrics = [MetricConfig(metric=metric, width_s=width_s) for metric, width_s in width.items()]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(edge_config(Path(folder), heartbeat_s=3600.0, idle_close_s=5.0, metrics=metrics))
        arrived: list[Outgoing] = []
        for minute, act in enumerate(story):
            live(bench, act, minute, random)
            arrived += sent(bench, act.send)
            if act.restart:
                bench.restart()
        bench.rooms.room._most_bytes = 1 << 30
        end = T0 + len(story) * STEP_MS
        bench.take([message(Sample("b", "m", end, 0.0))], end)
        bench.flush(end + 10**7)
        while bench.rooms.state.outbox.records:
            arrived += sent(bench, "fresh") + sent(bench, "backlog")
        totals = bench.rooms.ledger.totals
        owed = (bench.rooms.ledger.owed, bench.rooms.ledger.gone)
        bench.close()
    random.shuffle(arrived)
    store, account = asyncio.run(delivered(arrived + random.choices(arrived, k=3)))
    assert (totals.open, totals.unaccounted(), owed) == (0, 0, (0, ()))
    assert sum(window.samples for window in store.windows.values()) == totals.rolled_up
    assert (account.audit.finding, account.breach) == (LedgerFinding.BALANCED, None)
    assert (account.stored, account.totals.rolled_up) == (totals.rolled_up, totals.rolled_up)
    by_series = defaultdict(list)
    for place, window in store.windows.items():
        by_series[place.device, place.metric].append((place.start, place.start + window.width))
    assert all(one[1] <= other[0] for spans in by_series.values() for one, other in pairwise(sorted(spans)))


def live(bench: Bench, act: Act, minute: int, random: Any) -> None:
    start = T0 + minute * STEP_MS
    new = [
        Sample(device, metric, start + at, float(at % 7))
        for device in sorted(act.devices)
        for metric in ("m", "n")
        for at in range(0, STEP_MS, EVERY_MS)
    ]
    late = [Sample("a", "m", max(T0, start - at * 1000) + 1, 5.0) for at in act.late]
    bench.take([message(sample) for sample in [*new, *late]], start + STEP_MS)
    bench.rooms.room._most_bytes = act.bound
    bench.flush(start + STEP_MS)
    totals = bench.rooms.ledger.totals
    assert (totals.open, totals.unaccounted()) == (bench.rooms.windows.samples(), 0)


def sent(bench: Bench, how: str) -> list[Outgoing]:
    """What leaves; `tried`: it arrives, and the gateway does not hear of it before it starts again."""
    waiting = bench.core.backlog(2000) if how == "backlog" else bench.core.fresh() if how else []
    signer = Signer(KEY, historical_after_ms=60_000)
    records = [signer.sign(one, T0) for one in waiting if one.kind is Kind.ROLLUPS]
    if how == "tried":
        bench.core.returned(waiting)
    elif waiting:
        bench.core.sent(waiting)
    return records


async def delivered(records: list[Outgoing]) -> tuple[MemoryStore, Account]:
    store, book = MemoryStore(), Book()
    gateway = GatewayConfig(gateway="gw-1", tenant="acme", site=SITE, public_key=public_key_text(KEY.public_key()))
    keeper = Keeper(store, health=Health(), draining=asyncio.Event(), make_backoff=lambda: None)  # type: ignore[arg-type,return-value]  # the store is never away
    passage = Passage(Gateways([gateway]), book, keeper, TELEMETRY)
    for offset, sent_ in enumerate(records):
        outcome = await passage.take(Record(ROLLUPS, 0, offset, sent_.key, sent_.value, sent_.headers, 0))
        assert outcome.outcome in {"stored", "duplicate"}
    (account,) = book.accounts.values()
    return store, account


rows = st.builds(
    Row,
    device=st.sampled_from(["a", "b"]),
    metric=st.sampled_from(["m", "n"]),
    start=st.integers(0, 29).map(lambda number: T0 + number * 10_000),
    width=st.just(10_000),
    values=st.lists(st.sampled_from([0.1, 0.2, 1e16, -1e16, 3.0]), min_size=1, max_size=3).map(tuple),
    labels=st.just(()),
    revision=st.just(0),
    quantiles=st.booleans(),
    growth=st.none(),
    changes=st.none(),
)


@settings(deadline=None)
@given(
    st.lists(rows, max_size=40, unique_by=lambda row: (row.device, row.metric, row.start)), st.sampled_from(["a", "ab"])
)
def test_wider_windows_are_those_of_a_naive_loop(given_rows: list[Row], free: str) -> None:
    given_rows.sort(key=lambda row: row.start)
    batch = make_batch(given_rows)
    whole = pile([batch], [batch.column("count").astype(np.int64)])
    free_rows = np.array([row.device in free for row in given_rows], np.bool_)
    first = T0 // 60_000 * 60_000
    done = coarsen(whole, Span(first, first + 240_000), np.full(whole.size, 60_000), free_rows)
    assert found(done.coarse) == naive(given_rows, free)
    assert done.coarse.details.sketches.total().tolist() == [
        int(done.coarse.columns["count"][row]) for row in done.coarse.details.sketch_row.tolist()
    ]


def found(coarse: Pile) -> dict[tuple[str, str, int], tuple[float, ...]]:
    names = ("count", "sum", "sumsq", "min", "max", "last")
    return {
        (coarse.devices[device].device, coarse.metrics[metric].name, start): (*numbers, net)
        for device, metric, start, *numbers, net in zip(
            *(coarse.columns[name].tolist() for name in ("device", "metric", "start", *names)),
            coarse.net.tolist(),
            strict=True,
        )
    }


def naive(given_rows: list[Row], free: str) -> dict[tuple[str, str, int], tuple[float, ...]]:
    wide: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    first = T0 // 60_000 * 60_000
    for row in given_rows:
        if first <= row.start < first + 240_000 and row.device in free:
            wide[row.device, row.metric, row.start // 60_000 * 60_000].append(row)
    merged = {}
    for window, parts in wide.items():
        total, squares = 0.0, 0.0
        for part in parts:
            total += sum(part.values)
            squares += sum(value * value for value in part.values)
        numbers = [value for part in parts for value in part.values]
        count = len(numbers)
        merged[window] = (count, total, squares, min(numbers), max(numbers), parts[-1].values[-1], count)
    return merged
