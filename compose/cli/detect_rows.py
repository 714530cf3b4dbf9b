"""What `tidegate detect` says of each row of a file: one score, one alert, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.detect.merge import Detector
from analytics.detectors.signals import NAMES
from compose.cli.detect_together import TOGETHER, joint_reason
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.detect.recording import Detection
    from compose.tryout.found import Found

HEAD = ("device", "timestamp", "score", "alert", "reasons")


def rows(found: Found) -> Iterator[list[Any]]:
    """One for each of the table, in its order."""
    scores, alerts, speaks = found.score(), found.alert(), found.speaks()
    for row, time in enumerate(found.table.times):
        why = reasons(found, row) if speaks[row] else ""
        yield [found.table.name, rfc3339(int(time)), f"{scores[row]:.4f}", int(alerts[row]), why]


def reasons(found: Found, row: int) -> str:
    """Of all metrics together first, then of each that alarms, those that are the likeliest cause first."""
    said = []
    if found.joint is not None and (why := joint_reason(found.table, found.joint, row)):
        said.append(f"{TOGETHER} {why}")
    named = [(metric, metric_reason(found.single, row, metric)) for metric in _ordered(found, row)]
    return "; ".join([*said, *(f"{found.table.metrics[metric]} {why}" for metric, why in named if why)])


def metric_reason(found: Detection, row: int, metric: int) -> str:
    """Why this metric alarms in this row, or why it does no more; empty where it does not."""
    if found.new_normal[row, metric]:
        return "new_normal"
    if not found.alert[row, metric]:
        return ""
    why = "pooled_tail" if found.pooled[row, metric] else "own_past"
    novel = found.detector[row, metric] == Detector.NOVELTY
    return f"{why}: {NAMES[found.signal[row, metric]] if novel else 'level'}"


def _ordered(found: Found, row: int) -> list[int]:
    metrics = range(len(found.table.metrics))
    return sorted(metrics, key=lambda metric: -float(found.single.score[row, metric]))
