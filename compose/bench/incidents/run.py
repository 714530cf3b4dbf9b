"""Simulated fleets through the same code that runs live, second by second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from analytics.incidents.config import IncidentsConfig
from analytics.incidents.incident import key_of
from analytics.incidents.tenant import Tenant
from compose.bench.incidents.score import Named, Pairs, named, pairs
from compose.bench.incidents.world import T0, Ill, World, presence, signal_of
from ingest.contract.events import SILENCE, IncidentEvent, SummaryEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from compose.bench.incidents.world import Cause
    from ingest.contract.events import Signal

TENANT = "acme"
TOLD = frozenset({"opened", "cause", "grew"})
DELAY_MS = 1500
"""From the end of a window until it has been decided on at the centre."""


class Outcome(NamedTuple):
    """One story: pairs, names, notifications that began or changed something, causes with their singles, and CPU seconds."""

    pairs: Pairs
    named: Named
    told: int
    told_of_causes: int
    causes: int
    series: int
    cpu_s: float


def tell(world: World, ill: Sequence[Ill], causes: Sequence[Cause]) -> Outcome:
    """Run a story to its end."""
    tenant, began = Tenant(TENANT, IncidentsConfig()), time.process_time()
    events: list[IncidentEvent] = []
    truth: dict[str, str] = {}
    found: dict[str, str] = {}
    for at, signals, leaving in _seconds(world, ill):
        for one in leaving:  # where it was just before it recovered
            found[series_of(one)] = tenant.incident_of(series_of(one))
        events += tenant.take(SummaryEvent(tenant=TENANT, at=at, signals=signals))
    cpu_s = time.process_time() - began
    merged = {event.incident: event.merged_into for event in events if event.merged_into}
    last = {event.incident: event for event in events}
    for one in ill:
        truth[series_of(one)], found[series_of(one)] = one.cause, _end(found[series_of(one)], merged)
    of_causes = {found[series_of(one)] for one in ill if not one.cause.startswith("single")}
    told = [event for event in events if event.reason in TOLD]
    return Outcome(
        pairs=pairs(truth, found),
        named=named(truth, found, causes, last),
        told=len(told),
        told_of_causes=sum(_end(event.incident, merged) in of_causes for event in told),
        causes=len(causes),
        series=len(ill),
        cpu_s=cpu_s,
    )


def _end(name: str, merged: dict[str, str]) -> str:
    while name in merged:
        name = merged[name]
    return name


def series_of(ill: Ill) -> str:
    """Its key in the book of incidents."""
    return (
        key_of(signal_of(ill, active=True))
        if ill.metric != SILENCE
        else f"{ill.device.site}/{ill.device.name}/{SILENCE}"
    )


def _seconds(world: World, ill: Sequence[Ill]) -> Iterator[tuple[int, list[Signal], list[Ill]]]:
    """Every second in which something is said, its signals, and the series that leave in it; in the end all has settled."""
    yield T0, [presence(device, T0 - 1) for device in world.devices], []
    said: dict[int, tuple[list[Signal], list[Ill]]] = {}
    for one in ill:
        said.setdefault(one.since + DELAY_MS, ([], []))[0].append(signal_of(one, active=True))
        signals, leaving = said.setdefault(one.until + DELAY_MS, ([], []))
        signals.append(signal_of(one, active=False))
        leaving.append(one)
    for at in sorted(said):
        yield at, *said[at]
        yield at + 3000, [], []
    yield max(said) + 600_000, [], []


def story(seed: int, causes: int, singles_per_hour: float, devices: int = 2000) -> Outcome:
    """One fleet by its seed."""
    world = World(seed, devices=devices)
    chosen = world.causes(causes)
    return tell(world, _distinct(world.ill(chosen, singles_per_hour)), chosen)


def _distinct(ill: Sequence[Ill]) -> list[Ill]:
    # A series that is ill already does not fall ill for another reason as well.
    first: dict[str, Ill] = {}
    for one in ill:
        first.setdefault(series_of(one), one)
    return list(first.values())


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Over all stories: pairs and names are added up, so that each pair and each name counts alike."""
    whole = Pairs(*(sum(column) for column in zip(*(one.pairs for one in outcomes), strict=True)))
    names = Named(*(sum(column) for column in zip(*(one.named for one in outcomes), strict=True)))
    worst = min(outcomes, key=lambda one: min(one.pairs.precision, one.pairs.recall))
    causes = sum(one.causes for one in outcomes)
    return {
        "stories": len(outcomes),
        "pair_precision": round(whole.precision, 4),
        "pair_recall": round(whole.recall, 4),
        "worst_story_precision": round(worst.pairs.precision, 4),
        "worst_story_recall": round(worst.pairs.recall, 4),
        "named_precision": round(names.right / max(names.named, 1), 4),
        "named_recall": round(names.found / max(names.nameable, 1), 4),
        "root_metric_right": round(names.rooted / max(names.causes, 1), 4),
        "notifications_per_cause": round(sum(one.told_of_causes for one in outcomes) / max(causes, 1), 2),
        "series_per_cause": round(sum(one.series for one in outcomes) / max(causes, 1), 1),
        "cpu_us_per_series": round(1e6 * sum(one.cpu_s for one in outcomes) / sum(one.series for one in outcomes), 1),
    }


STORIES = ((3, 10.0), (5, 30.0), (6, 60.0), (2, 200.0))
"""Causes at overlapping times, and single devices an hour that fall ill for no reason: easier and harder fleets in turn."""


def stories(number: int, seed: int) -> Iterator[Outcome]:
    """So many fleets."""
    for at in range(number):
        causes, singles = STORIES[at % len(STORIES)]
        yield story(seed + at, causes, singles)
