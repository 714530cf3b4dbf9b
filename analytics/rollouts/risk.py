"""Who is at risk of what: the counts that every bet is made with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ingest.contract.events import Arm

if TYPE_CHECKING:
    from collections.abc import Iterable


class EventTime(NamedTuple):
    """The first events of one guard in one stratum at one instant `at` (ms), and who was at risk just before."""

    events_canary: int
    events: int
    canaries: int
    controls: int
    at: int


class Member(msgspec.Struct):
    """An enrolled device. `exposed` are the positions of the guards it has had no first event of."""

    stratum: str
    arm: Arm
    exposed: set[int]


class RiskTable(msgspec.Struct):
    """The enrolled devices by key, and per stratum and guard how many canaries and controls are at risk."""

    guards: int
    members: dict[str, Member] = {}
    at_risk: dict[str, list[list[int]]] = {}
    enrolled: tuple[int, int] = (0, 0)
    """How many canaries and controls ever."""

    def enrol(self, device: str, stratum: str, arm: Arm) -> None:
        """A device is at risk from now; enrolling it again changes nothing."""
        if device in self.members:
            return
        self.members[device] = Member(stratum, arm, set(range(self.guards)))
        self.enrolled = (self.enrolled[0] + (arm is Arm.CANARY), self.enrolled[1] + (arm is Arm.CONTROL))
        for counts in self.at_risk.setdefault(stratum, [[0, 0] for _ in range(self.guards)]):
            counts[_column(arm)] += 1

    def fail(self, guard: int, stratum: str, devices: Iterable[str], at: int) -> EventTime | None:
        """These devices of one stratum have their first event at the same instant; None when none was at risk."""
        failing = {device for device in devices if self._is_exposed(device, guard, stratum)}
        arms = Counter(self.members[device].arm for device in failing)
        if not arms:
            return None
        canaries, controls = self.at_risk[stratum][guard]
        for device in failing:
            self._leave(self.members[device], guard)
        return EventTime(arms[Arm.CANARY], arms.total(), canaries, controls, at)

    def censor(self, devices: Iterable[str]) -> None:
        """These devices leave for a reason that is neither arm's doing."""
        for member in (self.members[device] for device in devices if device in self.members):
            for guard in sorted(member.exposed):
                self._leave(member, guard)

    def comparable(self) -> bool:
        """Whether any stratum has both arms at risk of anything."""
        return any(min(counts) > 0 for guards in self.at_risk.values() for counts in guards)

    def _is_exposed(self, device: str, guard: int, stratum: str) -> bool:
        member = self.members.get(device)
        return member is not None and member.stratum == stratum and guard in member.exposed

    def _leave(self, member: Member, guard: int) -> None:
        member.exposed.remove(guard)
        self.at_risk[member.stratum][guard][_column(member.arm)] -= 1


def _column(arm: Arm) -> int:
    return 0 if arm is Arm.CANARY else 1
