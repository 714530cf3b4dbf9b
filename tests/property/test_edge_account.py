"""Whatever is late, too late, repeated, dropped or restarted: the account balances, and says what the centre can have."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.edge_bench import T0, Bench, Sample, Window, edge_config, message, rows, telemetry
from tests.examples import examples

samples = st.builds(
    Sample,
    device=st.sampled_from(["a", "b"]),
    metric=st.just("m"),
    ts=st.integers(0, 60).map(lambda step: T0 + step * 997),
    value=st.sampled_from([0.1, 0.2, 3.5]),
)


class Act(NamedTuple):
    """One commit, and what comes after it; `squeeze` leaves the outbox no room for what was not tried yet."""

    samples: list[Sample]
    garbage: bool
    flush: bool
    squeeze: bool
    restart: bool


acts = st.lists(
    st.builds(
        Act,
        samples=st.lists(samples, max_size=8),
        garbage=st.booleans(),
        flush=st.booleans(),
        squeeze=st.booleans(),
        restart=st.integers(0, 4).map(lambda number: number == 0),
    ),
    min_size=1,
    max_size=10,
)


def stored(bench: Bench) -> int:
    """The samples that a store has in the end: of each window those of the highest revision that was not dropped."""
    newest: dict[Window, tuple[int, int]] = {}
    for batch in bench.batches():
        assert batch.ledger.unaccounted() == 0
        for revision, window, numbers in rows(batch):
            newest[window] = max(newest.get(window, (-1, 0)), (revision, numbers.count))
    return sum(count for _, count in newest.values())


def at(device: str, seconds: float, value: float) -> Sample:
    return Sample(device, "m", T0 + round(seconds * 1000), value)


# A correction of which an older revision was merged away, and a still older one was not.
MERGED = [
    Act([at("a", 39.88, 0.1), at("a", 54.835, 0.1)], garbage=False, flush=True, squeeze=False, restart=False),
    Act([at("a", 43.868, 0.1)], garbage=False, flush=True, squeeze=False, restart=False),
    Act(
        [at("b", 51.844, 0.1), at("a", 47.856, 0.2), at("b", 27.916, 3.5)],
        garbage=False,
        flush=True,
        squeeze=False,
        restart=False,
    ),
    Act([at("a", 43.868, 3.5), at("b", 35.892, 3.5)], garbage=False, flush=True, squeeze=True, restart=False),
]


@settings(max_examples=examples(30), deadline=None)
@given(acts)
@example(MERGED)
def test_the_account_always_balances(story: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = edge_config(Path(folder), allowed_lateness_s=15.0, heartbeat_s=3600.0, idle_close_s=5.0)
        bench = Bench(config)
        given_out = 0
        for act in story:
            bench.take([message(sample) for sample in act.samples] + [telemetry("a", b"{")] * act.garbage, T0 + 61_000)
            given_out += len(act.samples) + act.garbage
            bench.rooms.room._most_bytes = 0 if act.squeeze else 1 << 30
            if act.flush:
                bench.flush(T0 + 61_000)
            totals = bench.rooms.ledger.totals
            assert totals.received == given_out
            assert (totals.open, totals.unaccounted()) == (bench.rooms.windows.samples(), 0)
            assert totals.rolled_up == stored(bench)
            if act.restart:
                bench.restart()
        bench.rooms.room._most_bytes = 1 << 30
        bench.flush(T0 + 10**9)
        totals = bench.rooms.ledger.totals
        assert (totals.received, totals.open, totals.unaccounted()) == (given_out, 0, 0)
        assert totals.rolled_up == stored(bench)
        bench.close()
