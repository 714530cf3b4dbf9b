"""Devices and gateways: topic `fleet.devices.v1`."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DeviceState(StrEnum):
    """What is known of a device."""

    ONLINE = "online"
    SILENT = "silent"  # its lease ran out
    LOST = "lost"  # its last will was published
    RETIRED = "retired"


class DeviceChange(StrEnum):
    """What made a device event."""

    FIRST_SEEN = "first_seen"
    ATTRIBUTES = "attributes"  # hardware, group or tags changed
    INSTALLED = "installed"  # firmware changed; a reboot that comes with it is part of the install
    REBOOTED = "rebooted"  # a new boot id, or an uptime that fell, with the same firmware
    SILENT = "silent"
    LOST = "lost"
    RETURNED = "returned"  # heard again after silent or lost
    RETIRED = "retired"


class DeviceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.devices.v1`, key `{site}/{device}`: everything known of a device after one change, at `at` (ms)."""

    tenant: str
    site: str
    gateway: str
    device: str
    change: DeviceChange
    state: DeviceState
    at: int
    firmware: str = ""
    previous_firmware: str = ""
    hardware: str = ""
    group: str = ""
    tags: list[str] = []
    boot: str = ""
    reboots: int = 0
    last_seen: int = 0
    clock_ahead_ms: int | None = None
    """How far its clock is ahead of the gateway's, estimated; None when it has not sent a sample yet."""


class GatewayEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.devices.v1`, key `{site}/gateway:{gateway}`: the gateway's heartbeat.

    All device events of this gateway up to `at` (ms) precede it in the topic: `at` is the site's watermark. Of rollups it
    says nothing but `backlog_from`.
    """

    tenant: str
    site: str
    gateway: str
    at: int
    devices: int
    silent: int
    cut_off: bool
    """The gateway hears no devices because it is cut off from its broker; leases stand still."""
    backlog_bytes: int = 0
    backlog_from: int = 0
    """The start (ms) of the earliest window in a backlog that still waits at the gateway; 0 without any. Up to there the
    rollups are complete; what lies beyond has gaps for now, because the newest are sent first."""
    heartbeat_ms: int = 5000
