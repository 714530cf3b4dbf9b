"""What a flush does about alarms: judge, keep, and queue what the site is to hear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.rules.bodies import panel_body, webhook_body
from ingest.contract.events import AlertState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_aggregator.devices.registry import Site
    from edge_aggregator.rules.alarm import Alarm
    from edge_aggregator.rules.book import RuleBook
    from edge_aggregator.rules.config import AlarmsConfig
    from edge_aggregator.state import State


class AlarmDesk:
    """Keeps a gateway's alarms; `settings` say who hears of them."""

    def __init__(self, site: Site, book: RuleBook, state: State, settings: AlarmsConfig) -> None:
        self.book, self.settings = book, settings
        self._site, self._state = site, state
        self._restored = book.restored()

    def waiting(self) -> bool:
        """Whether there is something to write although no window closed."""
        return self.book.waiting() or bool(self._restored)

    def write(self, changed: Sequence[Alarm], now: int) -> None:
        """Within the flush's transaction."""
        self._state.alarms.save(changed)
        again, self._restored = self._restored, []
        heard = [alarm for alarm in changed if alarm.fired_at]  # what never fired, nobody hears of
        if self.settings.webhook:
            for alarm in heard:
                firing = alarm.state is AlertState.FIRING
                body = webhook_body(self._site, alarm)
                self._state.alarm_queue.change(alarm.fingerprint(), alarm.fired_at, body, firing=firing)
        if self.settings.mqtt:
            for device in sorted({alarm.device for alarm in (*heard, *again)}):
                alarms = [alarm for alarm in self.book.alarms.values() if alarm.device == device]
                self._state.alarm_queue.state(device, panel_body(self._site, device, alarms, now))
