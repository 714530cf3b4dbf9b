"""What users would pick, in small: each says something of an outlier, and is measured as ours is."""

from __future__ import annotations

import numpy as np
import pytest

from compose.bench.detect.peers import PEERS, SMALL, measure_peer, peer_runs, run_peers
from compose.bench.detect.sets import Recording


def recording(name: str, rows: int, seed: int) -> Recording:
    values = np.random.default_rng(seed).normal(10, 1, rows)
    event = rows * 3 // 4
    values[event : event + 5] += 12
    times = np.arange(rows, dtype=np.int64) * 60_000
    return Recording(name, ("value",), times, values[:, None], np.array([[event - 10, event + 10]]))


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_tells_an_outlier_from_noise(name: str) -> None:
    found = measure_peer(name, [recording(f"{SMALL}/one", 400, seed) for seed in range(2)])
    assert found["points_per_core_second"] > 0
    # Half-space trees of 250 points have hardly begun; whoever looks at how far a value is off must find it.
    assert found["nab_standard"] > (0 if name == "river_half_space_trees" else 50)


def test_a_peer_says_the_same_again() -> None:
    files = [recording(f"{SMALL}/one", 300, 5)]
    for name in PEERS:
        one, again = (measure_peer(name, files) for _ in range(2))
        assert {k: v for k, v in one.items() if k.startswith("nab")} == {
            k: v for k, v in again.items() if k.startswith("nab")
        }


def test_the_slow_ones_get_the_small_part_only() -> None:
    done: list[int] = []
    found = run_peers([recording(f"{SMALL}/one", 300, 1), recording("realTweets/two", 300, 2)], done.append)["peers"]
    assert found["whole"].keys() == {name for name, peer in PEERS.items() if not peer.slow}
    assert found[SMALL].keys() == PEERS.keys() | {"tidegate"}
    assert sum(done) == peer_runs()
