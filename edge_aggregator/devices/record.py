"""What is known of one device, and how a state message changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import DeviceChange, DeviceState

if TYPE_CHECKING:
    from edge_aggregator.decode.decoded import StateMessage

_MOST_HISTORY = 8


class Attributes(msgspec.Struct, frozen=True, array_like=True):
    """Firmware, hardware and group since `since` (ms)."""

    since: int = 0
    firmware: str = ""
    hardware: str = ""
    group: str = ""


class Record(msgspec.Struct, array_like=True):
    """A device: its state, boot, reboots, tags, and its attributes now and before (`history`, oldest first, never empty)."""

    state: DeviceState = DeviceState.ONLINE
    boot: str = ""
    reboots: int = 0
    installed_at: int = 0
    history: list[Attributes] = msgspec.field(default_factory=lambda: [Attributes()])
    tags: list[str] = []

    @property
    def attributes(self) -> Attributes:
        """The attributes now."""
        return self.history[-1]

    def version_at(self, at: int) -> int:
        """Which entry of `history` was true at `at` (ms)."""
        return max((index for index, entry in enumerate(self.history) if entry.since <= at), default=0)

    def describe(self, message: StateMessage) -> DeviceChange | None:
        """Take over what the device says of itself; what that changed, if anything."""
        before, boot, tags = self.attributes, self.boot, self.tags
        after = Attributes(
            message.at,
            message.firmware or before.firmware,
            message.hardware or before.hardware,
            message.group or before.group,
        )
        if msgspec.structs.replace(after, since=before.since) != before:
            # What was said first is taken to have been true before as well.
            unknown = before == Attributes()
            self.history.append(msgspec.structs.replace(after, since=0) if unknown else after)
            self.history = self.history[1:] if unknown else self.history[-_MOST_HISTORY:]
        self.boot, self.tags = message.boot or boot, tags if message.tags is None else message.tags
        return self._change(before, boot, message.at) or (DeviceChange.ATTRIBUTES if self.tags != tags else None)

    def _change(self, before: Attributes, boot: str, at: int) -> DeviceChange | None:
        after = self.attributes
        if before.firmware and after.firmware != before.firmware:
            self.installed_at = at  # a reboot that comes with it is part of the install
            return DeviceChange.INSTALLED
        if boot and self.boot != boot:
            self.reboots += 1
            return DeviceChange.REBOOTED
        changed = (after.firmware, after.hardware, after.group) != (before.firmware, before.hardware, before.group)
        return DeviceChange.ATTRIBUTES if changed else None
