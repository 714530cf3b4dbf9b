"""The devices of a site: seen, described, rebooted, silent, back. Pure: time comes with the messages or as an argument."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.decode.decoded import StateMessage
from edge_aggregator.devices.clocks import Clocks
from edge_aggregator.devices.record import Record
from edge_aggregator.devices.uptime import falls
from edge_aggregator.journal.codec import pack_integers, unpack_integers
from ingest.contract.events import DeviceChange, DeviceEvent, DeviceState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edge_aggregator.decode.decoded import Notes, Samples
    from edge_aggregator.names import Names

_INSTALL_MS = 5000
_AWAY = (DeviceState.SILENT, DeviceState.LOST, DeviceState.RETIRED)


class Site(NamedTuple):
    """Who speaks."""

    tenant: str
    site: str
    gateway: str


class Registry:
    """Every device known, by id.

    `columns`, one row a device: `seen` (ms of the gateway's clock), `listened` (s, see `tick`), `leased` (whether its
    silence would be news), `online` (known and not away), `uptime` (s), `uptime_ts` (ms).
    """

    def __init__(self, site: Site, names: Names, *, lease_s: float) -> None:
        self._site, self._names, self.lease_s = site, names, lease_s
        self.clocks = Clocks()
        self.records: dict[int, Record] = {}
        self.columns = Columns(
            {
                "seen": ("i8", 0),
                "listened": ("f8", 0.0),
                "leased": ("?", 0),
                "online": ("?", 0),
                "uptime": ("f8", -np.inf),
                "uptime_ts": ("i8", -1),
            }
        )
        self._events: list[DeviceEvent] = []
        self._changed: set[int] = set()

    def step(self, samples: Samples, notes: Notes, listened: float) -> None:
        """Take what one commit brought; `listened` as in `tick`."""
        self.columns.grow_to(len(self._names.devices))
        ended = set()
        for message in notes.messages:
            if not isinstance(message, StateMessage):
                self._hear(message.device, message.at, listened)
            elif message.state == DeviceState.ONLINE:
                self._online(message, listened)
            else:
                self._ended(message, listened)
                ended.add(message.device)
        # What else came in this commit of a device that has ended may have been sent before.
        heard = np.array([device for device in notes.heard if device not in ended], np.int64)
        self._hear_all(heard, notes.taken, listened)
        for fall in falls(samples, self._names, self.columns):
            self._fell(fall.device, fall.uptime, notes.taken)

    def tick(self, now: int, listened: float) -> list[DeviceEvent]:
        """All changes since the last call, and whose lease has run out at `now` (ms).

        `listened`: seconds for which devices could be heard since the start, so that leases stand still meanwhile.
        """
        silent = self.columns["leased"] & (listened - self.columns["listened"] > self.lease_s)
        for device in np.flatnonzero(silent).tolist():
            self._enter(device, DeviceState.SILENT)
            self._event(device, DeviceChange.SILENT, now)
        events, self._events = self._events, []
        return events

    def seen(self, devices: int) -> NDArray[np.int64]:
        """When each of so many devices was heard last (ms), shape (devices,)."""
        self.columns.grow_to(devices)
        return self.columns["seen"]

    def states(self) -> Counter[str]:
        """How many devices are in each state."""
        found = Counter([record.state for record in self.records.values()])
        return Counter({state.value: devices for state, devices in found.items()})

    def hardware(self, device: int) -> str:
        """What a device is, as it said last; empty while that is not known."""
        record = self.records.get(device)
        return record.attributes.hardware if record else ""

    def take_changed(self) -> list[tuple[int, bytes]]:
        """Records that changed since the last call, encoded."""
        changed, self._changed = sorted(self._changed), set()
        return [(device, msgspec.msgpack.encode(self.records[device])) for device in changed]

    def save(self) -> dict[str, bytes]:
        """The columns that outlive the process."""
        return {
            "seen": pack_integers(self.columns["seen"]),
            "uptime": pack_integers(self.columns["uptime"].view(np.int64)),
            "uptime_ts": pack_integers(self.columns["uptime_ts"]),
        } | self.clocks.save()

    def restore(self, records: Mapping[int, bytes], columns: Mapping[str, bytes]) -> None:
        """As saved; every lease begins anew."""
        self.records = {device: msgspec.msgpack.decode(data, type=Record) for device, data in records.items()}
        self.columns.grow_to(len(self._names.devices))
        for name in ("seen", "uptime", "uptime_ts"):
            if name not in columns:
                continue
            values = unpack_integers(columns[name])
            self.columns.grow_to(len(values))
            column = self.columns[name]
            column[: len(values)] = values.view(column.dtype)
        self.clocks.restore(columns)
        for device, record in self.records.items():
            self.columns["leased"][device] = record.state in (DeviceState.ONLINE, DeviceState.LOST)
            self.columns["online"][device] = record.state is DeviceState.ONLINE

    def _online(self, message: StateMessage, listened: float) -> None:
        device = message.device
        self._changed.add(device)
        record = self.records.get(device)
        if record is None:
            record = self._add(device, listened)
            record.describe(message)
            self._event(device, DeviceChange.FIRST_SEEN, message.at)
        else:
            firmware = record.attributes.firmware
            change = record.describe(message)
            if change is not None:
                self._event(device, change, message.at, firmware if change is DeviceChange.INSTALLED else "")
        if not message.retained:  # the broker had kept it: no sign of life
            self._hear(device, message.at, listened)

    def _ended(self, message: StateMessage, listened: float) -> None:
        device, state = message.device, DeviceState(message.state)
        record = self.records.get(device)
        if record is None:
            self._add(device, listened).describe(message)
            self._enter(device, state)
            self._event(device, DeviceChange.FIRST_SEEN, message.at)
            return
        # The last will of an earlier boot may come after the device is back.
        stale = bool(message.boot and record.boot and message.boot != record.boot)
        already = record.state in (state, DeviceState.RETIRED) or (
            state is DeviceState.LOST and record.state is DeviceState.SILENT
        )
        if not stale and not already:
            self._enter(device, state)
            self._event(device, DeviceChange(message.state), message.at)

    def _hear_all(self, devices: NDArray[np.int64], at: int, listened: float) -> None:
        online = self.columns["online"][devices]
        plain = devices[online]
        self.columns["seen"][plain] = np.maximum(at, self.columns["seen"][plain])
        self.columns["listened"][plain] = listened
        for device in devices[~online].tolist():
            self._hear(device, at, listened)

    def _hear(self, device: int, at: int, listened: float) -> None:
        record = self.records.get(device)
        if record is None:
            record = self._add(device, listened)
            self._event(device, DeviceChange.FIRST_SEEN, at)
        self.columns["seen"][device] = max(at, int(self.columns["seen"][device]))
        self.columns["listened"][device] = listened
        if record.state in _AWAY:
            self._enter(device, DeviceState.ONLINE)
            self._event(device, DeviceChange.RETURNED, at)

    def _fell(self, device: int, uptime: float, at: int) -> None:
        record = self.records.get(device)
        if record is None or record.boot:  # who sends boot ids is judged by them
            return
        if record.installed_at and at - uptime * 1000 <= record.installed_at + _INSTALL_MS:
            return
        record.reboots += 1
        self._event(device, DeviceChange.REBOOTED, at)

    def _add(self, device: int, listened: float) -> Record:
        record = self.records[device] = Record()
        self.columns["listened"][device] = listened
        self.columns["leased"][device] = self.columns["online"][device] = True
        return record

    def _enter(self, device: int, state: DeviceState) -> None:
        self.records[device].state = state
        self.columns["leased"][device] = state in (DeviceState.ONLINE, DeviceState.LOST)
        self.columns["online"][device] = state is DeviceState.ONLINE

    def _event(self, device: int, change: DeviceChange, at: int, previous_firmware: str = "") -> None:
        record = self.records[device]
        self._changed.add(device)
        self._events.append(
            DeviceEvent(
                **self._site._asdict(),
                device=self._names.devices[device],
                change=change,
                state=record.state,
                at=at,
                firmware=record.attributes.firmware,
                previous_firmware=previous_firmware,
                hardware=record.attributes.hardware,
                group=record.attributes.group,
                tags=record.tags,
                boot=record.boot,
                reboots=record.reboots,
                last_seen=int(self.columns["seen"][device]),
                clock_ahead_ms=self.clocks.offset(device),
            )
        )
