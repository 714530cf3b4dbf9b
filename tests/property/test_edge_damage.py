"""Damage anywhere in a gateway's files: it starts and accounts for what is lost, or says what is damaged and what to do."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.storage import StorageFailedError
from tests.edge_bench import T0, Bench, Sample, edge_config, message

FAR = T0 + 10**9


def harmed(data: bytes, kind: str, seed: int) -> bytes:
    """Bytes with a bit flipped, a stretch zeroed, or the end cut off."""
    rng = random.Random(seed)
    at = rng.randrange(len(data))
    if kind == "flip":
        return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
    if kind == "zero":
        until = min(len(data), at + rng.choice((1, 100, 4096, 10_000)))
        return data[:at] + bytes(until - at) + data[until:]
    return data[:at]


kinds = st.sampled_from(["flip", "zero", "cut"])
seeds = st.integers(0, 2**32)


def run(folder: Path) -> Bench:
    """A gateway with three devices, two minutes long, of which the last samples are still open."""
    bench = Bench(edge_config(folder, heartbeat_s=3600.0, allowed_lateness_s=0.0))
    for second in range(120):
        at = T0 + second * 1000
        bench.take([message(Sample(device, "m", at, second / 3)) for device in "abc"], at)
        if second % 10 == 9:
            bench.flush(at)
    return bench


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    run(folder).close()
    return folder


@settings(deadline=None, max_examples=60)
@given(kind=kinds, seed=seeds)
def test_a_damaged_state_is_never_taken_for_a_sound_one(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("harmed")
    shutil.copytree(sound, folder, dirs_exist_ok=True)
    path = folder / "edge" / "state.db"
    path.write_bytes(harmed(path.read_bytes(), kind, seed))
    try:
        bench = Bench(edge_config(folder, heartbeat_s=3600.0, allowed_lateness_s=0.0))
        bench.flush(FAR)
    except StorageFailedError as error:
        refusal = str(error)
    else:
        totals = bench.rooms.ledger.totals
        bench.close()
        assert (totals.received, totals.rolled_up, totals.unaccounted()) == (360, 360, 0)
        return
    assert "state.db" in refusal
    assert "start again" in refusal
