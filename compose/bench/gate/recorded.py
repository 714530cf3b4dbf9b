"""Simulated evidence as `rollout judge` reads it: JSON lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from analytics.rollouts.columns import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.rollouts.columns import EvidenceColumns
    from ingest.contract.events import Guard

_ENCODER = msgspec.json.Encoder()


def json_lines(rows: EvidenceColumns, guards: Sequence[Guard]) -> bytes:
    """The rows as JSON lines; a stratum is its pool's name with the stratum's number as wave."""
    metrics = [guard.statistic() for guard in guards if guard.kind not in ("crash", "silence")]
    cells = zip(*(column.tolist() for column in rows), strict=True)
    return _ENCODER.encode_lines([_row(metrics, dict(zip(rows._fields, row, strict=True))) for row in cells])


def _row(metrics: list[str], cell: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": Code(cell["code"]).name.lower(), "device": f"d{cell['device']}", "at": cell["at"]}
    if cell["code"] == Code.ENROLLED:
        arm = "canary" if cell["canary"] else "control"
        row |= {"stratum": f"hw{cell['pool']}", "wave": str(cell["stratum"]), "arm": arm}
    if cell["code"] == Code.SOAKED:
        before = {} if math.isnan(cell["before"]) else {"before": cell["before"]}
        row |= {"metric": metrics[cell["metric"]], "value": cell["value"]} | before
    return row
