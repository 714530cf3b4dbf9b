"""Our rules for Prometheus users, judged by promtool: each alert fires when it should, not before, and not for others."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ingest.contract import names

pytestmark = pytest.mark.servers("prometheus")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "dashboards" / "prometheus"
FILES = sorted(FOLDER.glob("*.yml"))
EDGE = 'job="tidegate",instance="edge:9461"'
OF_EDGE = {"instance": "edge:9461"}


class Case(NamedTuple):
    """Series by minute; the alert must be silent at `before` and, with these labels and value, fire at `at`."""

    alert: str
    series: dict[str, str]
    before: str
    at: str
    labels: dict[str, str]
    summary: str


CASES = [
    Case(
        "TidegateProcessDown",
        {f"up{{{EDGE}}}": "1x5 0x10", 'up{job="other",instance="x"}': "0x15"},
        "6m",
        "9m",
        OF_EDGE | {"job": "tidegate"},
        "edge:9461 (tidegate) does not answer",
    ),
    Case(
        "TidegateUplinkBacklog",
        {f"tidegate_edge_oldest_unsent_seconds{{{EDGE}}}": "0+60x30"},
        "6m",
        "12m",
        OF_EDGE | {"job": "tidegate"},
        "edge:9461 holds records for 12m 0s",
    ),
    Case(
        "TidegateEdgeLagHigh",
        {
            f'tidegate_edge_lag_seconds_bucket{{{EDGE},le="30"}}': "0x40",
            f'tidegate_edge_lag_seconds_bucket{{{EDGE},le="60"}}': "0+60x40",
            f'tidegate_edge_lag_seconds_bucket{{{EDGE},le="+Inf"}}': "0+60x40",
        },
        "9m",
        "20m",
        OF_EDGE,
        "edge:9461: p99 from a window's end to Kafka is 59.7s",
    ),
    Case(
        "TidegateOutboxFillsSoon",
        {
            # Level at the end: whether promtool evaluates the recorded ratio before the alert or after is not defined.
            f"tidegate_edge_outbox_bytes{{{EDGE}}}": "0+10x28 280x72",
            f'tidegate_edge_limit_bytes{{{EDGE},room="outbox"}}': "1000x100",
            f'tidegate_edge_limit_bytes{{{EDGE},room="journal"}}': "9x100",
        },
        "15m",
        "30m",
        OF_EDGE,
        "edge:9461: the outbox is 28% full and will be full within 4 hours",
    ),
    Case(
        "TidegateSamplesDropped",
        {
            f'tidegate_edge_samples_total{{{EDGE},outcome="dropped",reason="outbox_full"}}': "0x20 100x10",
            f'tidegate_edge_samples_total{{{EDGE},outcome="rejected",reason="malformed"}}': "0x20 0x10",
        },
        "19m",
        "22m",
        OF_EDGE | {"reason": "outbox_full"},
        "edge:9461 dropped 100 samples: outbox_full",
    ),
    Case(
        "TidegateSamplesRejected",
        {
            f'tidegate_edge_samples_total{{{EDGE},outcome="received",reason=""}}': "0+100x60",
            f'tidegate_edge_samples_total{{{EDGE},outcome="rejected",reason="malformed"}}': "0+5x60",
        },
        "14m",
        "30m",
        OF_EDGE,
        "edge:9461 rejects 5% of its samples",
    ),
    Case(
        "TidegateJournalDamaged",
        {f"tidegate_edge_quarantined_blocks_total{{{EDGE}}}": "0x60 1x5"},
        "59m",
        "62m",
        OF_EDGE | {"job": "tidegate"},
        "edge:9461 found 1 damaged blocks in its journal",
    ),
    Case(
        "TidegateJournalSlow",
        {
            f'tidegate_edge_journal_commit_seconds_bucket{{{EDGE},le="0.5"}}': "0x40",
            f'tidegate_edge_journal_commit_seconds_bucket{{{EDGE},le="1"}}': "0+60x40",
            f'tidegate_edge_journal_commit_seconds_bucket{{{EDGE},le="+Inf"}}': "0+60x40",
        },
        "9m",
        "20m",
        OF_EDGE,
        "edge:9461: p99 of a journal commit is 995ms",
    ),
    Case(
        "TidegateDevicesSilent",
        {
            f'tidegate_edge_devices{{{EDGE},state="online"}}': "8x30",
            f'tidegate_edge_devices{{{EDGE},state="silent"}}': "2x30",
        },
        "9m",
        "11m",
        OF_EDGE,
        "edge:9461: 20% of the devices are silent",
    ),
    Case(
        "TidegateDevicesOverQuota",
        {f'tidegate_edge_overflow_samples_total{{{EDGE},reason="too_many_series"}}': "0+60x60"},
        "29m",
        "40m",
        OF_EDGE | {"reason": "too_many_series"},
        "edge:9461 counts 1 samples/s in overflow series: too_many_series",
    ),
    Case(
        "TidegateClocksWrong",
        {
            f'tidegate_edge_clock_offset_seconds{{{EDGE},level="0.5"}}': "-90x60",
            f'tidegate_edge_clock_offset_seconds{{{EDGE},level="1"}}': "9000x60",
        },
        "29m",
        "31m",
        OF_EDGE | {"job": "tidegate", "level": "0.5"},
        "edge:9461: half of the devices' clocks are more than 1m 30s off",
    ),
    Case(
        "TidegateConfigRefused",
        {
            f'tidegate_config_reloads_total{{{EDGE},result="broken"}}': "0x20 1x10",
            f'tidegate_config_reloads_total{{{EDGE},result="applied"}}': "0+1x30",
        },
        "19m",
        "22m",
        OF_EDGE | {"job": "tidegate", "result": "broken"},
        "edge:9461 did not take its new configuration (broken)",
    ),
    Case(
        "TidegateBatchesMissing",
        {'tidegate_ingest_missing_batches{job="tidegate",tenant="acme",site="north"}': "0x5 3x60"},
        "34m",
        "40m",
        {"tenant": "acme", "site": "north"},
        "3 batches of acme/north are missing",
    ),
    Case(
        "TidegateLedgerBreach",
        {'tidegate_ingest_ledger_breaches{job="tidegate",tenant="acme",site="north"}': "0x5 1x60"},
        "9m",
        "20m",
        {"tenant": "acme", "site": "north"},
        "The account of 1 gateways of acme/north does not hold",
    ),
    Case(
        "TidegateDeadLetters",
        {'tidegate_dead_letters_total{job="tidegate",topic="fleet.rollups.v1",reason="bad_signature"}': "0x20 14x5"},
        "19m",
        "22m",
        {"topic": "fleet.rollups.v1", "reason": "bad_signature"},
        "14 records of fleet.rollups.v1 could not be taken: bad_signature",
    ),
    Case(
        "TidegateWorkerBehind",
        {'tidegate_worker_lag_seconds{job="tidegate",instance="c:1",worker="ingest"}': "0x5 90x20"},
        "9m",
        "12m",
        {"job": "tidegate", "instance": "c:1", "worker": "ingest"},
        "ingest on c:1 is 1m 30s behind",
    ),
    Case(
        "TidegateAlertsUndelivered",
        {'tidegate_alert_outbox{job="tidegate",instance="c:1",receiver="on-call"}': "0x5 4x40"},
        "14m",
        "25m",
        {"job": "tidegate", "instance": "c:1", "receiver": "on-call"},
        "4 notifications wait for receiver on-call",
    ),
    Case(
        "TidegateDeliveriesRefused",
        {'tidegate_alert_deliveries_total{job="tidegate",receiver="on-call",outcome="refused"}': "0x20 14x5"},
        "19m",
        "22m",
        {"receiver": "on-call"},
        "Receiver on-call refused 14 notifications",
    ),
    Case(
        "TidegateAnomalyStorm",
        {'tidegate_analytics_anomalies_total{job="tidegate",detector="level",status="entered"}': "0+120x60"},
        "14m",
        "30m",
        {},
        "120 anomalies begin per minute",
    ),
]


def rules() -> dict[str, dict[str, Any]]:
    """Every alert rule by name."""
    groups = [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def run(promtool: Path, *arguments: str, given: str | None = None) -> str:
    ended = subprocess.run([promtool, *arguments], input=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_promtool_takes_the_rules(promtool: Path) -> None:
    assert "SUCCESS" in run(promtool, "check", "rules", *map(str, FILES))


def test_each_alert_fires_when_it_should_and_not_before(promtool: Path, tmp_path: Path) -> None:
    known = rules()
    assert [case.alert for case in CASES] == list(known), "a case for each rule, in the same order"
    tests = [as_promtool(case, known[case.alert]) for case in CASES]
    whole = {"rule_files": [str(file) for file in FILES], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(whole))
    assert "SUCCESS" in run(promtool, "test", "rules", str(tmp_path / "cases.yml"))


def as_promtool(case: Case, rule: dict[str, Any]) -> dict[str, Any]:
    annotations = rule["annotations"] | {"summary": case.summary}
    fires = {"exp_labels": case.labels | rule["labels"], "exp_annotations": annotations}
    silent = {"alertname": case.alert, "eval_time": case.before, "exp_alerts": []}
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [silent, silent | {"eval_time": case.at, "exp_alerts": [fires]}],
    }


@pytest.mark.parametrize("name", rules())
def test_every_alert_says_what_to_do(name: str) -> None:
    rule = rules()[name]
    assert name.startswith("Tidegate"), "it stands beside others' rules"
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    runbook = ROOT / rule["annotations"]["runbook"]
    assert runbook.read_text().startswith(f"# {runbook.stem}\n")
    assert "## What to do" in runbook.read_text()


def test_rules_ask_only_for_what_is_exported() -> None:
    exported = {spec.name for spec in names.ALL}
    exported |= {f"{spec.name}_bucket" for spec in names.ALL if spec.kind == "histogram"}
    text = "\n".join(file.read_text() for file in FILES)
    asked = {name for name in re.findall(r"\b(?<!:)tidegate_[a-z0-9_]+(?!:)\b", text) if not name.startswith("_")}
    recorded = set(re.findall(r"[a-z_]+:(tidegate_[a-z0-9_]+):", text))
    assert asked - recorded <= exported
    assert not re.search(r"by \([^)]*\bdevice\b", text), "fleet level only"
