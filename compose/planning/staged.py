"""A simulated fleet under a rollout in stages: controls become canaries, wave by wave, as `draw_stage` draws them."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.rollouts.columns import Code, EvidenceColumns
from analytics.rollouts.staging import wave_controls
from compose.bench.gate.world import ANSWER_H, HOUR_MS, NEVER, cumulative

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from compose.bench.gate.world import World

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

_MS = 1.0 / HOUR_MS


class Staging(NamedTuple):
    """A plan's stages: which `shares` of each stratum have the release, hours until the next one, who stays control to the end."""

    shares: tuple[float, ...]
    soaks: tuple[float, ...]
    hold_out: float

    @property
    def begins(self) -> tuple[float, ...]:
        """Hours from a site's first draw to each stage's draw."""
        return tuple(accumulate((0.0, *self.soaks[:-1])))


class Enrolments(NamedTuple):
    """Every enrolment, shape (n,): whose, `at` which hour and `until` when (infinity: to the end), in which arm.

    `stratum` is that of site, hardware and wave.
    """

    device: Ints
    hardware: Ints
    stratum: Ints
    canary: Bools
    at: Floats
    until: Floats


def enrolments(world: World, staging: Staging, chance: np.random.Generator) -> Enrolments:
    """The draws: of each site one after the other over `world.enrolment` hours, and of its later stages when it has soaked."""
    devices, sites = world.canaries + world.controls, max(1, round(world.enrolment / world.draw_every))
    strata = 2 * sites
    stratum, position = np.arange(devices) % strata, np.arange(devices) // strata
    first = (stratum // 2).astype(np.float64) * world.draw_every
    ends, controls = _shares(staging, np.bincount(stratum, minlength=strata), chance.random(strata))
    waves, leaves = [], np.full(devices, NEVER)
    for stage, begins in reversed(list(enumerate(staging.begins))):
        before = ends[stage - 1][stratum] if stage else np.zeros(devices, dtype=np.int64)
        last = ends[stage][stratum] + controls[stage][stratum] if stage else devices
        who = np.flatnonzero((position >= before) & (position < last))
        canary, own = position[who] < ends[stage][stratum[who]], stage * strata + stratum[who]
        at = first[who] + begins
        waves.append(Enrolments(who, stratum[who] % 2, own, canary, at + _MS * (stage > 0), leaves[who]))
        leaves[who] = at
    return Enrolments(*(np.concatenate(column) for column in zip(*reversed(waves), strict=True)))


def staged_evidence(world: World, staging: Staging, chance: np.random.Generator) -> EvidenceColumns:
    """One rollout as the columns that the gate steps over; `world.canaries` and `controls` count only as their sum."""
    drawn = enrolments(world, staging, chance)
    gone = _gone(world, drawn, chance)
    value, before = _values(world, drawn, chance)
    answered = np.where(drawn.canary & world.updates, drawn.at + chance.uniform(0.0, ANSWER_H, len(gone)), NEVER)
    failed = chance.random(len(gone)) < world.update_failed
    alarms = drawn.at + chance.exponential(1.0, len(gone)) / _rates(world.alarm_rate, world.alarm_ratio, drawn)
    here = np.minimum(drawn.until, gone)
    happened = [
        (Code.CRASHED, _crashed(world, drawn, chance), here),
        (Code.SILENT, np.where(gone + world.lease >= drawn.at, gone + world.lease, NEVER), drawn.until),
        (Code.SOAKED, drawn.at + world.soak, here),
        (Code.ALARMED, alarms, here),
        (Code.UPDATED, np.where(failed, NEVER, answered), here),
        (Code.UPDATE_FAILED, np.where(failed, answered, NEVER), here),
    ]
    rows = [
        _rows(world, Code.ENROLLED, drawn.at, drawn.at < NEVER),
        _rows(world, Code.CENSORED, drawn.until, gone >= 0),
    ]
    for code, times, most in happened:
        late = (chance.random(len(gone)) < world.lossy) * chance.uniform(0.0, world.late, len(gone))
        rows.append(_rows(world, code, times, (times < most) & (late <= world.patience)))
    return _columns(drawn, rows, value, before)


def _shares(staging: Staging, sizes: Ints, luck: Floats) -> tuple[list[Ints], list[Ints]]:
    # By stage and stratum: how many are canaries from then on, and how many controls go with the wave.
    most = 1.0 - staging.hold_out
    ends = [np.floor(min(share, most) * sizes + luck).astype(np.int64).clip(max=sizes) for share in staging.shares]
    controls = [np.zeros(len(sizes), dtype=np.int64)]
    for before, end in pairwise(ends):
        each = zip((sizes - end).tolist(), (end - before).tolist(), before.tolist(), strict=True)
        controls.append(np.array([wave_controls(*counts) for counts in each], dtype=np.int64))
    return ends, controls


def _gone(world: World, drawn: Enrolments, chance: np.random.Generator) -> Floats:
    # By enrolment, when its device is lost for ever.
    devices = int(drawn.device.max()) + 1
    lost = drawn.at[:devices] + chance.exponential(1.0 / max(world.loss, 1e-12), devices)
    hit = drawn.canary & (chance.random(len(drawn.at)) < world.bricked)
    np.minimum.at(lost, drawn.device[hit], drawn.at[hit] + chance.random(int(hit.sum())))
    gone: Floats = lost[drawn.device]
    return gone


def _rates(rate: float, ratio: float, drawn: Enrolments) -> Floats:
    rates: Floats = np.maximum(rate * np.where(drawn.canary, ratio, 1.0), 1e-12)
    return rates


def _crashed(world: World, drawn: Enrolments, chance: np.random.Generator) -> Floats:
    grid, hazard = cumulative(world, chance.uniform(0.0, 24.0))
    frail = chance.gamma(world.frailty, 1.0 / world.frailty, int(drawn.device.max()) + 1)[drawn.device]
    rate = frail * np.where(drawn.hardware == 1, world.second_hardware, 1.0) * _rates(1.0, world.crash_ratio, drawn)
    needed = chance.exponential(1.0, len(rate)) / np.maximum(rate, 1e-300)
    return np.interp(np.interp(drawn.at, grid, hazard) + needed, hazard, grid, right=NEVER)


def _values(world: World, drawn: Enrolments, chance: np.random.Generator) -> tuple[Floats, Floats]:
    devices, noise = int(drawn.device.max()) + 1, world.within / np.sqrt(world.samples)
    level = chance.normal(0.0, world.between, devices)
    before = np.exp(level + chance.normal(0.0, noise, devices))[drawn.device]
    now = level[drawn.device] + chance.normal(0.0, np.hypot(world.drift, noise), len(drawn.at))
    value = np.exp(now) * np.where(drawn.canary, world.latency, 1.0)
    return value, before if world.past else np.full(len(value), np.nan)


def _rows(world: World, code: Code, hours: Floats, told: Bools) -> tuple[Ints, Ints, Ints]:
    who = np.flatnonzero(told & (hours <= world.hours))
    return np.round(hours[who] * HOUR_MS).astype(np.int64) + 1, np.full(len(who), int(code)), who


def _columns(
    drawn: Enrolments, rows: Sequence[tuple[Ints, Ints, Ints]], value: Floats, before: Floats
) -> EvidenceColumns:
    at, code, who = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    order = np.lexsort((code, at))
    at, code, who = at[order], code[order], who[order]
    enrolling = code == Code.ENROLLED
    number = np.full(len(drawn.at), -1)
    number[who[enrolling]] = np.arange(int(enrolling.sum()))
    return EvidenceColumns(
        at=at,
        code=code,
        device=number[who],
        stratum=np.where(enrolling, drawn.stratum[who], -1),
        pool=np.where(enrolling, drawn.hardware[who], -1),
        canary=enrolling & drawn.canary[who],
        metric=np.where(code == Code.SOAKED, 0, -1),
        value=value[who],
        before=before[who],
    )
