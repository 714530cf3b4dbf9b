"""What is known of every device: the newest device event of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.rollouts.assign import Candidate, hash_of
from ingest.contract.events import DeviceEvent, DeviceState

if TYPE_CHECKING:
    from ingest.contract.events import RolloutPlan

_DECODER = msgspec.msgpack.Decoder(dict[str, DeviceEvent])


class Fleet:
    """The device table. A place is `tenant/site`: two tenants may call their sites alike."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, DeviceEvent]] = {}
        self._changed: set[str] = set()

    def take(self, event: DeviceEvent) -> None:
        """Note a device event: the log keeps a device's in order, so the last one read is the newest."""
        place = f"{event.tenant}/{event.site}"
        self._places.setdefault(place, {})[event.device] = event
        self._changed.add(place)

    def get(self, place: str, device: str) -> DeviceEvent | None:
        """The newest event of a device."""
        return self._places.get(place, {}).get(device)

    def candidates(self, plan: RolloutPlan, place: str) -> list[Candidate]:
        """The devices of a place that the plan may take: online, on the previous release, selected."""
        devices = self._places.get(place, {}).values()
        return [Candidate(d.site, d.device, d.hardware, d.group) for d in devices if _may_take(plan, d)]

    def moved(self, plan: RolloutPlan, place: str) -> set[str]:
        """The devices of a place that do not run the plan's previous release."""
        devices = self._places.get(place, {}).values()
        return {device.device for device in devices if device.firmware != plan.previous_release}

    def snapshot(self) -> dict[str, bytes]:
        """The places that changed since the last snapshot."""
        parts = {place: msgspec.msgpack.encode(self._places[place]) for place in sorted(self._changed)}
        self._changed = set()
        return parts

    def restore(self, place: str, part: bytes) -> None:
        """Continue with a place's part."""
        self._places[place] = _DECODER.decode(part)


def _may_take(plan: RolloutPlan, device: DeviceEvent) -> bool:
    chosen = plan.selection
    fits = all(
        not allowed or not set(allowed).isdisjoint(values)
        for values, allowed in (
            ([device.site], chosen.sites),
            ([device.hardware], chosen.hardware),
            ([device.group], chosen.groups),
            ([device.firmware], chosen.firmware),
            (device.tags, chosen.tags),
        )
    )
    ours = device.tenant == plan.tenant and device.firmware == plan.previous_release
    return fits and ours and device.state is DeviceState.ONLINE and _is_picked(plan, device)


def _is_picked(plan: RolloutPlan, device: DeviceEvent) -> bool:
    # A hash of its own: who is picked says nothing about the arm.
    return 100.0 * hash_of(plan.seed, plan.rollout, "picked", device.site, device.device) < plan.selection.percent
