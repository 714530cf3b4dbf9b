"""What `tidegate detect` says of all metrics of a file together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analytics.detect.joint import likeliest
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.detect.recording_together import JointDetection
    from compose.tryout.table import Table

TOGETHER = "(together)"
"""What stands in place of a metric."""
CAUSES = 3
"""Metrics that a reason names, the likeliest cause first."""


def joint_rows(table: Table, found: JointDetection) -> Iterator[list[Any]]:
    """One row of each time, as those of metrics."""
    for row, time in enumerate(table.times):
        score, alert = f"{found.score[row]:.4f}", int(found.alert[row])
        yield [table.name, rfc3339(int(time)), TOGETHER, "", score, alert, joint_reason(table, found, row)]


def joint_alerts(table: Table, found: JointDetection) -> list[dict[str, Any]]:
    """Where an alarm about all metrics begins; `metrics`: all that moved, the likeliest cause first."""
    return [
        {
            "metric": TOGETHER,
            "at": rfc3339(int(table.times[row])),
            "score": round(float(found.score[row]), 4),
            "reason": joint_reason(table, found, int(row)),
            "metrics": [table.metrics[number] for number in likeliest(found.moves[row], len(table.metrics))],
        }
        for row in np.flatnonzero(found.entered)
    ]


def joint_reason(table: Table, found: JointDetection, row: int) -> str:
    """Why all metrics together alarm in this row, the likeliest causes first; empty where they do not."""
    if found.new_normal[row]:
        return "new_normal"
    if not found.alert[row]:
        return ""
    causes = ", ".join(table.metrics[number] for number in likeliest(found.moves[row], CAUSES))
    return f"{'pooled_tail' if found.pooled else 'own_past'}: {causes}"
