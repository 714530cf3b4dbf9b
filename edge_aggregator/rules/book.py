"""All rules of a site over all its series and devices: from closed windows and device events to changes of alarms."""

from __future__ import annotations

import fnmatch
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_aggregator.metric_facts import OVERFLOW_METRIC
from edge_aggregator.names import SeriesName
from edge_aggregator.rules.alarm import Alarm
from edge_aggregator.rules.watch import Change, Stage, Watch
from ingest.contract.events import AlertState, DeviceChange, DeviceState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge_aggregator.devices.registry import Registry
    from edge_aggregator.names import Names
    from edge_aggregator.rules.config import RuleConfig
    from edge_aggregator.windows.rollups import Rollups
    from ingest.contract.events import DeviceEvent

MOST_ALARMS = 2000
"""Alarms that are pending or firing at once; what is more is counted."""

_STATES = {Stage.PENDING: AlertState.PENDING, Stage.FIRING: AlertState.FIRING}


class RuleBook:
    """`alarms` are those that are pending or firing, by fingerprint; `suppressed` counts those beyond `MOST_ALARMS`.

    Only first emissions are judged, in the order of their starts: a correction of the past starts or ends no alarm.
    """

    def __init__(self, names: Names, registry: Registry, rules: Sequence[RuleConfig], known: Iterable[Alarm]) -> None:
        self._names, self._registry = names, registry
        self.alarms = {alarm.fingerprint(): alarm for alarm in known}
        self.suppressed: Counter[str] = Counter()
        self._told: list[Alarm] = []
        self._take(rules)

    def replace(self, rules: Sequence[RuleConfig]) -> None:
        """Other rules from now on; alarms that no rule stands for any more end with the next flush."""
        self._take(rules)

    def restored(self) -> list[Alarm]:
        """The alarms that fire, once after a start: a panel may have forgotten them."""
        return [alarm for alarm in self.alarms.values() if alarm.state is AlertState.FIRING]

    def waiting(self) -> bool:
        """Whether an alarm changed without a window or event."""
        return bool(self._told)

    def step(self, rollups: Rollups, events: Sequence[DeviceEvent]) -> list[Alarm]:
        """Every alarm that changed, in the order in which it did."""
        found, self._told = self._told, []
        if self._watches or self._silences or self.alarms:
            found += self._follow(events)
            self._grow()
            fresh = rollups.rows(rollups.revision == 0)
            for watch in self._watches.values():
                found += [alarm for change in watch.step(fresh) if (alarm := self._changed(watch.rule, change))]
            found += [alarm for event in events for alarm in self._heard(event)]
        return found

    def counts(self) -> Counter[tuple[str, str]]:
        """Alarms by rule and state; every rule is there."""
        found = Counter({(name, state.value): 0 for name in self._rules for state in _STATES.values()})
        found.update((alarm.rule, alarm.state.value) for alarm in self.alarms.values())
        return found

    def _take(self, rules: Sequence[RuleConfig]) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._silences = [rule for rule in rules if rule.kind == "silence"]
        self._watches = {rule.name: Watch(rule) for rule in rules if rule.kind != "silence"}
        self._grown = 0
        self._grow()
        for alarm in list(self.alarms.values()):
            if not self._resume(alarm):
                self._told.append(self._ended(alarm, alarm.at, "no rule stands for it any more"))
        for device, record in self._registry.records.items():
            if record.state is DeviceState.SILENT:
                at = int(self._registry.columns["seen"][device])
                self._told += self._silent(device, at)

    def _resume(self, alarm: Alarm) -> bool:
        stands, place = self._stands(alarm), self._place(alarm)
        if stands and place:
            watch, series = place
            stage = Stage.FIRING if alarm.state is AlertState.FIRING else Stage.PENDING
            watch.restore(Change(series, stage, stage, alarm.streak, alarm.since, alarm.at, alarm.value))
        return stands

    def _stands(self, alarm: Alarm) -> bool:
        rule, device = self._rules.get(alarm.rule), self._names.find_device(alarm.device)
        if rule is None or device is None:
            return False
        if not alarm.metric:
            return rule.kind == "silence" and self._matches_device(rule, device)
        place = self._place(alarm)
        return place is not None and bool(place[0].columns["watched"][place[1]])

    def _place(self, alarm: Alarm) -> tuple[Watch, int] | None:
        watch, device = self._watches.get(alarm.rule), self._names.find_device(alarm.device)
        series = self._names.find_series(SeriesName(device or 0, alarm.metric, alarm.labels))
        return None if watch is None or device is None or series is None else (watch, series)

    # Who is watched.

    def _grow(self) -> None:
        fresh = range(self._grown, len(self._names.series))
        self._grown = len(self._names.series)
        names = self._names.series.of(fresh) if self._watches else []
        for watch in self._watches.values():
            watch.columns.grow_to(self._grown)
            matched = [number for number, name in zip(fresh, names, strict=True) if self._matches(watch.rule, name)]
            watch.columns["watched"][matched] = True

    def _follow(self, events: Sequence[DeviceEvent]) -> list[Alarm]:
        # A device that said what it is may match other rules than before.
        said = {self._names.find_device(event.device) for event in events if event.change is not DeviceChange.REBOOTED}
        devices = self._names.columns["device"][: self._grown]
        theirs = np.flatnonzero(np.isin(devices, [device for device in said if device is not None])).tolist()
        for number, name in zip(theirs, self._names.series.of(theirs), strict=True):
            for watch in self._watches.values():
                watch.columns["watched"][number] = self._matches(watch.rule, name)
        names = {event.device for event in events}
        gone = [alarm for alarm in self.alarms.values() if alarm.device in names and not self._stands(alarm)]
        return [self._ended(alarm, alarm.at, "its device matches the rule no more") for alarm in gone]

    def _matches(self, rule: RuleConfig, name: SeriesName) -> bool:
        hidden = name.metric == OVERFLOW_METRIC != rule.metric
        named = bool(name.metric) and fnmatch.fnmatchcase(name.metric, rule.metric) and not hidden
        return named and self._matches_device(rule, name.device)

    def _matches_device(self, rule: RuleConfig, device: int) -> bool:
        record = self._registry.records.get(device)
        group, hardware = (record.attributes.group, record.attributes.hardware) if record else ("", "")
        pairs = ((self._names.devices[device], rule.device), (group, rule.group), (hardware, rule.hardware))
        return all(fnmatch.fnmatchcase(text, pattern) for text, pattern in pairs)

    # What changes.

    def _changed(self, rule: RuleConfig, change: Change) -> Alarm | None:
        name = self._names.series[change.series]
        blank = Alarm(
            rule=rule.name,
            device=self._names.devices[name.device],
            metric=name.metric,
            labels=name.labels,
            state=AlertState.RESOLVED,
            severity=rule.severity,
            message=rule.message,
            since=change.since,
            at=change.at,
            streak=change.streak,
            value=change.value,
        )
        before = self.alarms.get(blank.fingerprint())
        if change.stage is Stage.IDLE:
            return self._ended(msgspec.structs.replace(before, value=change.value), change.at) if before else None
        if before is None and len(self.alarms) >= MOST_ALARMS:
            self.suppressed[rule.name] += 1
            return None
        fired = change.at if change.stage is Stage.FIRING else 0
        return self._set(msgspec.structs.replace(blank, state=_STATES[change.stage], fired_at=fired))

    def _heard(self, event: DeviceEvent) -> list[Alarm]:
        device = self._names.find_device(event.device)
        if event.state is DeviceState.SILENT and device is not None:
            return self._silent(device, event.at)
        over = [
            alarm
            for alarm in self.alarms.values()
            if alarm.device == event.device and (not alarm.metric or event.state is DeviceState.RETIRED)
        ]
        back = event.state in (DeviceState.ONLINE, DeviceState.RETIRED)
        return [self._ended(alarm, event.at) for alarm in over] if back else []

    def _silent(self, device: int, at: int) -> list[Alarm]:
        name = self._names.devices[device]
        fresh = [
            Alarm(
                rule=rule.name,
                device=name,
                state=AlertState.FIRING,
                severity=rule.severity,
                message=rule.message,
                since=at,
                at=at,
                fired_at=at,
            )
            for rule in self._silences
            if self._matches_device(rule, device)
        ]
        return [self._set(alarm) for alarm in fresh if alarm.fingerprint() not in self.alarms]

    def _set(self, alarm: Alarm) -> Alarm:
        self.alarms[alarm.fingerprint()] = alarm
        return alarm

    def _ended(self, alarm: Alarm, at: int, reason: str = "") -> Alarm:
        del self.alarms[alarm.fingerprint()]
        if place := self._place(alarm):
            place[0].end(place[1])
        return msgspec.structs.replace(alarm, state=AlertState.RESOLVED, at=max(at, alarm.since), reason=reason)
