"""A tenant's fleet as gauges on the API's /metrics: sites, alerts and rollouts, never a single device."""

from __future__ import annotations

from collections import Counter
from itertools import chain, product
from typing import TYPE_CHECKING

import msgspec
from prometheus_client.core import GaugeMetricFamily

from dashboards.api import measures
from dashboards.api.alerts import SEVERITIES
from dashboards.api.rollouts import rollback_view, threshold
from dashboards.api.sites import SiteState
from ingest.contract.events import AlertState, DeviceState, Outcome, PlanState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry, Metric

    from dashboards.api.rollouts import Rollout
    from dashboards.api.views import TenantView
    from ingest.contract.names import MetricSpec

ROLLOUTS_SHOWN = 50
"""Rollouts that are shown one by one, the newest first; all are counted."""

Sample = tuple[tuple[str, ...], float]


class TenantRegistry:
    """The process's own metrics and, after them, those of one tenant at time `now` (ms)."""

    def __init__(self, registry: CollectorRegistry, view: TenantView, now: int) -> None:
        self._registry, self._view, self._now = registry, view, now

    def collect(self) -> Iterable[Metric]:
        """All families."""
        return chain(self._registry.collect(), fleet_families(self._view, self._now))


def fleet_families(view: TenantView, now: int) -> Iterator[Metric]:
    """The fleet of one tenant at time `now` (ms)."""
    sites = view.sites(now)
    states = Counter(site.state for site in sites)
    yield _family(
        measures.FLEET_DEVICES,
        [((site.site, state.value), site.states.get(state, 0)) for site in sites for state in DeviceState],
    )
    yield _family(measures.FLEET_SITES, [((state.value,), states[state]) for state in SiteState])
    yield _family(measures.FLEET_BACKLOG, [((site.site,), site.backlog_bytes) for site in sites])
    yield _family(measures.FLEET_ALERTS, _alerts(view))
    yield _family(
        measures.FLEET_INCIDENTS, [((state.value,), number) for state, number in view.incidents.going_on().items()]
    )
    yield from _rollouts(list(view.rollouts.values()))


def _alerts(view: TenantView) -> list[Sample]:
    active = [alert for alert in view.alerts.every() if alert.state is not AlertState.RESOLVED]
    found = Counter((alert.state.value, alert.severity) for alert in active)
    # Those that are zero are shown as well: a rule must be able to tell "none" from "not known".
    keys = found.keys() | set(product((AlertState.PENDING.value, AlertState.FIRING.value), SEVERITIES))
    return [(key, found[key]) for key in sorted(keys)]


def _rollouts(rollouts: list[Rollout]) -> Iterator[Metric]:
    states = Counter(rollout.plan.state for rollout in rollouts if rollout.plan)
    yield _family(measures.FLEET_ROLLOUTS, [((state.value,), states[state]) for state in PlanState])
    rollouts.sort(key=lambda rollout: (-(rollout.plan.created if rollout.plan else 0), rollout.name))
    shown = rollouts[:ROLLOUTS_SHOWN]
    yield _family(measures.ROLLOUT_STATE, [sample for rollout in shown for sample in _state(rollout)])
    yield _family(measures.ROLLOUT_VERDICT, [sample for rollout in shown for sample in _verdict(rollout)])
    judged = [(rollout.name, rollout.verdict) for rollout in shown if rollout.verdict]
    yield _family(measures.ROLLOUT_EVIDENCE, [((name,), verdict.log10_e) for name, verdict in judged])
    yield _family(measures.ROLLOUT_THRESHOLD, [((name,), threshold(verdict.alpha)) for name, verdict in judged])
    yield _family(measures.ROLLOUT_DEVICES, [sample for rollout in shown for sample in _devices(rollout)])


def _state(rollout: Rollout) -> list[Sample]:
    present = rollout.plan.state if rollout.plan else None
    return [((rollout.name, state.value), float(state is present)) for state in PlanState]


def _verdict(rollout: Rollout) -> list[Sample]:
    present = rollout.verdict.verdict if rollout.verdict else Outcome.INCONCLUSIVE
    return [((rollout.name, outcome.value), float(outcome is present)) for outcome in Outcome]


def _devices(rollout: Rollout) -> list[Sample]:
    counts: dict[str, int] = {}
    if rollout.verdict:
        counts |= {"canary": rollout.verdict.n_canary, "control": rollout.verdict.n_control}
    if rollout.rollback:
        counts |= msgspec.structs.asdict(rollback_view(rollout.rollback).counts)
    return [((rollout.name, arm), count) for arm, count in counts.items()]


def _family(spec: MetricSpec, samples: Iterable[Sample]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(spec.name, spec.meaning, labels=spec.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
