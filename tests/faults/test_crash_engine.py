"""Power goes at chosen operations on a gateway's disk: what was acknowledged is counted once, and the account balances.

`TIDEGATE_CRASH_SEEDS` says how many stories; `tidegate bench crash` is the same, and `make prove` asks it for 10,000.
"""

from __future__ import annotations

import os

import pytest

from compose.bench.crash.phases import Phase
from compose.bench.crash.run import LEAST_SHARE, cores, report, run

SEEDS = int(os.environ.get("TIDEGATE_CRASH_SEEDS", str(3 * len(Phase))))


@pytest.mark.whole
def test_no_acknowledged_sample_is_lost_or_counted_twice_whenever_the_power_goes() -> None:
    found = report(run(range(SEEDS), cores() if SEEDS > 100 else 1))
    print(found)  # noqa: T201 - how much was covered, and the seeds that failed
    assert found.good(), found.failures
    assert found.seeds == SEEDS
    assert found.acknowledged >= 1000 * SEEDS
    assert found.dropped == 0
    assert not found.untold
    assert found.rarest() >= LEAST_SHARE
