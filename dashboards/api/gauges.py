"""The gate's gauges, as a Prometheus query sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.api.gates import gate_data
from dashboards.api.selectors import NAME_LABEL, Selector
from ingest.contract.events import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dashboards.api.gates import GateData
    from dashboards.api.rollouts import Rollout

Labels = dict[str, str]
Samples = list[tuple[Labels, float]]


def _plain(read: Callable[[GateData], float]) -> Callable[[GateData], Samples]:
    return lambda gate: [({}, float(read(gate)))]


def _by_verdict(gate: GateData) -> Samples:
    return [({"verdict": outcome.value}, float(gate.verdict is outcome)) for outcome in Outcome]


GAUGES: dict[str, Callable[[GateData], Samples]] = {
    "tidegate_gate_verdict": _by_verdict,
    "tidegate_gate_pass": _plain(lambda gate: gate.verdict is Outcome.PASS),
    "tidegate_gate_fail": _plain(lambda gate: gate.verdict is Outcome.FAIL),
    "tidegate_gate_score": _plain(lambda gate: gate.score),
    "tidegate_gate_e_value": _plain(lambda gate: gate.e_value),
    "tidegate_gate_log10_e": _plain(lambda gate: gate.log10_e),
    "tidegate_gate_alpha": _plain(lambda gate: gate.alpha),
    "tidegate_gate_canary_devices": _plain(lambda gate: gate.n_canary),
    "tidegate_gate_control_devices": _plain(lambda gate: gate.n_control),
    "tidegate_gate_watermark_seconds": _plain(lambda gate: gate.at / 1000),
}
"""Gauge name to its samples; every one also carries the label `rollout`."""


def select(selector: Selector, rollouts: Mapping[str, Rollout]) -> Samples:
    """The samples that the selector asks for; labels include the gauge's name as `__name__`."""
    names = [name for name in GAUGES if selector.exact(NAME_LABEL) in (None, name)]
    return [
        (labels, value)
        for rollout in _wanted(selector, rollouts)
        for labels, value in _samples(gate_data(rollout, ""), names)
        if selector.matches(labels)
    ]


def _wanted(selector: Selector, rollouts: Mapping[str, Rollout]) -> list[Rollout]:
    exact = selector.exact("rollout")
    if exact is None:
        return [rollouts[name] for name in sorted(rollouts)]
    return [rollouts[exact]] if exact in rollouts else []


def _samples(gate: GateData, names: list[str]) -> Iterator[tuple[Labels, float]]:
    for name in names:
        for labels, value in GAUGES[name](gate):
            yield {NAME_LABEL: name, "rollout": gate.rollout, **labels}, value
