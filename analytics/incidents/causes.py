"""What explains devices that fell ill within the same minutes: attributes first, then that it is the same at the same moment."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from analytics.incidents.incident import Sign, word_of
from analytics.incidents.ranking import Attributes, Ranked, rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from analytics.incidents.fleet import Fleet, Kind

LEAST_DEVICES = 3
"""Two may be chance, whatever the numbers say of a small site."""
CHANCE = -4.0
"""log10 of how probable by chance a cause may be, all that was looked at counted in."""
BURST_CHANCE = -6.0
"""The same for devices that nothing but the moment joins."""
DAY_MS = 86_400_000
"""Once a day a single device falls ill for no reason, however quiet the past was."""


class Suspect(NamedTuple):
    """A device that fell ill at `since` (ms): what it is and its symptoms; `key` is the first of its series."""

    key: str
    place: str
    kind: Kind
    signs: frozenset[Sign]
    since: int


class Explained(NamedTuple):
    """Suspects that belong together, and the attributes that they share (none: the moment alone)."""

    cause: Attributes
    suspects: list[Suspect]


def explain(suspects: Sequence[Suspect], fleet: Fleet) -> Iterator[Explained]:
    """Groups of suspects that share attributes and a symptom more than chance allows: the least probable first.

    What is explained is taken out before the next one is looked for, so that causes at the same time stay apart.
    """
    left = list(suspects)
    while found := _likeliest(left, fleet):
        sign, cause = found
        ours = [one for one in left if (sign is None or sign in one.signs) and has(one.kind, cause)]
        yield Explained(cause, ours)
        taken = set(ours)
        left = [one for one in left if one not in taken]


def _likeliest(suspects: Sequence[Suspect], fleet: Fleet) -> tuple[Sign | None, Attributes] | None:
    devices = Counter(sign for one in suspects for sign in one.signs)
    signs: list[Sign | None] = [sign for sign, number in sorted(devices.items()) if number >= LEAST_DEVICES]
    if len(devices) > 1 and len(suspects) >= LEAST_DEVICES:
        signs.append(None)
    found: list[tuple[float, int, Ranked]] = []
    looked_at = 0
    for place, sign in enumerate(signs):
        ill = {one.place: one.kind for one in suspects if sign is None or sign in one.signs}
        ranking = rank(fleet.counted_with(ill.items()), LEAST_DEVICES)
        looked_at += ranking.looked_at
        found += [(one.weight, place, one) for one in ranking.ranked]
    if not found:
        return None
    _, place, best = min(found, key=lambda item: (item[0], item[1], item[2].attributes))
    return (signs[place], best.attributes) if best.log10_p + math.log10(looked_at) <= CHANCE else None


def together(suspects: Sequence[Suspect], usual: Mapping[str, int], within_ms: int) -> Iterator[Explained]:
    """Devices with one symptom that fell ill one shortly after another, more of them than there usually are.

    `usual`: how many single devices had that symptom within the last day, by `word_of`. Each device is in one group at the most.
    """
    taken: set[Suspect] = set()
    for sign in sorted({sign for one in suspects for sign in one.signs}):
        ill = sorted(
            (one for one in suspects if sign in one.signs and one not in taken), key=lambda one: one[4:] + one[:2]
        )
        for run in _runs(ill, within_ms):
            span = run[-1].since - run[0].since + within_ms
            expected = max(usual.get(word_of(sign), 0), 1) * span / DAY_MS
            devices = len({one.place for one in run})
            if devices >= LEAST_DEVICES and log10_poisson_tail(expected, devices) <= BURST_CHANCE:
                taken.update(run)
                yield Explained((), run)


def _runs(ill: Sequence[Suspect], within_ms: int) -> Iterator[list[Suspect]]:
    run: list[Suspect] = []
    for one in ill:
        if run and one.since - run[-1].since > within_ms:
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def log10_poisson_tail(expected: float, least: int) -> float:
    """log10 P(X >= least) of a Poisson variable; at most the first term times a geometric series, where that converges."""
    if least <= expected:
        return 0.0
    first = -expected + least * math.log(expected) - math.lgamma(least + 1)
    return min(0.0, (first - math.log1p(-expected / (least + 1))) / math.log(10))


def has(kind: Kind, attributes: Attributes) -> bool:
    """Whether a device of this kind has these attributes."""
    site, group, hardware, firmware = kind
    known = {"site": site, "group": group, "hardware": hardware, "firmware": firmware}
    return all(known[name] == value for name, value in attributes)
