"""How far a rollback has come: commanded, done, recovered; or refused, or unreachable until it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from analytics.rollback.actuator import Decision, Purpose, Target, command_id
from analytics.rollback.recovery import Compared, Recovery, new_recovery
from ingest.contract.events import AckStatus, DeviceChange, DeviceState, RollbackPhase, RollbackStatus

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from ingest.contract.events import AckEvent, DeviceEvent

MOST_OF_A_LOOK = 2_000
"""So many commands are signed at the most before they are saved and sent: gateways and devices begin while the next ones are signed."""
ABSENT = frozenset({DeviceState.SILENT, DeviceState.LOST, DeviceState.RETIRED})


class Progress(msgspec.Struct, kw_only=True):
    """One device on its way back. `done_at` and `fresh_at` are its gateway's time, `absent_since` the centre's (ms).

    `fresh_at` is the start of the newest window of its telemetry, `expired` that its command ran out unanswered, `problem` why it has
    not recovered although it is done, `alone` that there was no control to compare it with.
    """

    target: Target
    firmware: str = ""
    done_at: int = 0
    fresh_at: int = 0
    recovered: bool = False
    problem: str = ""
    alone: bool = False
    absent_since: int = 0
    expired: bool = False
    answered: bool = False
    refused: str = ""


class Wave(NamedTuple):
    """How commands are spread: `devices` at once (0: all), and the time (ms) between two waves."""

    devices: int = 0
    apart_ms: int = 0


class Tracker(msgspec.Struct, kw_only=True):
    """One rollback. `settle_ms` is how long a device may be absent before it counts as unreachable.

    `commands` says whether the devices are commanded; else who owns the rollout brings them back, and nobody answers.
    `waiting` are the devices whose turn has not come yet, in their order, `waved_at` (ms) is when the last wave began, `left` how many
    devices of it are still to be commanded.
    """

    rollout: str
    tenant: str
    version: str
    decided_at: int
    settle_ms: int
    devices: dict[str, Progress]
    phase: RollbackPhase = RollbackPhase.COMMANDED
    waiting: list[str] = []
    waved_at: int = 0
    left: int = 0
    commands: bool = True
    recovery: Recovery = msgspec.field(default_factory=lambda: new_recovery([], [], [], 0))

    def next_wave(self, wave: Wave, now: int) -> list[Target]:
        """The devices whose turn it is at `now` (ms), a part of a large wave: they are to be commanded, and wait no longer."""
        if not self.commands or not self.waiting:
            return []
        if not self.left and now - self.waved_at >= wave.apart_ms:
            self.left, self.waved_at = min(wave.devices or len(self.waiting), len(self.waiting)), now
        size = min(self.left, MOST_OF_A_LOOK)
        due, self.waiting, self.left = self.waiting[:size], self.waiting[size:], self.left - size
        return [self.devices[name].target for name in due]

    def compares(self) -> bool:
        """Whether windows are looked at: somebody is done and has not recovered."""
        return any(progress.done_at and not progress.recovered for progress in self.devices.values())

    def on_ack(self, ack: AckEvent) -> bool:
        """A device, or its gateway for it, answered; whether that concerns this rollback."""
        progress = self._progress(ack.site, ack.device)
        if progress is None or ack.command != self._command(progress):
            return False
        if ack.status is AckStatus.DONE:
            progress.answered, progress.refused = True, ""
            progress.firmware = ack.firmware or progress.firmware
            self._done(progress, ack.at)
        elif ack.status in (AckStatus.REFUSED, AckStatus.FAILED):
            progress.refused = ack.reason or ack.status.value
        elif ack.status is AckStatus.EXPIRED:
            progress.expired = True
        return True

    def on_device(self, event: DeviceEvent, now: int) -> bool:
        """A device changed (what it runs, whether it is there); whether that concerns this rollback."""
        if event.change is DeviceChange.REBOOTED:
            self.recovery.rebooted(f"{event.site}/{event.device}", event.at)
        progress = self._progress(event.site, event.device)
        if progress is None:
            return False
        if event.state in ABSENT:
            progress.absent_since = progress.absent_since or now
            return True
        progress.absent_since = 0
        progress.firmware = event.firmware or progress.firmware
        progress.answered |= event.change is DeviceChange.INSTALLED and event.firmware == self.version
        # Before its owner's turn it was on the previous release as well.
        if not self.commands and progress.firmware != self.version:
            progress.done_at, progress.recovered = 0, False
        self._done(progress, event.at)
        return True

    def on_windows(self, site: str, newest: Mapping[str, int]) -> bool:
        """Telemetry of a site: the start (ms) of each device's newest window; whether that concerns this rollback's devices."""
        ours = [(p, start) for d, start in newest.items() if (p := self._progress(site, d)) and not p.recovered]
        for progress, start in ours:
            progress.fresh_at = max(progress.fresh_at, start)
        return bool(ours)

    def tick(self, anomalous: Container[str], now: int) -> None:
        """Judge who has recovered and whether all is said; `anomalous` are the devices with an active anomaly."""
        for name, progress in self.devices.items():
            if progress.done_at and not progress.recovered:
                progress.problem, progress.alone = self._compare(name, progress, is_anomalous=name in anomalous)
                progress.recovered = not progress.problem
        if all(self._is_settled(progress, now) for progress in self.devices.values()):
            self.phase = RollbackPhase.COMPLETE

    def to_repeat(self) -> list[Target]:
        """Devices that are back without having done it, whose command has expired: they get another one."""
        back = [p for p in self.devices.values() if p.expired and not p.done_at and not p.absent_since]
        for progress in back:
            progress.expired, progress.refused = False, ""
            progress.target = progress.target._replace(attempt=progress.target.attempt + 1)
        return [progress.target for progress in back]

    def status(self, now: int) -> RollbackStatus:
        """The rollback as a record; devices are `site/device`, sorted."""
        return RollbackStatus(
            rollout=self.rollout,
            tenant=self.tenant,
            phase=self.phase,
            decided_at=self.decided_at,
            at=now,
            commanded=sorted(self.devices),
            done=sorted(name for name, p in self.devices.items() if p.done_at),
            recovered=sorted(name for name, p in self.devices.items() if p.recovered),
            unreachable=sorted(name for name, p in self.devices.items() if self._is_unreachable(p, now)),
            refused={name: p.refused for name, p in sorted(self.devices.items()) if p.refused},
            recovering={n: p.problem for n, p in sorted(self.devices.items()) if p.done_at and not p.recovered},
            uncompared=sorted(name for name, p in self.devices.items() if p.recovered and p.alone),
        )

    def _done(self, progress: Progress, at: int) -> None:
        # Saying so is not enough, and running it is not either: the answer may be about to come, a reboot under way.
        says_so = progress.answered or not self.commands
        if says_so and progress.firmware == self.version and not progress.done_at:
            progress.done_at, progress.expired, progress.refused = at, False, ""

    def _compare(self, name: str, progress: Progress, *, is_anomalous: bool) -> Compared:
        if progress.fresh_at < progress.done_at:
            return Compared("no telemetry since it is back")
        return Compared("an anomaly is active") if is_anomalous else self.recovery.compare(name, progress.done_at)

    def _is_unreachable(self, progress: Progress, now: int) -> bool:
        absent = progress.absent_since > 0 and now - progress.absent_since >= self.settle_ms
        return not progress.recovered and (absent or progress.expired)

    def _is_settled(self, progress: Progress, now: int) -> bool:
        return progress.recovered or bool(progress.refused) or self._is_unreachable(progress, now)

    def _command(self, progress: Progress) -> str:
        return command_id(self.rollout, Purpose.ROLLBACK, progress.target)

    def _progress(self, site: str, device: str) -> Progress | None:
        return self.devices.get(f"{site}/{device}")


def new_tracker(
    decision: Decision,
    devices: Iterable[DeviceEvent],
    recovery: Recovery,
    *,
    settle_ms: int,
    now: int,
    commands: bool = True,
) -> Tracker:
    """Follow a decision; `devices` is what is known of its targets."""
    known = {f"{event.site}/{event.device}": event for event in devices}
    tracker = Tracker(
        rollout=decision.rollout,
        tenant=decision.tenant,
        version=decision.version,
        decided_at=decision.decided_at,
        settle_ms=settle_ms,
        devices={f"{target.site}/{target.device}": Progress(target=target) for target in decision.targets},
        waiting=[],
        commands=commands,
        recovery=recovery,
    )
    for name, progress in tracker.devices.items():
        tracker.waiting.append(name)
        event = known.get(name)
        if event is not None:
            progress.firmware = event.firmware
            progress.absent_since = now if event.state in ABSENT else 0
            if not commands:
                tracker.on_device(event, now)
    return tracker
