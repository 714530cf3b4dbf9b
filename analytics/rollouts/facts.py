"""What happened to a device, in the few words that evidence needs, in the order in which it happened."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import AckEvent, AckStatus, DeviceChange, DeviceEvent

if TYPE_CHECKING:
    from collections.abc import Mapping


class FactKind(IntEnum):
    """Kinds of facts, in the order in which those of one instant are taken."""

    ACCEPTED = 0  # the device took the install command: the grace begins
    INSTALLED = 1  # it came back with other firmware
    INSTALL_OVER = 2  # it says that the install is done, failed or refused
    REBOOTED = 3
    HEARD = 4
    SILENT = 5
    RETIRED = 6
    GRACE_OVER = 7  # nobody's message: time has passed
    SOAK_OVER = 8  # likewise


class Fact(msgspec.Struct, frozen=True, order=True):
    """One fact at the gateway's time `at` (ms); `command` is what an acknowledgement is for."""

    at: int
    kind: FactKind
    site: str
    device: str
    command: str = ""
    trace: str = ""

    def identity(self) -> tuple[int, FactKind, str, str]:
        """Equal for a fact that was delivered again."""
        return (self.at, self.kind, self.device, self.command)


_CHANGES: Mapping[DeviceChange, FactKind] = {
    DeviceChange.FIRST_SEEN: FactKind.HEARD,
    DeviceChange.ATTRIBUTES: FactKind.HEARD,
    DeviceChange.INSTALLED: FactKind.INSTALLED,
    DeviceChange.REBOOTED: FactKind.REBOOTED,
    DeviceChange.SILENT: FactKind.SILENT,
    DeviceChange.RETURNED: FactKind.HEARD,
    DeviceChange.RETIRED: FactKind.RETIRED,
}


def device_fact(event: DeviceEvent, trace: str) -> Fact | None:
    """A device event as a fact. A last will is none: a connection that broke is no silence before the lease runs out."""
    kind = _CHANGES.get(event.change)
    return None if kind is None else Fact(event.at, kind, event.site, event.device, trace=trace)


def ack_fact(ack: AckEvent, trace: str) -> Fact:
    """An acknowledgement as a fact."""
    kind = FactKind.ACCEPTED if ack.status is AckStatus.ACCEPTED else FactKind.INSTALL_OVER
    return Fact(ack.at, kind, ack.site, ack.device, ack.command, trace)
