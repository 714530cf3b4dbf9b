"""Which rows of a batch a rule is about, remembered as long as a gateway goes on naming the same devices and metrics."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from analytics.rules.kinds import Scope, SeriesRule
    from ingest.contract.batch import DeviceRow, MetricRow, RollupBatch

OWN_PREFIX = "tidegate_"
"""Series that the gateway makes itself: a rule that is about them names them."""


def is_about(scope: Scope, site: str, device: DeviceRow) -> bool:
    """Whether a device is within the scope."""
    pairs = (
        (site, scope.site),
        (device.device, scope.device),
        (device.group, scope.group),
        (device.hardware, scope.hardware),
        (device.firmware, scope.firmware),
    )
    return all(fnmatch.fnmatchcase(text, pattern) for text, pattern in pairs)


def is_metric(rule: SeriesRule, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a rule is about a metric with these labels."""
    hidden = name.startswith(OWN_PREFIX) and name != rule.metric
    named = fnmatch.fnmatchcase(name, rule.metric) and not hidden
    return named and all(fnmatch.fnmatchcase(labels.get(label, ""), p) for label, p in rule.where.labels.items())


class Known(NamedTuple):
    """Of one gateway's tables: by rule, which devices and which metrics it is about; None for all of them."""

    devices: list[DeviceRow]
    metrics: list[MetricRow]
    of_devices: list[NDArray[np.bool_] | None]
    of_metrics: list[NDArray[np.bool_] | None]


class Matching:
    """Answers for each rule of a list, by its place there."""

    def __init__(self, rules: Sequence[SeriesRule]) -> None:
        self._rules = rules
        self._known: dict[tuple[str, ...], Known] = {}

    def known(self, batch: RollupBatch) -> Known:
        """What each rule is about in this batch."""
        origin = batch.origin[:3]
        known = self._known.get(origin)
        if known is None or known.metrics != batch.metrics or known.devices != batch.devices:
            known = self._known[origin] = self._look(batch)
        return known

    def _look(self, batch: RollupBatch) -> Known:
        site, labels = batch.origin.site, [dict(metric.labels) for metric in batch.metrics]
        devices, metrics = [], []
        for rule in self._rules:
            devices.append(_all_or([is_about(rule.where, site, device) for device in batch.devices]))
            named = [is_metric(rule, m.name, theirs) for m, theirs in zip(batch.metrics, labels, strict=True)]
            metrics.append(_all_or(named))
        return Known(batch.devices, batch.metrics, devices, metrics)


def rows_of(known: Known, rule: int, batch: RollupBatch, rows: slice | NDArray[np.intp]) -> NDArray[np.bool_] | None:
    """Whether the rule is about each of these rows, shape (rows,); None when it is about them all."""
    devices, metrics = known.of_devices[rule], known.of_metrics[rule]
    found: NDArray[np.bool_] | None = None if metrics is None else metrics[batch.column("metric")[rows]]
    if devices is None:
        return found
    theirs: NDArray[np.bool_] = devices[batch.column("device")[rows]]
    return theirs if found is None else found & theirs


def _all_or(answers: list[bool]) -> NDArray[np.bool_] | None:
    return None if all(answers) else np.array(answers, np.bool_)
