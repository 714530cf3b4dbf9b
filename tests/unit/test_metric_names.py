"""Metric names as Prometheus wants them (the rules of `promtool check metrics`), and what a gateway exports."""

from __future__ import annotations

import re

import pytest

from dashboards.api import measures
from ingest.contract import names
from ingest.contract.names import MetricSpec

SPECS = [*names.ALL, *(spec for spec in vars(measures).values() if isinstance(spec, MetricSpec))]
NO_BASE_UNIT = re.compile(
    r"_(ms|milliseconds|minutes|hours|days|kb|mb|kib|mib|kilobytes|megabytes|percent|celsius_milli)(_|$)"
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_names_follow_the_conventions(spec: MetricSpec) -> None:
    assert re.fullmatch(r"tidegate_[a-z][a-z0-9_]*", spec.name)
    assert spec.name.endswith("_total") == (spec.kind == "counter"), "counters, and only they, end in _total"
    assert not NO_BASE_UNIT.search(spec.name), "base units: seconds, bytes, ratios"
    assert not spec.name.endswith(("_count", "_sum", "_bucket", "_info"))
    assert not re.search(r"counter|gauge|histogram|summary", spec.name), "the type is no part of a name"
    assert spec.kind != "histogram" or spec.name.endswith(("_seconds", "_bytes"))
    assert re.search(r"[.!?:]$|[a-z`)]$", spec.meaning)
    assert len(spec.meaning) > 10
    for label in spec.labels:
        assert re.fullmatch(r"[a-z][a-z_]*", label)
        assert label not in {"le", "quantile", "job", "instance"}, "what Prometheus means by these is something else"
        assert label not in {"device", "series"}, "never a device as a label"


def test_no_name_is_given_twice() -> None:
    found = [spec.name for spec in SPECS]
    assert len(found) == len(set(found))
