"""What happened to a device, in the few words that evidence needs, in the order in which it happened."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import AckEvent, AckStatus, AnomalyEvent, AnomalyStatus, DeviceChange, DeviceEvent

if TYPE_CHECKING:
    from collections.abc import Mapping


class FactKind(IntEnum):
    """Kinds of facts, in the order in which those of one instant are taken."""

    ACCEPTED = 0  # the device took the install command: the grace begins
    INSTALLED = 1  # it came back with other firmware
    INSTALL_OVER = 2  # its install command expired unanswered
    REBOOTED = 3
    HEARD = 4
    SILENT = 5
    RETIRED = 6
    GRACE_OVER = 7  # nobody's message: time has passed
    SOAK_OVER = 8  # likewise
    INSTALL_DONE = 9  # it says so
    INSTALL_FAILED = 10  # it says so, or that it refuses
    ALARMED = 11  # a detector's alarm began
    SILENCE_TOLD = 12  # nobody's message: by now a silence would be known to be its whole site's
    OUTAGE_OVER = 13  # likewise: a site's devices had time to come back


class Fact(msgspec.Struct, frozen=True, order=True):
    """One fact at the gateway's time `at` (ms); `command` is what an acknowledgement is for."""

    at: int
    kind: FactKind
    site: str
    device: str
    command: str = ""
    trace: str = ""
    reason: str = ""

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


_ANSWERS: Mapping[AckStatus, FactKind] = {
    AckStatus.ACCEPTED: FactKind.ACCEPTED,
    AckStatus.DONE: FactKind.INSTALL_DONE,
    AckStatus.REFUSED: FactKind.INSTALL_FAILED,
    AckStatus.FAILED: FactKind.INSTALL_FAILED,
    AckStatus.EXPIRED: FactKind.INSTALL_OVER,
}

BLIND = frozenset({"robust_level", "robust_rate", "novelty", "stuck", "silence", "drift", "unrest", "together"})
"""Detectors that know neither release nor arm: they compare a series with its own past."""


def device_fact(event: DeviceEvent, trace: str) -> Fact | None:
    """A device event as a fact. A last will is none: a connection that broke is no silence before the lease runs out."""
    kind = _CHANGES.get(event.change)
    return None if kind is None else Fact(event.at, kind, event.site, event.device, trace=trace)


def ack_fact(ack: AckEvent, trace: str) -> Fact:
    """An acknowledgement as a fact."""
    return Fact(ack.at, _ANSWERS[ack.status], ack.site, ack.device, ack.command, trace, ack.reason)


def alarm_fact(event: AnomalyEvent, settle_ms: int, trace: str) -> Fact | None:
    """A detector's alarm as a fact that counts `settle_ms` after it was raised: by then it has been read, whichever the arm.

    None for what is no beginning, and for detectors that may know the release: they compare by it.
    """
    if event.status is not AnomalyStatus.ENTERED or event.detector not in BLIND:
        return None
    return Fact(event.at + settle_ms, FactKind.ALARMED, event.site, event.device, trace=trace, reason=event.detector)
