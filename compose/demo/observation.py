"""What can be seen of the running system at one moment."""

from __future__ import annotations

from typing import Any

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Samples at the edge of all sites together, by what became of them."""

    received: int
    rolled_up: int
    duplicate: int
    rejected: int
    dropped: int
    open: int
    waiting: int
    """Records in the outboxes."""

    def counts(self) -> tuple[int, ...]:
        """All of it, to be compared."""
        counts: tuple[int, ...] = msgspec.structs.astuple(self)
        return counts

    def balanced(self) -> bool:
        """Whether every sample received is explained."""
        explained = self.rolled_up + self.duplicate + self.rejected + self.dropped + self.open
        return self.received == explained


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Devices, sites, alerts, gate and rollback as the API has them; account and inbox as their owners have them."""

    devices: list[dict[str, Any]]
    sites: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    gate: dict[str, Any]
    rollback: dict[str, Any]
    account: Account
    fired: frozenset[str]
    """Fingerprints that the on-call inbox has got as firing."""
    resolved: frozenset[str]
    """Fingerprints that it has got as resolved."""

    def moving(self) -> tuple[object, ...]:
        """What changes while the loop goes on; samples always come, they say nothing of it."""
        return (
            tuple(sorted(f"{device['device']} {device['state']} {device['firmware']}" for device in self.devices)),
            tuple(sorted((alert["fingerprint"], alert["state"]) for alert in self.alerts)),
            f"{self.verdict()} {self.gate.get('e_value', 0.0)}",
            tuple(sorted((name, str(value)) for name, value in self.rollback.items())),
            (self.fired, self.resolved),
        )

    def online(self) -> int:
        """Devices that report."""
        return sum(device["state"] == "online" for device in self.devices)

    def on_firmware(self, version: str) -> int:
        """Devices that the centre knows to run `version`."""
        return sum(device["firmware"] == version for device in self.devices)

    def firing(self, name: str) -> list[dict[str, Any]]:
        """The alerts of that name that fire now."""
        return [alert for alert in self.alerts if alert["name"] == name and alert["state"] == "firing"]

    def verdict(self) -> str:
        """The gate's answer; empty before there is a rollout."""
        return str(self.gate.get("verdict", ""))

    def rolled_back(self, what: str) -> list[str]:
        """Devices of the rollback that are `commanded`, `done`, `recovered` or `unreachable`."""
        return list(self.rollback.get(what, []))
