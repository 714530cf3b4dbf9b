"""A configuration that cannot work is refused with what was found and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_aggregator.config import EdgeConfig, MetricConfig
from edge_aggregator.receive.config import BrokerConfig, ListenerConfig
from edge_aggregator.resolution.config import AdaptiveConfig
from edge_aggregator.widths import Widths
from ingest.runtime.config import ConfigError, parse_config
from tests.edge_bench import edge_config

BROKER = BrokerConfig(client_id="gw-1", topics=["tidegate/v1/site-1/#"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"site": "no/such"}, "site is 'no/such'"),
        ({"broker": BROKER, "listener": ListenerConfig(site="site-1")}, "both broker and listener"),
        ({"listener": ListenerConfig(site="elsewhere")}, "listener.site is 'elsewhere'"),
        ({"window_s": 0.0001}, "window_s is 0.0001"),
        ({"window_s": 0.0}, "window_s is 0.0"),
        ({"lease_s": 0.0}, "lease_s is 0.0"),
        ({"idle_close_s": -1.0}, "idle_close_s is -1.0"),
        ({"journal_age_s": 60.0}, "journal_age_s is 60, less than allowed_lateness_s 86400"),
        ({"journal_bytes": 1000}, "expected at least two files"),
        ({"journal_file_bytes": 10}, "journal_file_bytes is 10"),
        ({"max_payload_bytes": 0}, "max_payload_bytes is 0"),
        ({"max_series": 1 << 30}, "max_series is 1073741824"),
        ({"max_devices": 0}, "max_devices is 0"),
        ({"adaptive": AdaptiveConfig(width_s=10.0)}, "expected less than the usual width of windows, 10.0"),
        ({"site": "south", "broker": BROKER}, "broker.topics has 'tidegate/v1/site-1/#', but site is 'south'"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        edge_config(Path("anywhere"), **changes)


def test_a_toml_file_becomes_a_configuration() -> None:
    text = """
    tenant = "acme"
    site = "site-1"
    gateway = "gw-1"
    key_file = "gateway.pem"
    data_dir = "edge"
    [broker]
    client_id = "gw-1"
    topics = ["tidegate/v1/site-1/+/telemetry"]
    [[metrics]]
    metric = "slow_*"
    width_s = 60.0
    """
    config = parse_config(text, EdgeConfig, "edge.toml")
    assert config.metrics == [MetricConfig(metric="slow_*", width_s=60.0)]
    with pytest.raises(ConfigError, match="did you mean `window_s`"):
        parse_config("windows_s = 10.0", EdgeConfig, "edge.toml")


def test_the_first_pattern_that_matches_gives_the_width() -> None:
    widths = Widths(10_000, (("cpu_*", 1000), ("*_percent", 60_000)))
    assert [widths.of(metric) for metric in ("cpu_percent", "memory_percent", "other")] == [1000, 60_000, 10_000]
