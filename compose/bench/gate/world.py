"""A simulated fleet under a rollout: what happens to its devices, as the columns that the gate steps over."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.rollouts.columns import Code, EvidenceColumns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

HOUR_MS = 3_600_000
ANSWER_H = 0.5
"""Within how many hours a canary answers its update."""
_STEP_H = 1 / 12
NEVER = np.inf


class World(NamedTuple):
    """A fleet and a release; the defaults are the reference fleet and a harmless one. Times in hours, rates per hour.

    A device's crash rate is `crash_rate` times its frailty (gamma of shape `frailty`, mean 1), twice as high on the second
    hardware (`second_hardware` times), times 1 ± `daily` over the day, which begins anywhere. `crash_ratio` is the release's, per
    device; `marginal_ratio` instead is that of first events in the group as a whole. `shock` multiplies all rates of both arms in
    hours 20 to 22. Enrolment draws both arms of every hardware each `draw_every` hours over `enrolment` hours. `loss` silences
    devices of both arms for ever, `bricked` is the share of canaries that die within an hour; a lease tells `lease` hours later.
    `outages` sites of `sites` go dark for ever after the enrolment, all their devices silent at one instant. Latencies are log-normal:
    `between` devices, `drift` between before and after, `within` over `samples`; the release multiplies them by `latency`, soak
    takes `soak`; `past` says whether the value from before is known. `crossed` puts more of the second hardware into the canary
    arm. Detectors raise `alarm_rate` alarms a device and hour (0: none), the release's `alarm_ratio` times as many; with `updates` canaries
    answer their update, `update_failed` of them that it failed. `lossy` of all facts arrive late by up to `late` hours: what comes later than `patience` is not evidence.
    """

    canaries: int = 500
    controls: int = 500
    hours: float = 72.0
    crash_rate: float = 0.005
    frailty: float = 0.5
    second_hardware: float = 2.0
    daily: float = 0.5
    crash_ratio: float = 1.0
    marginal_ratio: float = 0.0
    shock: float = 1.0
    enrolment: float = 6.0
    draw_every: float = 0.25
    loss: float = 2e-4
    bricked: float = 0.0
    lease: float = 0.25
    sites: int = 10
    outages: int = 0
    between: float = 0.4
    drift: float = 0.1
    within: float = 0.5
    samples: int = 60
    latency: float = 1.0
    soak: float = 1.0
    past: bool = False
    crossed: bool = False
    lossy: float = 0.02
    late: float = 1.0
    patience: float = 0.5
    alarm_rate: float = 0.0
    alarm_ratio: float = 1.0
    updates: bool = False
    update_failed: float = 0.0


class Story(NamedTuple):
    """What happened, by device; hours since the first draw, infinity for never. `wave` numbers the draws."""

    canary: Bools
    hardware: Ints
    wave: Ints
    enrolled: Floats
    crashed: Floats
    silent: Floats
    soaked: Floats
    latency: Floats
    before: Floats
    alarmed: Floats
    updated: Floats
    update_failed: Floats


def tell(world: World, chance: np.random.Generator) -> Story:
    """One rollout."""
    canary = np.repeat([True, False], [world.canaries, world.controls])
    hardware = _hardware(world, canary)
    wave = _waves(world, canary, hardware)
    enrolled = wave.astype(np.float64) * world.draw_every
    gone = np.minimum(chance.exponential(1.0 / max(world.loss, 1e-12), len(canary)), _bricked(world, canary, chance))
    gone = np.minimum(enrolled + gone, _outages(world, len(canary), chance))
    crashed = _crashes(world, canary, hardware, enrolled, chance)
    soaked = enrolled + world.soak
    latency, before = _latencies(world, canary, chance)
    alarmed = _alarms(world, canary, enrolled, chance)
    updated, failed = _answers(world, canary, enrolled, chance)
    return Story(
        canary=canary,
        hardware=hardware,
        wave=wave,
        enrolled=enrolled,
        crashed=np.where(crashed < gone, crashed, NEVER),
        silent=gone + world.lease,
        soaked=np.where(soaked < gone, soaked, NEVER),
        latency=latency,
        before=before,
        alarmed=np.where(alarmed < gone, alarmed, NEVER),
        updated=np.where(updated < gone, updated, NEVER),
        update_failed=np.where(failed < gone, failed, NEVER),
    )


def evidence(world: World, story: Story, chance: np.random.Generator) -> EvidenceColumns:
    """The story as evidence, in order of time; facts that come too late are missing, in both arms alike."""
    devices = np.argsort(story.enrolled, kind="stable")
    rows = [_rows(Code.ENROLLED, devices, story.enrolled[devices], world)]
    for kind, times in _happened(story).items():
        late = (chance.random(len(times)) < world.lossy) * chance.uniform(0.0, world.late, len(times))
        told = np.flatnonzero(np.isfinite(times) & (late <= world.patience))
        rows.append(_rows(kind, told, times[told], world))
    at, code, device = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    order = np.lexsort((code, at))
    return _columns(story, devices, at[order], code[order], device[order])


def _happened(story: Story) -> dict[Code, Floats]:
    return {
        Code.CRASHED: story.crashed,
        Code.SILENT: story.silent,
        Code.SOAKED: story.soaked,
        Code.ALARMED: story.alarmed,
        Code.UPDATED: story.updated,
        Code.UPDATE_FAILED: story.update_failed,
    }


def _columns(story: Story, devices: Ints, at: Ints, code: Ints, device: Ints) -> EvidenceColumns:
    number = np.empty(len(devices), dtype=np.int64)
    number[devices] = np.arange(len(devices))
    enrolling = code == Code.ENROLLED
    places = np.unique(story.hardware * 100_000 + story.wave, return_inverse=True)[1]
    return EvidenceColumns(
        at=at,
        code=code,
        device=number[device],
        stratum=np.where(enrolling, places[device], -1),
        pool=np.where(enrolling, story.hardware[device], -1),
        canary=enrolling & story.canary[device],
        metric=np.where(code == Code.SOAKED, 0, -1),
        value=story.latency[device],
        before=story.before[device],
    )


def _rows(code: Code, device: Ints, hours: Floats, world: World) -> tuple[Ints, Ints, Ints]:
    shown = hours <= world.hours
    device, at = device[shown], np.round(hours[shown] * HOUR_MS).astype(np.int64) + 1
    return at, np.full(len(device), int(code)), device


def _hardware(world: World, canary: Bools) -> Ints:
    # Half of each arm; crossed: seven tenths of the canaries and three tenths of the controls.
    share = np.where(canary, 0.7, 0.3) if world.crossed else np.full(len(canary), 0.5)
    place = np.where(canary, np.arange(len(canary)), np.arange(len(canary)) - world.canaries)
    of = np.where(canary, world.canaries, world.controls)
    return (place < share * of).astype(np.int64)


def _waves(world: World, canary: Bools, hardware: Ints) -> Ints:
    # Every draw takes a like share of each arm and hardware.
    waves = max(1, round(world.enrolment / world.draw_every))
    wave = np.zeros(len(canary), dtype=np.int64)
    for arm in (True, False):
        for kind in (0, 1):
            ours = np.flatnonzero((canary == arm) & (hardware == kind))
            wave[ours] = np.arange(len(ours)) * waves // max(1, len(ours))
    return wave


def _bricked(world: World, canary: Bools, chance: np.random.Generator) -> Floats:
    hit = canary & (chance.random(len(canary)) < world.bricked)
    return np.where(hit, chance.random(len(canary)), NEVER)


def _outages(world: World, devices: int, chance: np.random.Generator) -> Floats:
    start = np.full(world.sites, NEVER)
    start[: world.outages] = chance.uniform(world.enrolment, world.hours, world.outages)
    return start[chance.integers(0, world.sites, devices)]


def _crashes(world: World, canary: Bools, hardware: Ints, enrolled: Floats, chance: np.random.Generator) -> Floats:
    grid, hazard = cumulative(world, chance.uniform(0.0, 24.0))
    base = np.interp(enrolled, grid, hazard)
    kind = np.where(hardware == 1, world.second_hardware, 1.0)
    if world.marginal_ratio:
        # The group's survival is that of the frail fleet to the power of the ratio.
        uniform = chance.random(len(canary)) ** np.where(canary, 1.0 / world.marginal_ratio, 1.0)
        needed = world.frailty * (uniform ** (-1.0 / world.frailty) - 1.0) / kind
    else:
        frail = chance.gamma(world.frailty, 1.0 / world.frailty, len(canary))
        frail *= kind * np.where(canary, world.crash_ratio, 1.0)
        needed = chance.exponential(1.0, len(canary)) / np.maximum(frail, 1e-300)
    return np.interp(base + needed, hazard, grid, right=NEVER)


def cumulative(world: World, phase: float) -> tuple[Floats, Floats]:
    """Hours, and the hazard of crashes up to each for a device of frailty 1; the day begins `phase` hours in."""
    grid = np.arange(0.0, world.hours + 2 * _STEP_H, _STEP_H)
    rate = 1.0 + world.daily * np.sin((grid[:-1] + phase) * np.pi / 12.0)
    rate = rate * np.where((grid[:-1] >= 20.0) & (grid[:-1] < 22.0), world.shock, 1.0) * world.crash_rate  # noqa: PLR2004
    return grid, np.concatenate([[0.0], np.cumsum(rate * _STEP_H)])


def _latencies(world: World, canary: Bools, chance: np.random.Generator) -> tuple[Floats, Floats]:
    level = chance.normal(0.0, world.between, len(canary))
    noise = world.within / np.sqrt(world.samples)
    after = level + chance.normal(0.0, world.drift, len(canary)) + chance.normal(0.0, noise, len(canary))
    before = np.exp(level + chance.normal(0.0, noise, len(canary)))
    latency = np.exp(after) * np.where(canary, world.latency, 1.0)
    return latency, before if world.past else np.full(len(canary), np.nan)


def _alarms(world: World, canary: Bools, enrolled: Floats, chance: np.random.Generator) -> Floats:
    if not world.alarm_rate:
        return np.full(len(canary), NEVER)
    rate = world.alarm_rate * np.where(canary, world.alarm_ratio, 1.0)
    return enrolled + chance.exponential(1.0, len(canary)) / rate


def _answers(world: World, canary: Bools, enrolled: Floats, chance: np.random.Generator) -> tuple[Floats, Floats]:
    if not world.updates:
        return np.full(len(canary), NEVER), np.full(len(canary), NEVER)
    answered = np.where(canary, enrolled + chance.uniform(0.0, ANSWER_H, len(canary)), NEVER)
    failed = chance.random(len(canary)) < world.update_failed
    return np.where(failed, NEVER, answered), np.where(failed, answered, NEVER)
