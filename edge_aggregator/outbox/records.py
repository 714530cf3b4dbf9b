"""How a gateway's batches and events become records: topic, key, CloudEvents headers and the flush's trace."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ingest.contract.events import AckEvent, AckStatus, DeviceEvent, GatewayEvent
from ingest.contract.records import (
    DETAIL_HEADER,
    ORIGIN_TOPIC_HEADER,
    REASON_HEADER,
    Outgoing,
    cloud_event_headers,
    event_record,
)
from ingest.contract.topics import ACKS, DEVICES, ROLLUPS, SAMPLES, dead, read_device_topic

if TYPE_CHECKING:
    from edge_aggregator.decode.decoded import DeadLetter
    from edge_aggregator.devices.registry import Site
    from edge_aggregator.outbox.batches import Batch

_DEAD_TOPICS = {"state": dead(DEVICES), "ack": dead(ACKS)}


class Records:
    """Makes records; an id is equal when the same thing is said again. `made` counts device events and dead letters."""

    def __init__(self, site: Site, boot: str, made: int) -> None:
        self._site, self._boot, self.made = site, boot, made
        self.source = f"tidegate/{site.site}/{site.gateway}"

    def batch(self, batch: Batch, now: int, trace: str) -> Outgoing:
        """A batch of rollups."""
        headers = cloud_event_headers(
            event_id=f"{self._site.gateway}/{self._boot}/{batch.seq}",
            source=self.source,
            event_type=f"tidegate.{ROLLUPS}",
            time=now,
            content_type="application/msgpack",
            trace=trace,
        )
        return Outgoing(ROLLUPS, self._site.site.encode(), batch.value, headers)

    def device(self, event: DeviceEvent, trace: str) -> Outgoing:
        """What happened to a device."""
        key = f"{self._site.site}/{event.device}"
        return event_record(
            DEVICES, key, event, event_id=self._next_id(), source=self.source, time=event.at, trace=trace
        )

    def heartbeat(self, event: GatewayEvent, trace: str) -> Outgoing:
        """The gateway is there."""
        key = f"{self._site.site}/gateway:{self._site.gateway}"
        identity = f"{self._site.gateway}/{self._boot}/heartbeat/{event.at}"
        return event_record(DEVICES, key, event, event_id=identity, source=self.source, time=event.at, trace=trace)

    def ack(
        self,
        command: str,
        device: str,
        status: AckStatus,
        at: int,
        *,
        firmware: str = "",
        reason: str = "",
        trace: str = "",
    ) -> Outgoing:
        """What became of a command; `trace` is the command's own."""
        event = AckEvent(
            **self._site._asdict(),
            device=device,
            command=command,
            status=status,
            at=at,
            firmware=firmware,
            reason=reason,
        )
        identity = f"{self._site.gateway}/{command}/{status.value}"
        key = self._site.site
        return event_record(ACKS, key, event, event_id=identity, source=self.source, time=at, trace=trace or None)

    def dead_letter(self, letter: DeadLetter, trace: str) -> Outgoing:
        """A device's message that was not taken, or not wholly."""
        place = read_device_topic(letter.topic)
        topic = _DEAD_TOPICS.get(place.channel if place else "", dead(SAMPLES))
        headers = cloud_event_headers(
            event_id=self._next_id(),
            source=self.source,
            event_type=f"tidegate.{topic}",
            time=letter.at,
            content_type="application/octet-stream",
            trace=trace,
        )
        why = (
            (REASON_HEADER, letter.reason.encode()),
            (DETAIL_HEADER, letter.detail.encode(errors="replace")),
            (ORIGIN_TOPIC_HEADER, letter.topic.encode(errors="replace")),
        )
        return Outgoing(topic, self._site.site.encode(), letter.payload, (*headers, *why))

    def _next_id(self) -> str:
        self.made += 1
        return f"{self._site.gateway}/{self._boot}/event/{self.made}"


def unverified_id(envelope: bytes) -> str:
    """What a command is called of which nothing may be believed."""
    return f"unverified:{hashlib.sha256(envelope).hexdigest()[:16]}"
