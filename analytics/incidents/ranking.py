"""Which attributes the affected share more than chance allows: each value, and each pair of values, by its tail probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.incidents.fleet import ATTRIBUTES, SUBSETS
from analytics.incidents.hypergeometric import holm, log10_tail
from ingest.contract.events import Shared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from analytics.incidents.fleet import Counted

Attributes = tuple[tuple[str, str], ...]
"""Some attributes with their values, in the order of `ATTRIBUTES`."""

PAIR_PENALTY = 3.0
"""A pair must be so many powers of ten less probable than its better half: the simpler cause is the likelier one."""


class Ranked(NamedTuple):
    """Attributes that `both` of `affected` devices have, and `having` of the `fleet`; `log10_p` as yet uncorrected."""

    attributes: Attributes
    both: int
    affected: int
    having: int
    fleet: int
    log10_p: float

    @property
    def weight(self) -> float:
        """The less, the likelier: the tail with what a pair has to pay."""
        return self.log10_p + PAIR_PENALTY * (len(self.attributes) - 1)


class Ranking(NamedTuple):
    """The likeliest first, and how many attributes were looked at."""

    ranked: list[Ranked]
    looked_at: int


def rank(counted: Counted, least: int = 1) -> Ranking:
    """Every value and pair of values that an affected device has and that sets some devices of the fleet apart.

    With a `least`, no tail is reckoned of those that fewer of the affected have, or no more than of the fleet; they were
    looked at all the same.
    """
    parts = [_of_subset(counted, number, least) for number in range(len(SUBSETS))]
    found = [one for part, _ in parts for one in part]
    having = {one.attributes: one.having for one in found}
    # A pair that is no narrower than one of its halves says nothing more than that half.
    telling = [
        one
        for one in found
        if len(one.attributes) == 1 or all(one.having < having.get((half,), one.fleet) for half in one.attributes)
    ]
    telling.sort(key=lambda one: (one.weight, one.attributes))
    return Ranking(telling, sum(looked_at for _, looked_at in parts))


def _of_subset(counted: Counted, number: int, least: int) -> tuple[list[Ranked], int]:
    subset, values, code = SUBSETS[number], counted.values[number], counted.codes[number]
    both = _summed(counted.affected, code, len(values))
    having = _summed(counted.fleet, code, len(values))
    affected, fleet = int(counted.affected.sum()), int(counted.fleet.sum())
    looked_at = [at for at in np.flatnonzero((both > 0) & (having < fleet)).tolist() if all(values[at])]
    ranked = [
        Ranked(
            attributes=tuple((ATTRIBUTES[place], value) for place, value in zip(subset, values[at], strict=True)),
            both=int(both[at]),
            affected=affected,
            having=int(having[at]),
            fleet=fleet,
            log10_p=log10_tail(fleet, int(having[at]), affected, int(both[at])),
        )
        for at in looked_at
        if least == 1 or (both[at] >= least and both[at] * fleet > having[at] * affected)
    ]
    return ranked, len(looked_at)


def _summed(counts: NDArray[np.int64], code: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    sums = np.zeros(size, np.int64)
    np.add.at(sums, code, counts)
    return sums


def shared(ranking: Ranking, most: int) -> list[Shared]:
    """The likeliest, corrected for all that were looked at, as they are told."""
    by_tail = sorted(ranking.ranked, key=lambda one: (one.log10_p, one.attributes))
    corrected = dict(
        zip(
            (one.attributes for one in by_tail),
            holm([one.log10_p for one in by_tail], ranking.looked_at),
            strict=True,
        )
    )
    return [_shared(one, corrected[one.attributes]) for one in ranking.ranked[:most]]


def _shared(one: Ranked, log10_p: float) -> Shared:
    attributes = dict(one.attributes)
    shares = f"{_percent(one.both, one.affected)} of the affected, {_percent(one.having, one.fleet)} of the fleet"
    return Shared(
        attributes=attributes,
        affected=one.both,
        of_affected=one.affected,
        fleet=one.having,
        of_fleet=one.fleet,
        log10_p=float(f"{log10_p:.9g}"),
        sentence=f"{named(attributes)}: {shares}",
    )


def named(attributes: Mapping[str, str]) -> str:
    """Attributes in words: `firmware 2.3.0 on rev-b at north`."""
    words = []
    if "firmware" in attributes:
        words.append(f"firmware {attributes['firmware']}")
    if "hardware" in attributes:
        words.append(("on " if words else "hardware ") + attributes["hardware"])
    if "group" in attributes:
        words.append(("in group " if words else "group ") + attributes["group"])
    if "site" in attributes:
        words.append(("at " if words else "site ") + attributes["site"])
    return " ".join(words)


def _percent(part: int, whole: int) -> str:
    share = 100.0 * part / whole
    return f"{share:.0f} %" if share >= 1 or part == 0 else f"{share:.2g} %"
