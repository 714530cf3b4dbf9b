"""How well incidents are what really happened: pairs of series, named attributes, first metrics, and what people were told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compose.bench.incidents.world import Cause
    from ingest.contract.events import IncidentEvent


class Pairs(NamedTuple):
    """Of pairs of series: `together` in one incident and of one cause, in one incident, of one cause."""

    together: int
    grouped: int
    caused: int

    @property
    def precision(self) -> float:
        """The share of pairs in one incident that have one cause."""
        return self.together / max(self.grouped, 1)

    @property
    def recall(self) -> float:
        """The share of pairs of one cause that are in one incident."""
        return self.together / max(self.caused, 1)


def pairs(truth: Mapping[str, str], found: Mapping[str, str]) -> Pairs:
    """`truth` and `found`: of each series its cause and its incident."""
    both = Counter((truth[key], found[key]) for key in truth)
    incidents, causes = Counter(found[key] for key in truth), Counter(truth.values())
    return Pairs(*(sum(n * (n - 1) // 2 for n in counted.values()) for counted in (both, incidents, causes)))


class Named(NamedTuple):
    """Incidents with a cause: `named` in all, `right` of them with exactly the attributes of the cause that most of it has.

    `nameable`: causes with attributes; `found`: those that the incident with most of their series names exactly. `rooted`: of all
    simulated causes, those whose incident puts the right metric first.
    """

    named: int
    right: int
    nameable: int
    found: int
    rooted: int
    causes: int


def named(
    truth: Mapping[str, str], found: Mapping[str, str], causes: Sequence[Cause], told: Mapping[str, IncidentEvent]
) -> Named:
    """`told`: the last event of each incident."""
    by_name = {cause.name: cause for cause in causes if cause.name in set(truth.values())}
    of_cause: dict[str, Counter[str]] = {}
    of_incident: dict[str, Counter[str]] = {}
    for key, cause in truth.items():
        of_cause.setdefault(cause, Counter())[found[key]] += 1
        of_incident.setdefault(found[key], Counter())[cause] += 1
    largest = {name: told[of_cause[name].most_common(1)[0][0]] for name in by_name}
    with_cause = [name for name in of_incident if is_named(told[name])]
    meant = {name: by_name.get(of_incident[name].most_common(1)[0][0]) for name in with_cause}
    nameable = [cause for cause in by_name.values() if cause.attributes]
    return Named(
        named=len(with_cause),
        right=sum(cause is not None and _names(told[name], cause) for name, cause in meant.items()),
        nameable=len(nameable),
        found=sum(_names(largest[cause.name], cause) for cause in nameable),
        rooted=sum(largest[cause.name].root_cause == cause.metrics[0] for cause in by_name.values()),
        causes=len(by_name),
    )


def is_named(event: IncidentEvent) -> bool:
    """Whether it says what its devices share."""
    return bool(event.cause_sentence)


def _names(event: IncidentEvent, cause: Cause) -> bool:
    return is_named(event) and set(event.cause[0].attributes.items()) == set(cause.attributes)
