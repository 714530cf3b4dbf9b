"""Names to numbers: which device, stratum and metric a row of evidence is of."""

from __future__ import annotations

import math
from itertools import repeat
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from analytics.rollouts.columns import Code, EvidenceColumns
from ingest.contract.events import OF_SOAKS, Arm, EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ingest.contract.events import Guard

    Ints = NDArray[np.int64]

CODES: dict[EvidenceKind, int] = {kind: Code[kind.name] for kind in EvidenceKind}


class EvidenceRow(Protocol):
    """What of a row of evidence decides; see `ingest.contract.events.Evidence`."""

    @property
    def kind(self) -> EvidenceKind: ...  # noqa: D102
    @property
    def device(self) -> str: ...  # noqa: D102
    @property
    def site(self) -> str: ...  # noqa: D102
    @property
    def at(self) -> int: ...  # noqa: D102
    @property
    def stratum(self) -> str: ...  # noqa: D102
    @property
    def wave(self) -> str: ...  # noqa: D102
    @property
    def arm(self) -> Arm: ...  # noqa: D102
    @property
    def metric(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def before(self) -> float | None: ...  # noqa: D102


class Roster(msgspec.Struct):
    """Numbers in order of first mention. A device that left and is enrolled again gets a new number: it begins anew."""

    metrics: dict[str, int]
    devices: dict[str, int] = {}
    strata: dict[str, int] = {}
    pools: dict[str, int] = {}
    left: dict[str, bool] = {}
    enrolments: int = 0

    def columns(self, evidence: Sequence[EvidenceRow]) -> EvidenceColumns:
        """The rows as columns, in their order; an enrolment of somebody enrolled concerns nobody."""
        at, code = times_and_codes(evidence)
        rows = EvidenceColumns(
            at=at,
            code=code,
            device=self._devices([f"{row.site}/{row.device}" for row in evidence], code),
            stratum=np.full(len(code), -1),
            pool=np.full(len(code), -1),
            canary=np.zeros(len(code), dtype=bool),
            metric=np.full(len(code), -1),
            value=np.zeros(len(code)),
            before=np.full(len(code), math.nan),
        )
        self._place(rows, evidence)
        self._measure(rows, evidence)
        return rows

    def _devices(self, keys: Sequence[str], code: Ints) -> Ints:
        # A name changes its number only where a device that left is enrolled again: until there it is the old one.
        device, start = np.empty(len(keys), dtype=np.int64), 0
        enrolled, repeated = (code == Code.ENROLLED).tolist(), []
        for place in np.flatnonzero((code == Code.ENROLLED) | (code == Code.CENSORED)).tolist():
            key = keys[place]
            if not enrolled[place]:
                self.left[key] = True
            elif key not in self.devices:
                self._enrol(key)
            elif key in self.left:
                device[start:place] = self._numbers(keys[start:place])
                start = place
                self._enrol(key)
            else:
                repeated.append(place)
        device[start:] = self._numbers(keys[start:])
        device[repeated] = -1
        return device

    def _numbers(self, keys: Sequence[str]) -> Ints:
        return np.fromiter(map(self.devices.get, keys, repeat(-1)), np.int64, len(keys))

    def _enrol(self, key: str) -> None:
        self.left.pop(key, None)
        self.devices[key] = self.enrolments
        self.enrolments += 1

    def _place(self, rows: EvidenceColumns, evidence: Sequence[EvidenceRow]) -> None:
        places = np.flatnonzero(rows.code == Code.ENROLLED)
        enrolled = [evidence[place] for place in places.tolist()]
        strata, pools, canary = self.strata, self.pools, Arm.CANARY
        rows.stratum[places] = [strata.setdefault(f"{r.stratum}\0{r.wave}", len(strata)) for r in enrolled]
        rows.pool[places] = [pools.setdefault(r.stratum, len(pools)) for r in enrolled]
        rows.canary[places] = [r.arm is canary for r in enrolled]

    def _measure(self, rows: EvidenceColumns, evidence: Sequence[EvidenceRow]) -> None:
        places = np.flatnonzero(rows.code == Code.SOAKED)
        soaked = [evidence[place] for place in places.tolist()]
        rows.metric[places] = [self.metrics.get(r.metric, -1) for r in soaked]
        rows.value[places] = [r.value for r in soaked]
        rows.before[places] = [math.nan if r.before is None else r.before for r in soaked]


def times_and_codes(evidence: Sequence[EvidenceRow]) -> tuple[Ints, Ints]:
    """The rows' event times (ms) and `Code`s, both of shape (rows,)."""
    at = np.fromiter([row.at for row in evidence], np.int64, len(evidence))
    return at, np.fromiter([CODES[row.kind] for row in evidence], np.int64, len(evidence))


def new_roster(guards: Sequence[Guard]) -> Roster:
    """Nobody yet; the metrics are the statistics that the guards watch."""
    names = [guard.statistic() for guard in guards if guard.kind in OF_SOAKS]
    return Roster(metrics={name: place for place, name in enumerate(dict.fromkeys(names))})
