"""What the latency's fleet has behind it, and what is said when nobody was told of."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from analytics.detect.merge import Detector
from compose.bench.detect.latency import Heard, figures_of
from compose.bench.detect.latency_devices import METRICS, SITE, Devices, LatencyPlan
from compose.bench.detect.latency_past import Past
from compose.bench.detect.latency_processes import TENANT
from compose.bench.detect.rows import QUICK, WHOLE
from compose.bench.load import BenchFailedError
from ingest.contract.records import Record
from ingest.runtime.clock import ManualClock
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.secrets import public_key_text

UNTIL = 1_790_553_607_000
PLAN = LatencyPlan(devices=1_100, window_s=1.0, period_s=0.5, past=3)


def test_the_past_is_the_gateways_and_ends_before_it_begins() -> None:
    key = Ed25519PrivateKey.generate()
    gateways = Gateways([_config(key)])
    past = Past(PLAN, key, UNTIL)
    windows = [list(past.window(number)) for number in range(PLAN.past)]
    assert [len(window) for window in windows] == [2] * 3  # ten thousand rows a batch at the most
    batches = [
        gateways.read_batch(Record(made.topic, 0, 0, made.key, made.value, made.headers, UNTIL))
        for window in windows
        for made in window
    ]
    assert sum(map(len, batches)) == past.rows == 3 * 1_100 * METRICS
    ends = {end for batch in batches[-2:] for end in (batch.column("start") + batch.column("width")).tolist()}
    assert ends == {UNTIL}
    assert len({row.device for batch in batches for row in batch.devices}) == 1_100


def test_so_much_past_is_enough_for_pools_to_speak() -> None:
    plan = QUICK.latency
    key, engine = Ed25519PrivateKey.generate(), Engine(DetectConfig())
    gateways = Gateways([_config(key)])
    past = Past(plan, key, UNTIL)
    for number in range(plan.past):
        for made in past.window(number):
            engine.step(gateways.read_batch(Record(made.topic, 0, 0, made.key, made.value, made.headers, UNTIL)))
    cohorts = np.unique(engine.table.columns["cohort"][: plan.devices * METRICS])
    assert len(cohorts) == METRICS
    assert engine.pools.speaks(cohorts, np.full(METRICS, Detector.LEVEL)).all()


def test_when_nobody_is_told_of_it_says_why() -> None:
    plan = WHOLE.latency._replace(past=0)
    with pytest.raises(BenchFailedError, match=r"10000 like devices wait for 240 windows .* 0 past and 6 live"):
        figures_of(plan, Devices(plan, ManualClock(UNTIL)), Heard(plan))


def _config(key: Ed25519PrivateKey) -> GatewayConfig:
    public = public_key_text(key.public_key())
    return GatewayConfig(gateway=f"gateway-{SITE}", tenant=TENANT, site=SITE, public_key=public)
